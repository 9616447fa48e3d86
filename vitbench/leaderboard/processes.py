"""The one rule by which stored numbers of several processes differ; ranks, sentences and `compare` share it.

A figure of a few processes has a range, and the ranges of two equal models are often disjoint. So two such figures
differ where the interval of their ratio, at the level that all tests of a table share, lies beyond the share that does
not matter (Welch's t over the logarithms of the processes' values); three processes must have disjoint ranges, too.
Where the processes timed the reference network in turn, their values are ratios to it.

An interval over processes holds what one process and the next differ by, and not what two hours differ by: the machine
has moods. Figures of time, rate and energy whose processes did not take turns (`vitbench.records.Record.occasion`)
also carry what figures of two occasions are known to differ by (vitbench/leaderboard/occasion_spread.py); where that
is not known, they are not compared. Memory and counts do not depend on the mood.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitbench.leaderboard.metric import Metric
from vitbench.leaderboard.occasion_spread import OccasionSpread
from vitbench.statistics import welch_p_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "LEVEL",
    "THRESHOLD",
    "Processes",
    "comparable",
    "in_turn",
    "moody",
    "tell_p",
    "tell_p_values",
    "told_apart",
    "variance_between",
]

LEVEL = 0.05
"""Chance of calling any two figures different that are not, over all that are judged together."""
THRESHOLD = 0.03
"""Share of a figure that a few processes which agree cannot vouch for, unless another is asked for."""
LEAST_BYTES = 2 * 2**20
"""Bytes of memory for which the same holds: a huge page of Linux, or a segment of CUDA's allocator, more or less."""
FEW_PROCESSES = 3
"""So few have a variance that is badly known: their ranges must be disjoint, too."""
_STEADY_UNITS = frozenset({"B", "1", "images"})
"""Units of what is the same in any mood of the machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Processes:
    """What is known of one figure."""

    values: tuple[float, ...]
    """Of each process; two or more, all positive."""
    occasion: str
    """Figures of one occasion may be compared; empty where nothing took turns with it."""
    between: OccasionSpread | None = None
    """What it differs by from occasion to occasion; None where that is not known, or does not matter."""
    least: float = 0.0
    """An absolute difference that does not matter, from either side; smaller values count as this."""
    network: str = ""
    """The reference network that the values are ratios to; empty where they are as measured. Only figures of one kind
    may be compared."""

    @classmethod
    def of(cls, metric: Metric) -> Processes | None:
        """Return what a row knows of a metric's processes; None where that is no sample of them."""
        if metric.relative:
            values = metric.relative.ratio.processes
        else:
            values = metric.processes if metric.interval == "range" else ()
        least = float(LEAST_BYTES) if metric.unit == "B" else 0.0
        values = tuple(max(value, least) for value in values)
        if len(values) < 2 or min(values) <= 0:
            return None
        occasion = metric.occasion if moody(metric) else "any"
        return cls(
            values=values,
            occasion=occasion,
            between=metric.occasion_spread if moody(metric) else None,
            least=least,
            network=metric.relative.ratio.network if metric.relative else "",
        )


def moody(metric: Metric) -> bool:
    """Say whether a metric depends on the mood of the machine, as times, rates and energy do."""
    return metric.machine_bound and metric.unit not in _STEADY_UNITS


def variance_between(first: Processes, second: Processes) -> tuple[float, float]:
    """Return by what variance, beside that over processes, two figures' logarithms differ, and its freedom.

    It is nothing for figures of one occasion.
    """
    known = [each.between for each in (first, second) if each.between]
    if not known or (first.occasion and first.occasion == second.occasion):
        return 0.0, math.inf
    return sum(each.variance for each in known), min(each.freedom for each in known)


def tell_p(first: Processes, second: Processes, threshold: float = THRESHOLD) -> float:
    """Return the chance that two figures which differ by no more than a threshold look as unlike as these do."""
    return float(tell_p_values((first, second), threshold)[0, 1])


def told_apart(first: Metric, second: Metric, pairs: int = 1) -> bool:
    """Say whether two rows' figures differ, by their processes, where so many pairs are looked at together."""
    one, other = Processes.of(first), Processes.of(second)
    return one is not None and other is not None and tell_p(one, other) <= LEVEL / pairs


def comparable(figures: Sequence[Processes]) -> NDArray[np.bool_]:
    """Return which two of P figures can be compared: bool ``[P, P]``; none with itself.

    They are ratios to one network, or all as measured; and they are of one occasion, or it is known by how much two
    occasions differ.
    """
    import numpy as np

    known = np.array([each.between is not None and bool(each.occasion) for each in figures])
    found: NDArray[np.bool_] = in_turn(figures) | (known[:, None] & known[None, :])
    found &= _same(each.network for each in figures)
    np.fill_diagonal(found, False)
    return found


def in_turn(figures: Sequence[Processes]) -> NDArray[np.bool_]:
    """Return which two of P figures are of one occasion, and of one kind: bool ``[P, P]``; none with itself."""
    import numpy as np

    somewhere = np.array([bool(each.occasion) for each in figures])
    found: NDArray[np.bool_] = _same((each.occasion, each.network) for each in figures) & somewhere[:, None]
    np.fill_diagonal(found, False)
    return found


def _same(keys: Iterable[Hashable]) -> NDArray[np.bool_]:
    """Return which two of P keys are equal: bool ``[P, P]``."""
    import numpy as np

    numbers: dict[Hashable, int] = {}
    places = np.array([numbers.setdefault(key, len(numbers)) for key in keys])
    found: NDArray[np.bool_] = places[:, None] == places[None, :]
    return found


def tell_p_values(figures: Sequence[Processes], threshold: float = THRESHOLD) -> NDArray[np.float64]:
    """Return for each two of P figures the chance of `tell_p`, float64 ``[P, P]``; 1 where they are never told apart.

    Args:
        figures: of one metric.
        threshold: the share that does not matter: of the larger of two figures.
    """
    import numpy as np

    margin = -math.log1p(-threshold)
    logs = [np.log(each.values) for each in figures]
    means = np.array([own.mean() for own in logs])
    variances = np.array([own.var(ddof=1) for own in logs])
    counts = np.array([len(own) for own in logs], dtype=np.float64)
    least = np.array([each.least for each in figures])
    low = np.array([min(each.values) for each in figures]) - least
    high = np.array([max(each.values) for each in figures]) + least
    able, together = comparable(figures), in_turn(figures)
    few = counts <= FEW_PROCESSES
    variances_between = np.array([each.between.variance if each.between else 0.0 for each in figures])
    freedoms = np.array([each.between.freedom if each.between else math.inf for each in figures])
    found = np.ones((len(figures), len(figures)))
    for i in range(len(figures) - 1):
        beyond = np.abs(means - means[i]) > margin
        disjoint = (low > high[i]) | (low[i] > high)
        apart = (disjoint | ~(few | few[i])) & beyond & able[i]
        (others,) = np.nonzero(apart[i + 1 :])
        j = others + i + 1
        found[i, j] = found[j, i] = welch_p_values(
            means[j] - means[i],
            (np.full(len(j), variances[i]), variances[j]),
            (counts[i], counts[j]),
            margin,
            (
                np.where(together[i, j], 0.0, variances_between[i] + variances_between[j]),
                np.minimum(freedoms[i], freedoms[j]),
            ),
        )
    return found
