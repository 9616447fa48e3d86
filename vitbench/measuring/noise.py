"""Whether times may be summed up in one number: their spread, their trend, and whether they are of two kinds.

Each rule speaks for an effect that matters (a share of the time) and that chance does not make of times which are
merely noisy (a significance). The simulations that hold the false alarms at 1 % are in
tests/unit/measuring/test_noise.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["call_noise_reasons", "more_calls", "noise_reasons", "relative_spread"]

SPREAD_WARNING = 0.05
"""Interquartile range of the blocks over their median, or distance of their mean from it; models that differ by less
than this are hard to tell apart."""
SPREAD_ERROR = 0.25
"""Beyond it, neither the median nor the mean says much."""
DRIFT_WARNING = 0.10
"""Change from the first third to the last, as a share of the first."""
DRIFT_DEVIATIONS = 3.0
"""Standard deviations of Kendall's statistic that chance exceeds three times in a thousand, for single calls."""
FEW_TIMES, FEW_CHANCE = 10, 0.02
"""So many times or fewer, such as blocks, need an order that chance makes no more often than this, one way or the
other: five in perfect order have it, six with one pair of neighbours swapped, seven with two."""
PARTS = 5
"""Parts of single calls whose medians are compared, as those of blocks are."""
GROUP_LEAST = 64
"""Fewer calls than this fall into groups by chance."""
GROUP_SHARE = 0.10
"""The least share of a group; what is rarer is a tail."""
GROUP_GAP = 0.75
"""Empty room between two groups over the room that they fill together. The cut that splits a normal, uniform or
exponential distribution best gives 0.1 to 0.2; of 64 such times, one set in a hundred reaches 0.5 to 0.85."""
GROUP_DISTANCE = 0.10
"""How much longer the median of the slower group is; nearer groups are one speed for all that they are used for."""


def relative_spread(values: Sequence[float]) -> float:
    """Return the interquartile range over the median; 0 for a single value."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float((high - low) / middle)


def more_calls(calls: int, seconds: float, *, least: float) -> int:
    """Return how many calls to try next, where a block of some calls took less than the least seconds of a block."""
    # A tenth more than is needed, so that a block which runs a little faster does not start this anew.
    return min(10 * calls, math.ceil(1.1 * calls * least / seconds))


def noise_reasons(block_seconds: Sequence[float]) -> tuple[list[str], list[str]]:
    """Return (warnings, errors) in words on blocks whose mean is the result, given in the order of time.

    Their quartiles must agree, their mean must not be made by one block of many, and they must not drift.
    """
    middle = float(np.median(block_seconds))
    pull = float(np.mean(block_seconds)) / middle - 1
    pulling = "slowest" if pull > 0 else "fastest"
    pulled = f"the {pulling} blocks pull the mean {abs(pull):.0%} away from the median"
    spread = relative_spread(block_seconds)
    warnings, errors = _graded((spread, f"IQR {spread:.0%} of the median"), (abs(pull), pulled))
    return [*warnings, *_drift_reasons(block_seconds)], errors


def call_noise_reasons(call_seconds: Sequence[float]) -> tuple[list[str], list[str]]:
    """Return (warnings, errors) in words on single calls, given in the order of time.

    Single calls scatter, and their percentiles show that; but the medians of consecutive parts must agree, and the
    calls must neither drift nor be of two kinds, between which a percentile would choose by chance.
    """
    parts = np.array_split(call_seconds, min(PARTS, len(call_seconds)))
    spread = relative_spread([float(np.median(part)) for part in parts])
    warnings, errors = _graded((spread, f"IQR {spread:.0%} of the median"))
    return [*warnings, *_drift_reasons(call_seconds), *_group_reasons(call_seconds)], errors


def _graded(*found: tuple[float, str]) -> tuple[list[str], list[str]]:
    """Return as (warnings, errors) the words of those shares that are too large."""
    warnings = [words for share, words in found if SPREAD_WARNING < share <= SPREAD_ERROR]
    return warnings, [words for share, words in found if share > SPREAD_ERROR]


def _drift_reasons(seconds: Sequence[float]) -> list[str]:
    """Say so where times get longer or shorter by more than noise explains, by the test of Mann and Kendall.

    Mann, Econometrica 13 (1945) 245; Kendall, Biometrika 30 (1938) 81. It counts the pairs that are in order, so it
    holds for noise of any distribution: by the exact distribution for a few times, by the normal one for many.
    """
    count = len(seconds)
    if count < 3:
        return []
    values = np.asarray(seconds)
    first, last = np.median(values[: count // 3]), np.median(values[-(count // 3) :])
    change = float(last / first - 1)
    if abs(change) <= DRIFT_WARNING:  # most times; the pairs of thousands of calls take a second
        return []
    in_order = abs(int(np.triu(np.sign(values[None, :] - values[:, None])).sum()))
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    if count <= FEW_TIMES:
        is_trend = _chance_of_order(count, in_order) <= FEW_CHANCE
    else:
        is_trend = in_order - 1 > DRIFT_DEVIATIONS * deviation
    if not is_trend:
        return []
    compared = "longer" if change > 0 else "less"
    return [f"the times drift: the last third takes {abs(change):.0%} {compared} than the first"]


def _chance_of_order(count: int, in_order: int) -> float:
    """Return how often chance puts times into an order so good, one way or the other.

    Args:
        count: times.
        in_order: pairs in order less pairs out of order, absolute.
    """
    chances = np.ones(1)  # of each number of pairs out of order, built up one time after the other
    for place in range(2, count + 1):
        chances = np.convolve(chances, np.full(place, 1 / place))
    swapped = (count * (count - 1) // 2 - in_order) // 2
    return float(min(1.0, 2 * chances[: swapped + 1].sum()))


def _group_reasons(seconds: Sequence[float]) -> list[str]:
    """Say so where times fall into two groups with an empty room between them."""
    if len(seconds) < GROUP_LEAST:
        return []
    ordered = np.sort(seconds)
    least = math.ceil(GROUP_SHARE * len(ordered))
    sizes = np.arange(least, len(ordered) - least + 1)  # of the faster group, in each way to cut
    # Between the outer tenths of each group, so that stragglers neither fill the room nor widen a group.
    fast_low, fast_high = _within(0, sizes, 0.1), _within(0, sizes, 0.9)
    slow_low, slow_high = (_within(sizes, len(ordered) - sizes, share) for share in (0.1, 0.9))
    room = ordered[slow_low] - ordered[fast_high]
    filled = ordered[fast_high] - ordered[fast_low] + ordered[slow_high] - ordered[slow_low]
    excess = room - GROUP_GAP * filled
    best = int(excess.argmax())
    if excess[best] <= 0:
        return []
    # Cuts near each other are as good; the widest gap in the room is the one.
    inside = ordered[fast_high[best] : slow_low[best] + 1]
    cut = int(fast_high[best] + np.diff(inside).argmax() + 1)
    fast, slow = float(np.median(ordered[:cut])), float(np.median(ordered[cut:]))
    if min(cut, len(ordered) - cut) < least or slow < (1 + GROUP_DISTANCE) * fast:
        return []
    share = cut / len(ordered)
    return [f"the times fall into two groups: {_duration(fast)} ({share:.0%}) and {_duration(slow)} ({1 - share:.0%})"]


def _within(start: NDArray[np.int64] | int, size: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Return where in a sorted array the quantiles of groups lie, given where each group starts and its size."""
    offset: NDArray[np.int64] = np.rint(share * (size - 1)).astype(np.int64)
    return start + offset


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"
