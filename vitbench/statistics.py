"""Intervals and ranks: what may be said of figures that rest on a sample.

Wilson's score interval: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
JASA 22 (1927), equation 4; Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", Statistical
Science 16 (2001), recommend it for its coverage near 0 and 1, where the normal interval has none.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Estimate", "Standing", "pool", "standings", "wilson"]


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
