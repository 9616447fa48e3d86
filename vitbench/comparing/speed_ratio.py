"""What two speeds that were measured before say of each other: a ratio with its interval, and a strict rule.

The rule is that of the ranks (vitbench/leaderboard/processes.py), and what is compared are the ratios to the reference
network, where the processes timed it in turn. An interval over processes holds what one process and the next differ by,
and not what two runs, or two hours of one run, differ by. So stored speeds are never called the same, and those of two
occasions, as of two folders, are called different only beyond what occasions are known to differ by; two live processes
in turn can say more (vitbench/lockstep/). Of many metrics that are compared at once, each is judged at its share of the
level (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from vitbench.leaderboard.metric import Metric
from vitbench.leaderboard.processes import LEVEL, Processes, moody, tell_p, variance_between
from vitbench.records import KeyedCell
from vitbench.statistics import Estimate, process_ratio

__all__ = ["Compared", "Judgement", "Measured", "Speed", "stored_speed"]

Judgement = Literal["better", "worse", "same", "not resolved", "not comparable", "no data"]
"""What the second of two values is against the first."""


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
    def has_value(self) -> bool:
        """Whether one of the two has a value; most recipes give none for pretraining, say."""
        return self.first.value is not None or self.second.value is not None

    @property
    def difference(self) -> float | None:
        """The second's value less the first's; None where one has none."""
        first, second = self.first.value, self.second.value
        return None if first is None or second is None else second - first


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed(Compared):
    """A metric of speed of both, and what it shows."""

    ratio: Estimate | None
    """The second's stored value to the first's with its 95 % interval; None where the processes' values are missing
    or not comparable."""
    finding: Judgement
    """By what was measured in turn, where it was; else by the stored values."""
    reason: str
    """What keeps it from being resolved, in words; empty where nothing does."""
    cells: tuple[KeyedCell, KeyedCell] | None
    """Of both, to measure them again; None where that would compare nothing."""
    measured: Measured | None = None


def stored_speed(
    metric: str, both: tuple[Metric, Metric], threshold: float, together: int = 1, *, in_turn: bool = True
) -> tuple[Estimate | None, Judgement, str]:
    """Return the ratio of two stored values, what it shows of the second, and why it does not show more.

    Args:
        metric: its name, for the reason.
        both: with the values of their processes; where these are ratios to the reference network, so is what is said.
        threshold: the share of speed that does not matter.
        together: metrics that are compared at once, this one among them.
        in_turn: whether values of one occasion are so. Two folders are two occasions, whatever they call them.
    """
    for side, own in zip("AB", both, strict=True):
        if own.value is None:
            return None, "no data", f"{metric} of {side} has no value: {_first(own.reasons)}"
    one, other = (Processes.of(own) for own in both)
    if one is None or other is None:
        return None, "not resolved", f"{metric}: the values of two processes each are not stored"
    if one.network != other.network:
        return None, "not comparable", f"{metric}: A and B are not both ratios to the same reference network"
    apart = moody(both[0]) and not (in_turn and one.occasion and one.occasion == other.occasion)
    if apart:
        # What one folder knows of the machine holds for the other.
        between = one.between or other.between
        one = replace(one, occasion="A", between=one.between or between)
        other = replace(other, occasion="B", between=other.between or between)
    ratio = process_ratio(one.values, other.values, beside=variance_between(one, other))
    for side, own in zip("AB", both, strict=True):
        if own.verdict == "invalid":
            return ratio, "not resolved", f"{metric} of {side} is invalid: {_first(own.reasons)}"
    if apart and None in (one.between, other.between):
        return (
            ratio,
            "not resolved",
            f"{metric}: not measured in turn, and it is not known how much two occasions differ",
        )
    if tell_p(one, other, threshold) <= LEVEL / together:
        # Times are turned round: half the time is twice the speed.
        faster = (ratio.value > 1) == (both[0].better == "higher")
        return ratio, "better" if faster else "worse", ""
    corrected = f", corrected over {together} numbers," if together > 1 else ""
    words = f"{metric}: the interval{corrected} does not exclude differences below the threshold of {threshold:.1%}"
    return ratio, "not resolved", words


def _first(reasons: Sequence[str]) -> str:
    """Return the first of some reasons, and how many more there are."""
    more = f"; and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}" if reasons else "no reason given"
