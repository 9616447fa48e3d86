"""The formats of the leaderboard, in one table: a new one is a line here and a module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vitbench.errors import UsageError

if TYPE_CHECKING:
    from vitbench.boards.board import Board
    from vitbench.leaderboard.leaderboard import Leaderboard
    from vitbench.report.html.details import Details
    from vitbench.report.verdict_notes import Telling

__all__ = ["FORMATS", "Format", "format_of", "render"]


@dataclass(frozen=True, slots=True)
class Format:
    """One format."""

    suffix: str
    """Of its files, in lower case."""
    target: str
    """``module:function``, imported when it is used: takes a leaderboard, returns text that ends with a newline."""
    takes: tuple[Literal["unicode", "verdicts", "boards", "details", "folder"], ...] = ()
    """What it takes beside the leaderboard: whether all characters are readable, how it reports verdicts, the boards
    over several datasets, what the page shows, and the folder of the results."""


FORMATS: dict[str, Format] = {
    "table": Format(".txt", "vitbench.report.terminal:render_terminal", ("unicode", "verdicts", "boards", "folder")),
    "md": Format(".md", "vitbench.report.markdown:render_markdown", ("verdicts", "boards")),
    "csv": Format(".csv", "vitbench.report.csv_table:render_csv", ("boards",)),
    "json": Format(".json", "vitbench.report.json_object:render_json", ("boards",)),
    "latex": Format(".tex", "vitbench.report.latex:render_latex", ("verdicts", "boards")),
    "html": Format(".html", "vitbench.report.html:render_html", ("details",)),
}
"""By name; the first is the one that is taken unless another is asked for."""


def format_of(path: Path) -> str:
    """Return the format that a file's suffix says; the first where it has none.

    Raises:
        UsageError: no format has this suffix.
    """
    suffix = path.suffix.lower()
    if not suffix:
        return next(iter(FORMATS))
    for name, form in FORMATS.items():
        if form.suffix == suffix:
            return name
    *others, last = (form.suffix for form in FORMATS.values())
    raise UsageError(
        f'{path}: no format has the suffix "{path.suffix}"; use {", ".join(others)} or {last}, or say --format.'
    )


def render(
    board: Leaderboard,
    name: str,
    *,
    unicode: bool = True,
    verdicts: Telling = "counted",
    boards: Sequence[Board] = (),
    details: Callable[[], Details] | None = None,
    folder: str = "DIR",
) -> str:
    """Return a leaderboard in a format.

    Args:
        board: the leaderboard.
        name: a key of `FORMATS`.
        unicode: False: in plain ASCII where the format is for a terminal.
        verdicts: how doubtful and invalid numbers are reported under a table, where the format has such notes.
        boards: over several datasets; the page has its own in `details`.
        details: reads what the page shows beside the leaderboard; called where the format takes it.
        folder: that of the results, for commands that a table names.

    Raises:
        UnusableError: the packages of the format's extra are not installed.
    """
    from vitbench.specs import load_target  # here, since the command line lists the formats

    form = FORMATS[name]
    more: dict[str, Any] = {}
    if "unicode" in form.takes:
        more["unicode"] = unicode
    if "verdicts" in form.takes:
        more["verdicts"] = verdicts
    if "boards" in form.takes:
        more["boards"] = boards
    if "folder" in form.takes:
        more["folder"] = folder
    if "details" in form.takes:
        assert details is not None
        more["details"] = details()
    made: str = load_target(form.target)(board, **more)
    return made
