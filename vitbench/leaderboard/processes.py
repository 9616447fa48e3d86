"""The one rule by which stored figures of several processes are told apart; ranks, sentences and `compare` share it.

A figure of three processes has a range, and the ranges of two equal models are disjoint in one pair of ten. So two such
figures differ where their ranges are disjoint and the interval of their ratio, at the level that all tests of a table
share, lies beyond the share that does not matter (Welch's t over the logarithms of the processes' values).

An interval over processes holds what one process and the next differ by, and not what two hours differ by: the machine
has moods. So figures of time, rate and energy are compared only where their processes took turns
(`vitbench.records.Record.occasion`). Memory and counts do not depend on the mood.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitbench.leaderboard.rows import Metric
from vitbench.statistics import welch_p_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LEVEL", "THRESHOLD", "Processes", "in_turn", "moody", "tell_p", "tell_p_values", "told_apart"]

LEVEL = 0.05
"""Chance of calling any two figures different that are not, over all that are judged together."""
THRESHOLD = 0.03
"""Share of a figure that a few processes which agree cannot vouch for, unless another is asked for."""
LEAST_BYTES = 2 * 2**20
"""Bytes of memory for which the same holds: a huge page of Linux, or a segment of CUDA's allocator, more or less."""
_STEADY_UNITS = frozenset({"B", "1", "images"})
"""Units of what is the same in any mood of the machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Processes:
    """What is known of one figure."""

    values: tuple[float, ...]
    """Of each process; two or more, all positive."""
    occasion: str
    """Figures of one occasion may be compared; empty where nothing took turns with it."""
    least: float = 0.0
    """An absolute difference that does not matter, from either side; smaller values count as this."""

    @classmethod
    def of(cls, metric: Metric) -> Processes | None:
        """Return what a row knows of a metric's processes; None where that is no sample of them."""
        if metric.interval != "range" or len(metric.processes) < 2:
            return None
        least = float(LEAST_BYTES) if metric.unit == "B" else 0.0
        values = tuple(max(value, least) for value in metric.processes)
        if min(values) <= 0:
            return None
        return cls(values=values, occasion=metric.occasion if moody(metric) else "any", least=least)


def moody(metric: Metric) -> bool:
    """Say whether a metric depends on the mood of the machine, as times, rates and energy do."""
    return metric.machine_bound and metric.unit not in _STEADY_UNITS


def tell_p(first: Processes, second: Processes, threshold: float = THRESHOLD) -> float:
    """Return the chance that two figures which differ by no more than a threshold look as unlike as these do."""
    return float(tell_p_values((first, second), threshold)[0, 1])


def told_apart(first: Metric, second: Metric, pairs: int = 1) -> bool:
    """Say whether two rows' figures differ, by their processes, where so many pairs are looked at together."""
    one, other = Processes.of(first), Processes.of(second)
    return one is not None and other is not None and tell_p(one, other) <= LEVEL / pairs


def in_turn(figures: Sequence[Processes]) -> NDArray[np.bool_]:
    """Return which two of P figures are of one occasion, so that they can be compared: bool ``[P, P]``; none itself."""
    import numpy as np

    occasions = np.unique([each.occasion for each in figures], return_inverse=True)[1]
    somewhere = np.array([bool(each.occasion) for each in figures])
    found: NDArray[np.bool_] = (occasions[:, None] == occasions[None, :]) & somewhere[:, None]
    np.fill_diagonal(found, False)
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
    comparable = in_turn(figures)
    found = np.ones((len(figures), len(figures)))
    for i in range(len(figures) - 1):
        beyond = np.abs(means - means[i]) > margin
        apart = ((low > high[i]) | (low[i] > high)) & beyond & comparable[i]
        (others,) = np.nonzero(apart[i + 1 :])
        j = others + i + 1
        found[i, j] = found[j, i] = welch_p_values(
            means[j] - means[i], (np.full(len(j), variances[i]), variances[j]), (counts[i], counts[j]), margin
        )
    return found
