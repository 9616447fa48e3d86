"""What a row has of one metric, and how it is taken from the measurements of its cells and seeds."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from vitbench.leaderboard.occasion_spread import OccasionSpread
from vitbench.records import Interval, Level, Measurement, Ratio, Style, interval_of
from vitbench.specs import At
from vitbench.statistics import Estimate, pool

__all__ = ["Metric", "Relative", "doubted", "first_taken", "metric_fields", "of_all_seeds"]

_LEVELS: tuple[Level, ...] = ("valid", "warn", "invalid")


@dataclass(frozen=True, kw_only=True, slots=True)
class Relative:
    """What is behind a value that was measured in turn with the reference network, and that is shown by their ratio."""

    ratio: Ratio
    """With the interval that ranks and compares."""
    measured: float
    """The value as it was measured: the median of the processes."""
    low: float
    """The least of the processes' values."""
    high: float
    """The largest."""
    reference: float
    """The reference's value that all rows share: what the ratio was multiplied by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """What a row has of one metric."""

    value: float | None
    """None where it is not available; never nan or infinite. Where there is a `relative`: its ratio times the
    reference's value, which all rows share."""
    unit: str
    better: Literal["higher", "lower", "neither", ""]
    low: float | None
    """Lower end of the 95 % interval, or of the range over processes; over several seeds: the mean of theirs, so that
    it is the error of the images alone."""
    high: float | None
    spread: float | None
    """Standard deviation from seed to seed; None for one seed."""
    n: int | None
    """What it rests on: images, samples or processes; over several seeds: their number."""
    verdict: Level
    """The worst over the seeds."""
    reasons: tuple[str, ...]
    taken_at: At
    """The cell that it is of."""
    exact: bool
    """Whether it is known exactly."""
    machine_bound: bool
    """Whether it holds only for the machine that measured it."""
    style: Style
    """How it is shown."""
    processes: tuple[float, ...] = ()
    """The value of each process; empty where one gave it."""
    occasion: str = ""
    """Shared by the figures whose processes took turns (`vitbench.records.Record.occasion`)."""
    occasion_spread: OccasionSpread | None = None
    """What such figures differ by from occasion to occasion on this machine; None where that is not known."""
    relative: Relative | None = None
    """The ratio to the reference network that it is shown by, and what was measured; it has no `low` and `high` then,
    since the ratio's interval is none of its unit."""

    @property
    def interval(self) -> Interval | None:
        """What `low` and `high` are the ends of."""
        return interval_of(self.low, self.high, self.processes)

    @property
    def measured(self) -> float | None:
        """The value as it was measured."""
        return self.relative.measured if self.relative else self.value

    @property
    def ends(self) -> tuple[float, float] | None:
        """The ends of the interval for a picture: where there is a `relative`, of its ratio, on the value's scale."""
        if self.relative and self.value is not None:
            ratio = self.relative.ratio
            if ratio.low is None or ratio.high is None:
                return None
            return self.value * ratio.low / ratio.value, self.value * ratio.high / ratio.value
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def of_weights(self) -> bool:
        """Whether it describes trained weights, which another seed would give otherwise."""
        return self.taken_at == "quality" and not self.exact and not self.machine_bound

    @property
    def merit(self) -> float | None:
        """The value, turned so that more is better; None where rows cannot be ordered by it."""
        if self.value is None or self.verdict == "invalid" or self.better not in ("higher", "lower"):
            return None
        return self.value if self.better == "higher" else -self.value


_TOLD = ("value", "unit", "better", "low", "high", "interval", "spread", "n", "verdict", "reasons")


def metric_fields(metric: Metric) -> dict[str, Any]:
    """Return what a row has of a metric, for programs; how it is shown to people is left out."""
    found = {name: getattr(metric, name) for name in _TOLD}
    if metric.relative is None:
        return found
    known, ratio = metric.relative, metric.relative.ratio
    return found | {
        "ratio": {
            **{name: getattr(ratio, name) for name in ("value", "low", "high", "value_of_all", "quads", "left_out")},
            "interval": "95%",
        },
        "measured": {"value": known.measured, "low": known.low, "high": known.high, "interval": "range"},
        "reference": {"network": ratio.network, "value": known.reference, "own": ratio.reference},
    }


def first_taken(by_cell: Mapping[At, Mapping[int, Measurement]]) -> Metric:
    """Return a metric from the first cell, in the order of its spec, that has a value of it.

    Args:
        by_cell: its measurements by the cell that they are of, and by seed.
    """

    def order(at: At) -> tuple[bool, int]:
        measurements = by_cell[at].values()
        return all(each.value is None for each in measurements), min(each.at.index(at) for each in measurements)

    at = min(by_cell, key=order)
    return _metric(by_cell[at], at)


def of_all_seeds(metric: Metric, measurements: Mapping[int, Measurement], asked: Collection[int]) -> Metric:
    """Doubt a mean over some of the seeds that were asked for: it leaves out those that may have done worst.

    It stays ranked, since one failure for lack of memory says nothing against the others, but never without a mark.
    """
    lacking = len(asked) - sum(m.value is not None for m in measurements.values())
    if metric.value is None or metric.exact or not lacking:
        return metric
    reason = f"{lacking} of {len(asked)} seeds {'has' if lacking == 1 else 'have'} no result"
    return replace(doubted(metric, reason), reasons=(reason, *metric.reasons))


def doubted(metric: Metric, reason: str) -> Metric:
    """Return a metric that is not trusted further, if it has a value."""
    if metric.value is None:
        return metric
    return replace(metric, verdict=max(metric.verdict, "warn", key=_LEVELS.index), reasons=(*metric.reasons, reason))


def _metric(measurements: Mapping[int, Measurement], at: At) -> Metric:
    """Return the mean over seeds; a single measurement as it is.

    Args:
        measurements: of one name, by seed.
        at: the cell that they are of.
    """
    first, *others = measurements.values()
    known = [
        Estimate(value=m.value, low=m.low, high=m.high)
        for m in measurements.values()
        if m.value is not None and math.isfinite(m.value)
    ]
    pooled = pool(known) if known else None
    reasons = [
        f"seed {seed}: {reason}" if others else reason
        for seed, m in measurements.items()
        for reason in m.verdict.reasons
    ]
    return Metric(
        value=pooled.value if pooled else None,
        unit=first.unit,
        better=first.better,
        low=pooled.low if pooled else None,
        high=pooled.high if pooled else None,
        spread=pooled.spread if pooled else None,
        n=len(known) if others else first.n,
        verdict=max((m.verdict.level for m in measurements.values()), key=_LEVELS.index),
        reasons=tuple(reasons),
        taken_at=at,
        exact=first.exact,
        machine_bound=first.machine_bound,
        style=first.style,
        processes=() if others else first.processes,
        relative=None if others else _relative(first),
    )


def _relative(one: Measurement) -> Relative | None:
    """Return what is behind a value that is shown by its ratio; None where the value itself is shown."""
    if one.ratio is None or not one.ratio.decides or one.value is None:
        return None
    values = one.processes or (one.value,)
    reference = one.ratio.reference
    return Relative(ratio=one.ratio, measured=one.value, low=min(values), high=max(values), reference=reference)
