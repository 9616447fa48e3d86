"""The formats of the leaderboard, in one table: a new one is a line here and a module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vitbench.specs import load_target

if TYPE_CHECKING:
    from vitbench.leaderboard.leaderboard import Leaderboard
    from vitbench.report.html.details import Details

__all__ = ["FORMATS", "Format", "format_of", "render"]


@dataclass(frozen=True, slots=True)
class Format:
    """One format."""

    suffix: str
    """Of its files, in lower case."""
    target: str
    """``module:function``, imported when it is used: takes a leaderboard, returns text that ends with a newline."""
    takes: Literal["", "unicode", "details"] = ""
    """What it takes beside the leaderboard: whether all characters are readable, or what the page shows."""


FORMATS: dict[str, Format] = {
    "table": Format(".txt", "vitbench.report.terminal:render_terminal", "unicode"),
    "md": Format(".md", "vitbench.report.markdown:render_markdown"),
    "csv": Format(".csv", "vitbench.report.csv_table:render_csv"),
    "json": Format(".json", "vitbench.report.json_object:render_json"),
    "latex": Format(".tex", "vitbench.report.latex:render_latex"),
    "html": Format(".html", "vitbench.report.html:render_html", "details"),
}
"""By name; the first is the one that is taken unless another is asked for."""


def format_of(path: Path) -> str:
    """Return the format that a file's suffix says, else the first."""
    suffix = path.suffix.lower()
    return next((name for name, form in FORMATS.items() if form.suffix == suffix), next(iter(FORMATS)))


def render(board: Leaderboard, name: str, *, unicode: bool = True, details: Callable[[], Details] | None = None) -> str:
    """Return a leaderboard in a format.

    Args:
        board: the leaderboard.
        name: a key of `FORMATS`.
        unicode: False: in plain ASCII where the format is for a terminal.
        details: reads what the page shows beside the leaderboard; called where the format takes it.

    Raises:
        UnusableError: the packages of the format's extra are not installed.
    """
    form = FORMATS[name]
    more: dict[str, Any] = {}
    if form.takes == "unicode":
        more["unicode"] = unicode
    elif form.takes == "details":
        assert details is not None
        more["details"] = details()
    made: str = load_target(form.target)(board, **more)
    return made
