"""In what the conditions of two rows differ, and which metrics that keeps from being compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from vitbench.durations import duration_text
from vitbench.leaderboard.metric import Metric
from vitbench.leaderboard.rows import Condition
from vitbench.specs import At

__all__ = ["BATCHES", "OF_SPEED", "VERSIONS", "Unlike", "blocking", "unlike_conditions"]

OF_SPEED = frozenset({"machine", "device", "threads", "batch_size", "train_batch_size", "timing_variables"})
"""Conditions that only speed and memory must share."""
VERSIONS = ("torch", "cudnn")
"""Conditions that two rows may differ in, since that may be what is asked about; notes tell them."""
BATCHES: Mapping[At, str] = {"fixed_batch": "batch_size", "training": "train_batch_size"}
"""The condition that is the batch size of what is taken at a cell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unlike:
    """A condition that differs."""

    condition: str
    """A field of `vitbench.leaderboard.rows.Condition`, or ``model``."""
    first: str
    second: str


def unlike_conditions(first: Condition, second: Condition) -> tuple[list[Unlike], list[Unlike]]:
    """Return in what two conditions differ: for all metrics, and for those of speed and memory alone.

    A batch size that only one of them has is none: the other's metrics are missing. Titles of datasets do not count,
    their fingerprints do; nor do versions of torch and cuDNN, which notes tell.
    """
    general: list[Unlike] = []
    of_speed: list[Unlike] = []
    for field in fields(Condition):
        name = field.name
        one, other = getattr(first, name), getattr(second, name)
        absent = name.endswith("batch_size") and None in (one, other)
        if name in ("dataset", *VERSIONS) or one == other or absent:
            continue
        (of_speed if name in OF_SPEED else general).append(
            Unlike(condition=name, first=_in_words(name, first), second=_in_words(name, second))
        )
    return general, of_speed


def _in_words(name: str, condition: Condition) -> str:
    value = getattr(condition, name)
    if name == "fingerprint":
        return f"{condition.dataset} ({value[:8]})" if value else "none"
    if name == "lineage":
        return value or "not known"
    if name == "budget" and value is not None:
        return duration_text(value)
    if name in ("variables", "timing_variables"):
        return ", ".join(f"{variable}={text}" for variable, text in value) or "none"
    return {True: "yes", False: "no", None: "none"}[value] if value is None or isinstance(value, bool) else str(value)


def blocking(unlike_speed: Sequence[Unlike], metric: Metric) -> list[Unlike]:
    """Return the conditions that keep a metric from being compared."""
    if not metric.machine_bound:
        return []
    batches = set(BATCHES.values()) - {BATCHES.get(metric.taken_at)}
    return [each for each in unlike_speed if each.condition not in batches]
