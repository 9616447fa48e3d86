"""In which order cells run on several machines, and which of them take turns. Pure functions of cells and seconds.

Timings go first, since they need a machine alone and what they measure says how long trainings take; of the others the
longest goes first, so that no long one begins last. Speed cells that are compared with each other take turns on one
machine; where several machines are free they are divided, two at least to a machine, since a model that takes turns
with no other shares nobody's mood of the machine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from vitbench.records import FigureCell, KeyedCell, SpeedCell

__all__ = ["divided", "longest_first"]

LEAST_IN_TURN = 2
"""Speed cells that take turns on a machine, where there are so many."""


def longest_first(groups: Sequence[Sequence[KeyedCell]], seconds: Mapping[str, float]) -> list[list[KeyedCell]]:
    """Return groups of cells in the order in which they are to begin: timings, the rest, figures; each longest first.

    Args:
        groups: cells of one kind each.
        seconds: that cells are expected to take, by key. One of which nothing is known may be long: it goes first.
    """

    def order(group: Sequence[KeyedCell]) -> tuple[int, float]:
        kind = 0 if isinstance(group[0].cell, SpeedCell) else 2 if isinstance(group[0].cell, FigureCell) else 1
        return kind, -sum(seconds.get(planned.key, math.inf) for planned in group)

    return [list(group) for group in sorted(groups, key=order)]


def divided(group: Sequence[KeyedCell], machines: int) -> list[list[KeyedCell]]:
    """Return the speed cells that take turns with each other, as parts for so many machines, as even as can be."""
    parts = max(1, min(machines, len(group) // LEAST_IN_TURN))
    whole, more = divmod(len(group), parts)
    ends = [part * whole + min(part, more) for part in range(parts + 1)]
    return [list(group[begin:end]) for begin, end in itertools.pairwise(ends)]
