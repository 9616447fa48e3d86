"""What the reference network's own value is in a table: the one factor by which all of its ratios become images/s.

A figure that was timed in turn with the reference network is a ratio (`vitbench.records.Ratio`). People want images/s,
so each ratio is multiplied by the reference's median over all processes of the rows that stand together: the machine's
mood at the time of one row is not in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from vitbench.leaderboard.metric import Metric
from vitbench.leaderboard.rows import Condition, Row

__all__ = ["ReferenceValue", "References", "on_one_scale"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceValue:
    """The reference network's value of a metric, which all rows of a table share."""

    network: str
    """Its name and version."""
    value: float
    """Median over the processes of all rows."""
    low: float
    """The least in any process."""
    high: float
    """The largest."""
    processes: int
    runs: int
    """Runs that these processes are of."""


References = Mapping[str, ReferenceValue]
"""By the metric's name."""


def on_one_scale(rows: Sequence[Row]) -> tuple[list[Row], dict[Condition, References]]:
    """Return rows whose ratios are multiplied by what they share, and that for each condition.

    Rows share it that were measured on one machine and device with the same software, whatever the dataset.
    """
    together: dict[Hashable, dict[str, list[Metric]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for name, metric in row.metrics.items():
            if metric.relative:
                together[_place(row.condition)][name].append(metric)
    shared = {
        place: {name: _value_of(metrics) for name, metrics in by_name.items()} for place, by_name in together.items()
    }
    found: dict[Condition, References] = {}
    scaled = []
    for row in rows:
        own = shared.get(_place(row.condition), {})
        scaled.append(replace(row, metrics={name: _scaled(name, metric, own) for name, metric in row.metrics.items()}))
        if own:
            found[row.condition] = own
    return scaled, found


def _place(condition: Condition) -> Hashable:
    c = condition
    return c.machine, c.device, c.threads, c.torch, c.cudnn, c.method, c.variables, c.timing_variables


def _value_of(metrics: Sequence[Metric]) -> ReferenceValue:
    known = [metric.relative.ratio for metric in metrics if metric.relative]
    values = [value for ratio in known for value in (ratio.references or (ratio.reference,))]
    return ReferenceValue(
        network=known[0].network,
        value=median(values),
        low=min(values),
        high=max(values),
        processes=len(values),
        runs=len({metric.occasion.rpartition("/")[0] for metric in metrics}),
    )


def _scaled(name: str, metric: Metric, shared: References) -> Metric:
    if metric.relative is None or metric.value is None:
        return metric
    factor = shared[name].value
    value = metric.relative.ratio.value * factor
    return replace(metric, value=value, low=None, high=None, relative=replace(metric.relative, reference=factor))
