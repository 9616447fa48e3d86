"""A leaderboard as Markdown, read back by markdown-it: names are no mark-up."""

import re
from itertools import pairwise

import factories as f
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from properties import COSTLY

from vitbench.leaderboard.leaderboard import build
from vitbench.printable import plain
from vitbench.report import render
from vitbench.report.markdown import escaped

HOSTILE = [
    "<script>alert(1)</script>",
    "a|b",
    "a\\|b",
    "line\nbreak",
    "`code` ``",
    "[link](http://x)",
    "![img](x)",
    "**bold** _it_ ~~gone~~",
    "&lt;",
    "@everyone",
    "1e5",
    "007",
    "\\",
    "$x$",
    "- list",
    "1. list",
    "12) list",
    "=== heading",
    "# heading",
    "> quote",
    "+",
    "http://example.org www.example.org a@example.org",
    "    code",
    "<!-- vitbench:leaderboard:end -->",
]


def tokens(markdown: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown)


def shown(token: Token) -> str:
    """Return the text of an inline token; what is no text would be mark-up that a name has made."""
    assert {child.type for child in token.children} <= {"text", "text_special"}, token.content
    return "".join(child.content for child in token.children)


def table_rows(markdown: str) -> list[list[str]]:
    """Read the rows of all tables, heads included, as GitHub does."""
    rows: list[list[str]] = []
    for before, token in pairwise(tokens(markdown)):
        if before.type == "tr_open":
            rows.append([])
        if before.type in ("th_open", "td_open"):
            rows[-1].append(shown(token))
    return rows


def blocks(markdown: str) -> list[str]:
    """Return the kinds of blocks, in order."""
    return [
        token.type for token in tokens(markdown) if token.level == 0 and token.nesting >= 0 and token.type != "inline"
    ]


def test_the_whole_table():
    board = build(
        [
            f.quality("scratch/vit_p2", 340),
            *f.speed("scratch/vit_p2", 1000),
            f.record(f.quality_cell("timm/vit"), status="failed", reason="no network"),
        ],
        [],
        "top1",
    )
    text = render(board, "md")
    assert text.startswith(
        "### digits\n\nAMD EPYC 9B14, 2 cores; cpu, 1 thread; float32; batch 32, latency at batch 1\n\n|"
    )
    title, row, failed_title, failed = table_rows(text)
    assert (title, row) == (
        [
            *("rank", "model", "top1 %", "95 % interval", "images/s", "p50 ms", "p95 ms", "peak MiB"),
            *("params M", "GMACs", "train images/s", "train peak MiB", "train s"),
        ],
        [
            *("1", "scratch/vit_p2", "94.4", "[91.6, 96.4]", "1,000", "2.00", "3.00", "12.0"),
            *("0.053", "0.0015", "333", "40.0", "21.5"),
        ],
    )
    align = [cell.strip("-") for cell in text.splitlines()[5].split("|")[1:-1]]
    assert align == [":", ":", *[":"] * 11]
    assert text.splitlines()[5].startswith("|-------:|:---")  # only names stand left
    assert failed_title == ["model", "status", "cells", "reason"]
    assert failed == ["timm/vit", "failed", "digits, seed 0", "no network"]
    assert "\n- Ranked by top1 (higher is better), on 360 test images.\n" in text
    assert text.endswith("|\n\nOn digits, the only model is scratch/vit_p2, with 94.4 % top1.\n")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_come_back_as_text_everywhere(name):
    fields = {"data": f.data_info(title=name), "machine": name}
    text = render(build([f.quality(name, 340, **fields), f.quality("b", 300, **fields)], [], "top1"), "md")
    stripped = plain(name).strip()
    assert table_rows(text)[1][1] == stripped
    assert blocks(text) == [*("heading_open", "paragraph_open", "table_open", "bullet_list_open", "paragraph_open")]
    heading, conditions, *_, sentence = [shown(token) for token in tokens(text) if token.type == "inline"]
    assert heading == stripped
    assert conditions.startswith(f"{stripped}; cpu, 1 thread")
    assert sentence.startswith(f"On {plain(name)}, {plain(name)} is best with 94.4 % top1")


@COSTLY
@given(st.text(min_size=1, max_size=40), st.integers(0, 360))
def test_any_name_reason_and_figure_come_back_as_text(name, correct):
    planned = f.quality_cell("failed one", seed=1)
    board = build([f.quality(name, correct), f.record(planned, status="failed", reason=name)], [], "top1")
    _, row, _, failed = table_rows(render(board, "md"))
    assert row[1] == plain(name).strip()
    assert float(row[2]) == pytest.approx(100 * correct / 360, abs=0.05)
    assert failed == ["failed one", "failed", "digits, seed 1", plain(name).strip() or "failed"]


@pytest.mark.parametrize("text", ["www.example.org", "https://example.org", "user@example.org", "#12", "x HTTP://a.b"])
def test_nothing_becomes_a_link(text):
    assert not re.search(r"://|www\.|@|(?<!&)#", escaped(text))
    assert shown(tokens(escaped(text))[1]) == text


def test_underscores_within_words_stay_readable():
    text = render(build([f.quality("timm/vit_base_patch16_224")], [], "top1"), "md")
    assert "| timm/vit_base_patch16_224 |" in text
