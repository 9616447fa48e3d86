"""The Pareto front: the rows that no other row beats in one respect without losing in another (Pareto, 1906).

Metrics are compared by value. A row whose metric is missing or invalid is on no front and keeps nobody off it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.leaderboard.rows import Condition, Row
from vitbench.settings import MEMORY, SPEED

__all__ = ["OnFront", "front", "on_fronts"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OnFront:
    """On which fronts of its condition a row stands; None where it lacks a metric that counts."""

    speed: bool | None
    """Of the ranking metric and speed, `vitbench.settings.SPEED`."""
    speed_memory: bool | None
    """Of these and memory, `vitbench.settings.MEMORY`."""


def front(rows: Sequence[Row], metrics: Sequence[str]) -> frozenset[int]:
    """Return the positions of the rows that no other row dominates.

    One row dominates another that is no better in any of the metrics and worse in at least one. Equal rows stand on
    the front together. The rows are of one condition: values of two are never set against each other.
    """
    points = {i: point for i, row in enumerate(rows) if (point := _point(row, metrics)) is not None}
    found: list[int] = []
    # Best first: whatever dominates a point comes before it, and so does a point of the front that dominates that.
    for i in sorted(points, key=points.__getitem__, reverse=True):
        if not any(_dominates(points[other], points[i]) for other in found):
            found.append(i)
    return frozenset(found)


def on_fronts(rows: Sequence[Row], rank_by: str) -> list[OnFront]:
    """Return for each row on which fronts of its own condition it stands."""
    by_condition: dict[Condition, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        by_condition[row.condition].append(i)
    found: dict[int, OnFront] = {}
    for positions in by_condition.values():
        members = [rows[i] for i in positions]
        speed = _placed(members, (rank_by, SPEED))
        speed_memory = _placed(members, (rank_by, SPEED, MEMORY))
        for i, with_speed, with_both in zip(positions, speed, speed_memory, strict=True):
            found[i] = OnFront(speed=with_speed, speed_memory=with_both)
    return [found[i] for i in range(len(rows))]


def _placed(rows: Sequence[Row], metrics: Sequence[str]) -> list[bool | None]:
    on_front = front(rows, metrics)
    return [None if _point(row, metrics) is None else i in on_front for i, row in enumerate(rows)]


def _point(row: Row, names: Sequence[str]) -> tuple[float, ...] | None:
    """Return the merits of a row's metrics; None unless it has all of them."""
    metrics = [row.metrics[name] for name in names if name in row.metrics]
    merits = tuple(metric.merit for metric in metrics if metric.merit is not None)
    return merits if len(merits) == len(names) else None


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine >= its for mine, its in zip(one, other, strict=True))
