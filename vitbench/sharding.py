"""Shards: the cells of one plan, split among several runs, each into a folder of its own.

The split depends on what was asked alone, so every shard finds the same one by itself: on the cells and their order in
the plan, and on nothing of the machine, such as how long a cell takes there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import msgspec

from vitbench.errors import UsageError
from vitbench.records import FigureCell, KeyedCell, QualityCell

__all__ = ["MOST_SHARDS", "Shard", "split_cells"]

MOST_SHARDS = 10_000
"""More are a slip of the finger."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several parts of a plan."""

    number: int
    """From 1."""
    count: int
    """How many there are."""

    def __str__(self) -> str:
        """Return it as a command line has it."""
        return f"{self.number}/{self.count}"

    @classmethod
    def read(cls, text: str) -> Shard:
        """Return what ``K/N`` says.

        Raises:
            UsageError: it says something else, or K is not among 1 to N.
        """
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if not found:
            raise UsageError(f'--shard "{text}" must be written K/N, such as 1/4.')
        number, count = map(int, found.groups())
        if not 1 <= count <= MOST_SHARDS:
            raise UsageError(f"--shard {text}: a plan is split into 1 to {MOST_SHARDS:,} shards, not {count}.")
        if not 1 <= number <= count:
            raise UsageError(f"--shard {text}: there is no shard {number} of {count}; they count from 1 to {count}.")
        return cls(number, count)


def split_cells(cells: Iterable[KeyedCell], count: int) -> dict[str, int]:
    """Return by key in which of so many shards each cell of a plan is.

    A training goes with its figures. All speeds of one model go together: they share its processes, and the speeds of
    several models are timed in turn. Trainings, baselines and models to be timed are each dealt out evenly, as far as
    that goes also those of one dataset and those of one model.
    """
    cells = tuple(cells)
    shards: dict[str, int] = {}
    units: dict[Hashable, int] = {}
    dealt: Counter[tuple[Hashable, int]] = Counter()
    for planned in cells:
        cell = planned.cell
        if isinstance(cell, FigureCell):
            continue
        model = cell.model, msgspec.json.encode(cell.options, order="deterministic")
        unit: Hashable = "speed", model
        evenly: tuple[Hashable, ...] = ("speed", "all")
        if isinstance(cell, QualityCell):
            kind = "baseline" if planned.baseline else "training"
            dataset = cell.dataset, msgspec.json.encode(cell.dataset_options, order="deterministic")
            unit, evenly = planned.key, (kind, (kind, "data", dataset), (kind, "model", model), "all")
        if unit not in units:
            units[unit] = min(range(1, count + 1), key=lambda shard: (*(dealt[each, shard] for each in evenly), shard))
            dealt.update((each, units[unit]) for each in evenly)
        shards[planned.key] = units[unit]
    return shards | {cell.key: shards.get(cell.shows, 1) for cell in cells if isinstance(cell.cell, FigureCell)}
