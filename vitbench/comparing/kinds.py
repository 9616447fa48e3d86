"""As what a metric of two rows is compared: as a speed, as quality, or as a cost. What is stored with it says it."""

from __future__ import annotations

from vitbench.leaderboard.metric import Metric
from vitbench.specs import At

__all__ = ["is_cost", "is_quality", "is_speed"]

_TIMED: tuple[At, ...] = ("fixed_batch", "batch_1", "training")


def is_speed(metric: Metric) -> bool:
    """Say whether a metric is judged as a speed: a time or a rate of timed steps that stands in every table."""
    directed = metric.better in ("higher", "lower")
    timed = metric.machine_bound and metric.taken_at in _TIMED and _is_time(metric.unit)
    return timed and directed and metric.style.columns == "main"


def is_quality(metric: Metric) -> bool:
    """Say whether a metric is one of what a model gives: of its evaluation, or what every table shows."""
    of_model = not metric.machine_bound and not metric.exact
    return of_model and (metric.taken_at == "quality" or metric.style.columns == "main")


def is_cost(metric: Metric) -> bool:
    """Say whether a metric is shown with its plain difference.

    Of what does not stand in every table that is memory and energy: a percentile or a start differs by chance.
    """
    if metric.style.columns == "all" or not (metric.exact or metric.machine_bound) or is_speed(metric):
        return False
    # What could not be had, such as the energy of a CPU, needs no line.
    return metric.style.columns == "main" or (metric.value is not None and not _is_time(metric.unit))


def _is_time(unit: str) -> bool:
    return unit == "s" or unit.endswith("/s")
