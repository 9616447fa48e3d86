"""Intervals and ranks: what may be said of figures that rest on a sample.

Wilson's score interval: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
JASA 22 (1927), equation 4; Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", Statistical
Science 16 (2001), recommend it for its coverage near 0 and 1, where the normal interval has none.

Interval of a ratio of speeds: T. Kalibera and R. Jones, "Rigorous benchmarking in reasonable time", ISMM 2013: where
samples are nested, the figures of the highest level, here of pairs of processes, are what the interval rests on.
Looking again after each pair: S. J. Pocock, "Group sequential methods in the design and analysis of clinical trials",
Biometrika 64 (1977): the same, higher level at each look.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Literal

__all__ = ["Estimate", "Finding", "Standing", "judge", "pool", "ratio_interval", "standings", "wilson"]

Finding = Literal["faster", "slower", "same", "not resolved"]

LOOK_CONFIDENCE = 0.975
"""Level of each of up to eight looks (after 3 to 10 pairs of processes), for 95 % over all of them. Simulated at a true
difference of exactly the threshold: 4.5 % are called different; at 95 % for each look it would be 8 %."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A figure and the interval that it is known to."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where one of several estimates stands among them."""

    rank: int
    """1 + the number of estimates with a better value; equal values share a rank."""
    ties: tuple[int, ...]
    """Positions of the others that cannot be told apart from it."""


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided Wilson score interval of a proportion; low is exactly 0 at 0 successes, high 1 at n.

    Raises:
        ValueError: n is not positive, successes lie outside 0..n, or confidence outside (0, 1).
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"a proportion needs 0 <= successes <= n and n >= 1, not {successes} of {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    from scipy.special import ndtri

    z = float(ndtri(0.5 + confidence / 2))
    proportion = successes / n
    shrink = 1 + z * z / n
    centre = (proportion + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(proportion * (1 - proportion) / n + z * z / (4 * n * n))
    # At the ends the formula gives 0 and 1 up to rounding only.
    return (0.0 if successes == 0 else centre - half, 1.0 if successes == n else centre + half)


def pool(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of one or more repetitions, from the lowest low to the highest high.

    That hull holds the spread from run to run and the sampling error of each run; it is wider than a 95 % interval
    of the mean, which two or three repetitions cannot support.
    """
    if len(estimates) == 1:
        return estimates[0]
    return Estimate(
        value=math.fsum(e.value for e in estimates) / len(estimates),
        low=min(e.value if e.low is None else e.low for e in estimates),
        high=max(e.value if e.high is None else e.high for e in estimates),
    )


def ratio_interval(groups: Sequence[Sequence[float]]) -> Estimate:
    """Return a ratio and the interval that holds for it with 95 %, however often one looks up to ten groups.

    Each group gives one figure, the median of its log ratios, which a burst of noise in less than half of them does
    not move. The interval is Student's t over these figures. It makes no assumption on the samples within a group,
    which follow one another in time, and holds what a process's own memory layout does to its speed; a pooled
    interval would hold neither.

    Args:
        groups: natural logarithms of ratios, one sequence for each independent repetition (pair of processes).

    Raises:
        ValueError: fewer than two groups, from which no spread can be had.
    """
    if len(groups) < 2:
        raise ValueError(f"an interval needs at least two groups, not {len(groups)}")
    from scipy.special import stdtrit

    figures = [median(group) for group in groups]
    centre = fmean(figures)
    quantile = float(stdtrit(len(figures) - 1, 0.5 + LOOK_CONFIDENCE / 2))
    half = quantile * stdev(figures, centre) / math.sqrt(len(figures))
    return Estimate(value=math.exp(centre), low=math.exp(centre - half), high=math.exp(centre + half))


def judge(ratio: Estimate, threshold: float) -> Finding:
    """Say what a ratio of speeds, the second's to the first's, shows about the second.

    It is different where the whole interval lies beyond the threshold, the same where the whole interval lies within.
    A threshold of 0.03 is 0.97 downwards and 1/0.97 upwards, so that exchanging the two mirrors the answer.

    Args:
        ratio: with its interval.
        threshold: the share of the faster one's speed that does not matter.

    Raises:
        ValueError: the threshold lies outside 0..1, or there is no interval.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"the threshold must lie between 0 and 1, not {threshold}")
    if ratio.low is None or ratio.high is None:
        raise ValueError("a ratio without an interval cannot be judged")
    lowest = 1 - threshold
    highest = 1 / lowest
    if ratio.high < lowest:
        return "slower"
    if ratio.low > highest:
        return "faster"
    return "same" if lowest < ratio.low and ratio.high < highest else "not resolved"


def standings(estimates: Sequence[Estimate], better: Literal["higher", "lower"]) -> list[Standing]:
    """Rank estimates by value, and name those whose intervals overlap.

    Overlap of intervals is a careful rule: it calls some models tied that a paired test could tell apart.
    An estimate without an interval is taken as exact.
    """
    sign = 1 if better == "higher" else -1
    ascending = sorted(sign * e.value for e in estimates)
    ties = _overlaps([(e.value if e.low is None else e.low, e.value if e.high is None else e.high) for e in estimates])
    return [
        Standing(rank=1 + len(estimates) - bisect_right(ascending, sign * e.value), ties=tuple(sorted(others)))
        for e, others in zip(estimates, ties, strict=True)
    ]


def _overlaps(intervals: Sequence[tuple[float, float]]) -> list[list[int]]:
    """Return for each interval the positions of those that it shares a point with, in time of sorting and output."""
    found: list[list[int]] = [[] for _ in intervals]
    by_low = sorted(range(len(intervals)), key=lambda i: intervals[i][0])
    for place, i in enumerate(by_low):
        for j in by_low[place + 1 :]:
            if intervals[j][0] > intervals[i][1]:
                break
            found[i].append(j)
            found[j].append(i)
    return found
