"""What two speeds that were measured before say of each other: a ratio with its interval, and a strict rule.

An interval over processes holds what one process and the next differ by, and not what two runs, or two hours of one
run, differ by: the machine has moods (vitbench/lockstep/). So stored speeds are called different only where the
ranges of their processes are disjoint, too, and never the same; two live processes in turn can say more. Of many
metrics that are compared at once, each is judged at its share of the level (Bonferroni).

Interval: Student's t over the logarithms of the processes' medians, with the degrees of freedom of B. L. Welch, "The
generalization of 'Student's' problem when several different population variances are involved", Biometrika 34 (1947).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, variance
from typing import Literal

from vitbench.comparing.paired import LEVEL
from vitbench.leaderboard.rows import Metric
from vitbench.records import KeyedCell
from vitbench.statistics import Estimate, judge

__all__ = ["Compared", "Judgement", "Measured", "Samples", "Speed", "process_ratio", "stored_speed"]

Judgement = Literal["better", "worse", "same", "not resolved", "not comparable", "no data"]
"""What the second of two values is against the first."""
Samples = Sequence[Sequence[float]]
"""Raw samples, one sequence for each process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What two live processes in turn said of both (vitbench/lockstep/compare.py)."""

    ratio: Estimate
    """The second's value to the first's, with an interval that holds with 95 % over all looks."""
    pairs: int
    """Pairs of processes."""
    quads: int
    reasons: tuple[str, ...]
    """What makes it doubtful, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """A metric of both."""

    metric: str
    first: Metric
    second: Metric

    @property
    def difference(self) -> float | None:
        """The second's value less the first's; None where one has none."""
        first, second = self.first.value, self.second.value
        return None if first is None or second is None else second - first


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed(Compared):
    """A metric of speed of both, and what it shows."""

    ratio: Estimate | None
    """The second's stored value to the first's with its 95 % interval; None where raw samples are missing or values
    are not comparable."""
    finding: Judgement
    """By what was measured in turn, where it was; else by the stored values."""
    reason: str
    """What keeps it from being resolved, in words; empty where nothing does."""
    cells: tuple[KeyedCell, KeyedCell] | None
    """Of both, to measure them again; None where that would compare nothing."""
    measured: Measured | None = None


def process_ratio(first: Samples, second: Samples, level: float = LEVEL) -> Estimate | None:
    """Return the second's value to the first's, by the medians of their processes, with its interval.

    Args:
        first: of the base.
        second: of what is judged.
        level: chance that the interval does not hold the true ratio.

    Returns:
        None where either has less than two processes, from which no spread can be had.
    """
    if min(len(first), len(second)) < 2:
        return None
    from scipy.special import stdtrit

    medians = [[math.log(median(process)) for process in processes] for processes in (first, second)]
    centre = fmean(medians[1]) - fmean(medians[0])
    errors = [variance(own) / len(own) for own in medians]
    half = 0.0
    if sum(errors) > 0:
        freedom = sum(errors) ** 2 / sum(error**2 / (len(own) - 1) for error, own in zip(errors, medians, strict=True))
        half = float(stdtrit(freedom, 1 - level / 2)) * math.sqrt(sum(errors))
    return Estimate(value=math.exp(centre), low=math.exp(centre - half), high=math.exp(centre + half))


def stored_speed(
    metric: str, both: tuple[Metric, Metric], samples: tuple[Samples, Samples], threshold: float, together: int = 1
) -> tuple[Estimate | None, Judgement, str]:
    """Return the ratio of two stored values, what it shows of the second, and why it does not show more.

    Args:
        metric: its name, for the reason.
        both: with the ranges of their processes.
        samples: of both.
        threshold: the share of speed that does not matter.
        together: metrics that are compared at once, this one among them.
    """
    first, second = both
    for side, own in zip("AB", both, strict=True):
        if own.value is None:
            return None, "no data", f"{metric} of {side} has no value: {_first(own.reasons)}"
    ratio = process_ratio(*samples)
    for side, own in zip("AB", both, strict=True):
        if own.verdict == "invalid":
            return ratio, "not resolved", f"{metric} of {side} is invalid: {_first(own.reasons)}"
    if ratio is None:
        return None, "not resolved", f"{metric}: raw samples of two processes each are not stored"
    (low, high), (other_low, other_high) = _ends(first), _ends(second)
    if low <= other_high and other_low <= high:
        return ratio, "not resolved", f"{metric}: the ranges of the processes overlap"
    # Times are turned round: half the time is twice the speed.
    base, judged = samples if first.better == "higher" else samples[::-1]
    speeds = process_ratio(base, judged, LEVEL / together)
    assert speeds is not None
    finding = judge(speeds, threshold)
    if finding in ("faster", "slower"):
        return ratio, "better" if finding == "faster" else "worse", ""
    corrected = f", corrected over {together} figures," if together > 1 else ""
    words = f"{metric}: the interval{corrected} does not lie beyond the {threshold:.1%} that do not matter"
    return ratio, "not resolved", words


def _first(reasons: Sequence[str]) -> str:
    """Return the first of some reasons, and how many more there are."""
    more = f"; and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}" if reasons else "no reason given"


def _ends(metric: Metric) -> tuple[float, float]:
    """Return the range over processes; what is not known reaches to infinity."""
    return -math.inf if metric.low is None else metric.low, math.inf if metric.high is None else metric.high
