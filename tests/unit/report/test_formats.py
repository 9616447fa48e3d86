"""The table of formats: each says what it takes, and no two files' suffixes are the same."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import factories as f
import pytest

from vitbench.leaderboard.leaderboard import build
from vitbench.report.formats import FORMATS, Format, format_of, render
from vitbench.specs import load_target


def test_the_suffix_says_the_format_and_the_first_is_for_all_others() -> None:
    assert {name: format_of(Path(f"a{form.suffix.upper()}")) for name, form in FORMATS.items()} == {
        name: name for name in FORMATS
    }
    assert {format_of(Path(name)) for name in ("a", "a.log", ".md")} == {"table"}


@pytest.mark.parametrize("name", FORMATS)
def test_each_target_is_there(name: str) -> None:
    assert callable(load_target(FORMATS[name].target))


@pytest.mark.parametrize(
    ("takes", "expected"), [("", {}), ("unicode", {"unicode": False}), ("details", {"details": "read"})]
)
def test_a_format_gets_what_it_takes_and_nothing_else(
    takes: str, expected: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, got = types.ModuleType("vitbench.report.fake"), {}
    module.render_fake = lambda board, **more: got.update(more) or board.rank_by  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(FORMATS, "fake", Format(".fk", "vitbench.report.fake:render_fake", takes))  # type: ignore[arg-type]
    board = build([f.quality()], [], "top1")
    assert render(board, "fake", unicode=False, details=lambda: "read") == "top1"  # type: ignore[arg-type, return-value]
    assert got == expected
