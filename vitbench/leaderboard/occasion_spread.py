"""How far apart the same speed lies on two occasions, on this machine: what no figure of one occasion shows.

Within an occasion, where processes take turns, ratios to the reference network are steady. Between occasions they are
not: what disturbs a shared machine slows unlike networks unlike (docs/measuring.md). The deviation is estimated from
speed cells of a store that were measured more than once, and never assumed to be 0: without such cells, figures of two
occasions are not told apart. What ratios differ by says nothing of what stays a plain time, which the mood moves by
several times as much: each metric that is no ratio has a deviation of its own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from statistics import fmean

from vitbench.records import Record, SpeedCell

__all__ = ["FEWEST_OCCASIONS", "LEAST", "RATIOS", "Kind", "OccasionSpread", "occasion_spreads"]

LEAST = 0.005
"""The smallest deviation that a few occasions can vouch for."""

FEWEST_OCCASIONS = 3
"""Of two occasions the difference may be small by chance: simulated tables of five equal models showed a false rank in
6 % of cases."""

Kind = tuple[str, str, str]
"""Machine class, device, and which figures: `RATIOS`, or a metric by its name, as it was measured."""
RATIOS = ""
"""All ratios to the reference network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OccasionSpread:
    """The deviation of a figure from occasion to occasion."""

    deviation: float
    """Standard deviation of the logarithm of a figure."""
    freedom: int
    """Degrees of freedom: occasions less one, since all figures of an occasion share its mood."""
    figures: int
    """Figures that were measured on more than one occasion."""
    occasions: int

    @property
    def variance(self) -> float:
        """The square of the deviation."""
        return self.deviation**2


def occasion_spreads(records: Iterable[Record]) -> dict[Kind, OccasionSpread]:
    """Return the deviation between occasions, for each kind of figures that was measured repeatedly.

    Args:
        records: all attempts, not the newest of each cell alone.
    """
    attempts: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        # The key holds code and software: attempts that are equal in it differ by the occasion alone.
        if record.status == "withdrawn":
            attempts[record.key] = attempts[record.key][:-1]
        elif record.status == "ok" and record.occasion:
            attempts[record.key].append(record)
    repeated: dict[Kind, dict[tuple[str, str], dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for record in chain.from_iterable(attempts.values()):
        cell = record.planned.cell
        if not isinstance(cell, SpeedCell):
            continue
        run = record.occasion.rpartition("/")[0]
        for one in record.measurements:
            values = {
                RATIOS: one.ratio.value if one.ratio else None,
                one.name: one.value if one.machine_bound else None,
            }
            for kind, value in values.items():
                if value is not None and value > 0:
                    repeated[cell.machine, cell.device, kind][record.key, one.name][run] = math.log(value)
    found = {kind: _pooled([logs for logs in cells.values() if len(logs) > 1]) for kind, cells in repeated.items()}
    return {kind: known for kind, known in found.items() if known is not None}


def _pooled(figures: list[dict[str, float]]) -> OccasionSpread | None:
    """Return the pooled deviation of figures, each with its logarithm on several occasions."""
    if not figures:
        return None
    squares, freedom = 0.0, 0
    for logs in figures:
        middle = fmean(logs.values())
        squares += sum((value - middle) ** 2 for value in logs.values())
        freedom += len(logs) - 1
    occasions = len({run for logs in figures for run in logs})
    if occasions < FEWEST_OCCASIONS:
        return None
    return OccasionSpread(
        deviation=max(LEAST, math.sqrt(squares / freedom)),
        freedom=occasions - 1,
        figures=len(figures),
        occasions=occasions,
    )
