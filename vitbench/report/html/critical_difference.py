"""The critical-difference diagram of Demšar (JMLR 7, 2006, figure 1a), as places on a drawing; the template draws it.

Mean ranks lie on an axis, the best on the left. The better half of the models is named on the left, the other on the
right. A thick line joins models that do not differ significantly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.printable import plain
from vitbench.report.terminal_text import clipped

__all__ = ["Diagram", "Joined", "Mark", "diagram_of", "groups_alike"]

_WIDTH, _SIDE = 860, 260
"""Of the drawing, and of the room for names on each side of the axis."""
_AXIS, _LINE, _STEP = 56, 9, 20
"""Where the axis lies, between two joining lines, between two names; in pixels."""
_NAME_WIDTH = 30
"""Columns that a name takes at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A model."""

    x: float
    """Its mean rank on the axis."""
    y: float
    """The height of its name."""
    left: bool
    """Whether its name stands on the left."""
    end: float
    """Where its line ends."""
    text: float
    """Where its name begins, on the right, or ends."""
    name: str
    """Without its middle where it is long: names that begin alike often differ at their ends."""
    title: str
    """The whole name, with its mean rank."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """A line that joins models which do not differ significantly."""

    start: float
    end: float
    y: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagram:
    """All places, in pixels from the upper left corner."""

    width: int
    height: int
    axis: int
    """Its height."""
    start: float
    """Of the axis."""
    end: float
    ticks: tuple[tuple[float, int], ...]
    """Place and mean rank."""
    marks: tuple[Mark, ...]
    joined: tuple[Joined, ...]
    difference_end: float
    """Where the bar of the critical difference ends, which begins where the axis does."""
    difference: str
    """Its size in words."""
    words: str
    """The whole diagram in words, for those who do not see it."""


def groups_alike(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Return the longest runs of mean ranks within a difference, as first and last place; single ones left out.

    Args:
        ranks: in ascending order.
        difference: of mean ranks, beyond which they differ significantly.
    """
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(place for place in range(first, len(ranks)) if ranks[place] - ranks[first] <= difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def diagram_of(ranked: Sequence[tuple[str, float]], difference: float) -> Diagram:
    """Return the diagram of models with their mean ranks.

    Args:
        ranked: names and mean ranks, from 1 to the number of models, in any order; three at least.
        difference: Nemenyi's critical difference, less than the axis is long.
    """
    ordered = sorted(ranked, key=lambda each: each[1])
    count = len(ordered)
    start, end = float(_SIDE), float(_WIDTH - _SIDE)

    def place(rank: float) -> float:
        return round(start + (rank - 1) / (count - 1) * (end - start), 1)

    alike = groups_alike([rank for _, rank in ordered], difference)
    joined = tuple(
        Joined(start=place(ordered[first][1]) - 3, end=place(ordered[last][1]) + 3, y=_AXIS + 12 + number * _LINE)
        for number, (first, last) in enumerate(alike)
    )
    below = _AXIS + 16 + len(alike) * _LINE
    half = math.ceil(count / 2)
    marks = [
        _mark(name, rank, place(rank), below + _STEP * (number + 0.5), left=True)
        for number, (name, rank) in enumerate(ordered[:half])
    ]
    marks += [
        _mark(name, rank, place(rank), below + _STEP * (number + 0.5), left=False)
        for number, (name, rank) in enumerate(reversed(ordered[half:]))
    ]
    step = max(1, math.ceil(count / 10))
    listed = ", ".join(f"{name} {rank:.2f}" for name, rank in ordered)
    lines = "; ".join(", ".join(name for name, _ in ordered[first : last + 1]) for first, last in alike)
    return Diagram(
        width=_WIDTH,
        height=int(below + _STEP * half + 8),
        axis=_AXIS,
        start=start,
        end=end,
        ticks=tuple((place(rank), rank) for rank in range(1, count + 1, step)),
        marks=tuple(marks),
        joined=joined,
        difference_end=place(1 + difference),
        difference=f"critical difference {difference:.2f}",
        words=f"Mean ranks: {listed}. Not significantly different: {lines or 'no two models'}.",
    )


def _mark(name: str, rank: float, x: float, y: float, *, left: bool) -> Mark:
    end, text = (_SIDE - 24, _SIDE - 30) if left else (_WIDTH - _SIDE + 24, _WIDTH - _SIDE + 30)
    short = clipped(plain(name), _NAME_WIDTH)
    return Mark(x=x, y=y, left=left, end=end, text=text, name=short, title=f"{name}: {rank:.2f}")
