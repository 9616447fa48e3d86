import html
import re

import factories as f
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitbench.leaderboard import build
from vitbench.report import render
from vitbench.text import plain

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
]


def table_rows(markdown: str) -> list[list[str]]:
    """Read the rows of all tables as GitHub does: set escapes aside, split at pipes, undo escapes and entities."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[_shown(cell) for cell in _hidden(line).split("|")[1:-1]] for line in lines]


def _hidden(line: str) -> str:
    return re.sub(r"\\([!-/:-@\[-`{-~])", lambda m: f"\ue000{ord(m[1]):03d}", line)


def _shown(cell: str) -> str:
    return html.unescape(re.sub("\ue000(\\d{3})", lambda m: chr(int(m[1])), cell.strip()))


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
    title, align, row, failed_title, _, failed = table_rows(text)
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
    assert [cell.strip("-") for cell in align] == [":", ":", *[":"] * 11]
    assert [cell.startswith(":") for cell in align] == [False, True, *[False] * 11]  # only names stand left
    assert failed_title == ["model", "status", "cells", "reason"]
    assert failed == ["timm/vit", "failed", "digits, seed 0", "no network"]
    assert "\n- Ranked by top1 (higher is better), on 360 test images.\n" in text
    assert text.endswith("|\n")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_come_back_as_text(name):
    text = render(build([f.quality(name, 340, data=f.data_info(title=name))], [], "top1"), "md")
    assert table_rows(text)[2][1] == plain(name)
    assert "<script" not in text
    assert not re.search(r"(?<!\\)[`*\[]", text.split("|")[0])


@settings(max_examples=80, deadline=None)
@given(st.text(min_size=1, max_size=40).filter(lambda name: "\ue000" not in name))
def test_any_name_and_reason_come_back_as_text(name):
    board = build([f.quality(name, 340), f.record(f.quality_cell("b"), status="failed", reason=name)], [], "top1")
    rows = table_rows(render(board, "md"))
    assert rows[2][1] == plain(name).strip()
    assert rows[-1] == ["b", "failed", "digits, seed 0", plain(name).strip()]
    assert len(rows) == 6


def test_underscores_within_words_stay_readable():
    text = render(build([f.quality("timm/vit_base_patch16_224")], [], "top1"), "md")
    assert "| timm/vit_base_patch16_224 |" in text
