"""Text in tables, above all those of a terminal of 100 columns: widths, breaks and cuts, marks, rank ranges.

Widths are those of the display: a wide character takes two columns, a combining one none
(https://www.unicode.org/reports/tr11/).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from vitbench.leaderboard.metric import Metric
from vitbench.leaderboard.rows import Row
from vitbench.printable import MARKS, plain
from vitbench.records import Level

__all__ = [
    "EN_DASH",
    "MARKS",
    "VERDICTS",
    "WIDTH",
    "aligned",
    "broken",
    "clipped",
    "cut",
    "display_width",
    "few",
    "marked",
    "marked_verdict",
    "rank_range",
    "shown",
    "wrapped",
]

WIDTH = 100
EN_DASH = "\u2013"
VERDICTS: Mapping[Level, str] = {"valid": "valid", "warn": "doubtful", "invalid": "invalid"}
"""What each verdict is called, the best first."""
_ELLIPSIS = "\u2026"
_JOINT = re.compile(r"(?<=[/:,._ -])")
"""Where a long name may be broken: after a separator."""


def marked_verdict(level: Level) -> str:
    """Return what a verdict is called, after its mark: ``~ doubtful``."""
    return f"{MARKS[level]} {VERDICTS[level]}".lstrip()


def marked(metric: Metric, text: Callable[[float], str], *, missing: str = "-") -> str:
    """Return a value after the mark of its verdict; `text` writes it."""
    return MARKS[metric.verdict] + (missing if metric.value is None else text(metric.value))


def few(texts: Sequence[str], most: int, rest: str = "more") -> list[str]:
    """Return the first of some texts, and how many more there are."""
    left_out = len(texts) - most
    return [*texts[:most], *([f"and {left_out} {rest}"] if left_out > 0 else [])]


def rank_range(row: Row, *, dash: str = "-", unranked: str = "-") -> str:
    """Return a row's rank, or the range that it may be in: ``1-3``."""
    if row.rank is None:
        return unranked
    return str(row.rank) if row.rank == row.rank_last else f"{row.rank}{dash}{row.rank_last}"


def shown(text: str, unicode: bool = True) -> str:
    """Return text without control characters; in ASCII, with all other characters as escapes, unless `unicode`."""
    text = plain(text)
    return text if unicode else text.encode("ascii", "backslashreplace").decode()


def display_width(text: str) -> int:
    """Return how many columns text takes."""
    from wcwidth import wcswidth

    return wcswidth(text)


def wrapped(text: str, unicode: bool = True, *, indent: str = "", hang: str = "") -> list[str]:
    """Return the lines of a text, after `indent` the first and after `hang` the others."""
    from wcwidth import wrap

    return wrap(shown(text, unicode), WIDTH, initial_indent=indent, subsequent_indent=hang, break_on_hyphens=False)


def broken(name: str, width: int) -> list[str]:
    """Break a name into lines of at most some width, after separators where it can."""
    from wcwidth import wrap

    lines = [""]
    for piece in _JOINT.split(name):
        if display_width(lines[-1]) + display_width(piece) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece
    return [part for line in lines for part in wrap(line, width, break_on_hyphens=False) or [""]]


def cut(text: str, width: int, unicode: bool = True) -> str:
    """Return text of at most some width, its end left out where it is longer."""
    if display_width(text) <= width:
        return text
    dots = _ELLIPSIS if unicode else "..."
    while display_width(text) > width - len(dots):
        text = text[:-1]
    return text + dots


def clipped(text: str, width: int) -> str:
    """Return text of at most some width, its middle left out where it is longer."""
    from wcwidth import clip

    full = display_width(text)
    if full <= width:
        return text
    tail = (width - 3) // 2
    return clip(text, 0, width - 3 - tail).rstrip() + "..." + clip(text, full - tail, full).lstrip()


def aligned(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table without rules, its columns flush left; names come out without control characters."""
    table = [list(head), *([plain(cell) for cell in row] for row in rows)]
    widths = [max(map(display_width, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell + " " * (width - display_width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
