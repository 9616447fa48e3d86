"""The leaderboard for a terminal of 100 columns. ASCII but for the names, which come out without control characters."""

from __future__ import annotations

import re
import textwrap

from vitbench.leaderboard import Leaderboard
from vitbench.report.tables import Section, missing, sections
from vitbench.text import plain

__all__ = ["WIDTH", "render_terminal"]

WIDTH = 100
_NARROWEST_NAME = 12
_JOINT = re.compile(r"(?<=[/:,._ -])")
"""Where a long name may be broken: after a separator."""


def render_terminal(board: Leaderboard) -> str:
    """Return the leaderboard as text tables, ending with a newline."""
    parts = [_section(section) for section in sections(board, detailed=False)]
    if not parts:
        parts.append("No results yet.")
    if board.failed:
        parts.append(_missing(board))
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> str:
    names = [plain(model) for model in section.models]
    table = _table(section, names)
    excess = max(map(len, table.splitlines())) - WIDTH
    if excess > 0:
        width = max(_NARROWEST_NAME, max(map(len, names)) - excess)
        table = _table(section, [_broken(name, width) for name in names])
    lines = [*_wrapped(section.title), *_wrapped(section.conditions), "", table, ""]
    for note in section.notes:
        lines += _wrapped(note, hang="  ")
    return "\n".join(lines)


def _table(section: Section, names: list[str]) -> str:
    from tabulate import SEPARATING_LINE, tabulate

    # The heads are rows: tabulate pads real ones by two columns each. Units stand in the lower of the two.
    rows = [
        ["", "", *(column.title for column in section.figures)],
        ["rank", "model", *(column.unit for column in section.figures)],
        SEPARATING_LINE,
        *zip(section.ranks, names, *(column.cells for column in section.figures), strict=True),
    ]
    return tabulate(
        rows,
        tablefmt="simple",
        colalign=["right", "left", *["right"] * len(section.figures)],
        # Else a model called 1e5 becomes 100000.
        disable_numparse=True,
    )


def _missing(board: Leaderboard) -> str:
    count = len(board.failed)
    lines = [f"Without a result: {count} cell{'s' if count != 1 else ''}"]
    for entry in missing(board):
        lines += _wrapped(f"{entry.model}: {entry.status} ({entry.cells})", hang="  ")
        if entry.reason != entry.status:
            lines += _wrapped(entry.reason, indent="    ", hang="    ")
    return "\n".join(lines)


def _wrapped(text: str, *, indent: str = "", hang: str = "") -> list[str]:
    return textwrap.wrap(plain(text), WIDTH, initial_indent=indent, subsequent_indent=hang, break_on_hyphens=False)


def _broken(name: str, width: int) -> str:
    """Break a name into lines of at most some width, after separators where it can."""
    lines = [""]
    for piece in _JOINT.split(name):
        if len(lines[-1]) + len(piece) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line[i : i + width] for line in lines for i in range(0, len(line), width))
