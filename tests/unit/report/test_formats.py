"""The table of formats: each says what it takes, and no two files' suffixes are the same."""

from __future__ import annotations

import html
import re
import sys
import types
from pathlib import Path

import factories as f
import pages
import pytest

from vitbench.errors import UsageError
from vitbench.leaderboard.leaderboard import build
from vitbench.report.formats import FORMATS, Format, format_of, render


def test_the_suffix_says_the_format_and_the_first_is_for_names_without_one() -> None:
    assert {name: format_of(Path(f"a{form.suffix.upper()}")) for name, form in FORMATS.items()} == {
        name: name for name in FORMATS
    }
    assert {format_of(Path(name)) for name in ("a", ".md")} == {"table"}


def test_an_unknown_suffix_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match=r'suffix "\.htm"; use \.txt, \.md, \.csv, \.json, \.tex or \.html'):
        format_of(Path("a.htm"))


@pytest.mark.parametrize(
    ("takes", "expected"),
    [
        ((), {}),
        (("unicode", "verdicts"), {"unicode": False, "verdicts": "all"}),
        (("details",), {"details": "read"}),
    ],
)
def test_a_format_gets_what_it_takes_and_nothing_else(
    takes: tuple[str, ...], expected: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, got = types.ModuleType("vitbench.report.fake"), {}
    module.render_fake = lambda board, **more: got.update(more) or board.rank_by  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(FORMATS, "fake", Format(".fk", "vitbench.report.fake:render_fake", takes))  # type: ignore[arg-type]
    board = build([f.quality()], [], "top1")
    assert render(board, "fake", unicode=False, verdicts="all", details=lambda: "read") == "top1"  # type: ignore[arg-type, return-value]
    assert got == expected


@pytest.mark.parametrize("rank_by", ["beauty", "size"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_metric_of_any_name_stands_in_every_format_and_is_ranked_by(name: str, rank_by: str, tmp_path: Path) -> None:
    records = [*f.foreign("worse", 1.0), *f.foreign("better", 2.0)]
    board, details = pages.board_of(records, pages.FakeStore(tmp_path), rank_by=rank_by)
    text = html.unescape(render(board, name, details=lambda: details)).replace("\\_", "_")
    heads = {"mine": "ms", "zeta": "images/s", "drill": "images/s", "beauty": "stars", "size": "", "crowd": "images/s"}
    if name in ("csv", "json"):
        assert set(f.FOREIGN) <= set(re.findall(r'"(\w+)"', text))
    else:
        assert all(head in text and unit in text for head, unit in heads.items())
    assert text.index("better") < text.index("worse")


def test_the_values_are_in_the_units_for_people() -> None:
    board = build(f.foreign("a", 2.0), [], "beauty")
    lines = render(board, "md").splitlines()
    head, _, row = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert dict(zip(head[2:], row[2:], strict=True)) == {
        "beauty stars": "200",
        "95 % interval": "[200, 200]",
        "mine ms": "50,000",
        "zeta images/s": "200",
        "drill images/s": "200",
        "size": "50",
        "crowd images/s": "200",
    }


@pytest.mark.parametrize("form", ["table", "md", "latex", "html", "json"])
def test_wherever_ranks_are_shown_those_of_one_seed_are_said_to_be_of_weights(form: str, tmp_path: Path) -> None:
    records = [f.quality("a", 340), f.quality("b", 300)]
    board, details = pages.board_of(records, pages.FakeStore(tmp_path))
    text = " ".join(html.unescape(render(board, form, details=lambda: details)).split())
    # Under the table and in the sentences; JSON has the latter alone.
    words = "With one seed each, ranks compare sets of weights, not models."
    assert text.count(words) == (1 if form == "json" else 2)
