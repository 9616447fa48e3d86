"""Rows to a ranking: a pure function of what the store holds, without catalog or torch.

Ranks are given among rows of equal conditions only, by figures that are not invalid, and never to partial results.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from vitbench.records import KeyedCell, QualityCell, Record, newest_by_id
from vitbench.rows import Condition, Metric, Row, unranked
from vitbench.statistics import Estimate, standings

__all__ = ["Condition", "Failure", "Leaderboard", "Metric", "Row", "build"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A cell without a result."""

    model: str
    dataset: str
    """Title; empty for a speed cell."""
    kind: Literal["quality", "speed"]
    status: str
    """Any status but ok; `pending` never started."""
    reason: str
    id: str
    detail: str
    """Which of the model's cells, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaderboard:
    """Rows, the best first within each condition, and what is missing from them."""

    rank_by: str
    rows: tuple[Row, ...]
    failed: tuple[Failure, ...]


def build(records: Iterable[Record], pending: Sequence[KeyedCell], rank_by: str) -> Leaderboard:
    """Return the leaderboard of some records.

    Args:
        records: All attempts, the newest last; of each cell the newest counts.
        pending: Cells that were planned and never ended.
        rank_by: Name of the metric to rank by.
    """
    newest = newest_by_id(records)
    failed = [_failure(r.planned, r.status, r.reason) for r in newest.values() if r.status != "ok"]
    failed += [_failure(cell, "pending", "not started") for cell in pending]
    return Leaderboard(rank_by=rank_by, rows=tuple(_ranked(unranked(newest.values()), rank_by)), failed=tuple(failed))


def _ranked(rows: Iterable[Row], rank_by: str) -> list[Row]:
    """Return rows with their ranks, condition by condition, full ones before partial, the best first in each."""
    by_condition: dict[Condition, list[Row]] = defaultdict(list)
    for row in rows:
        by_condition[row.condition].append(row)
    ordered = []
    for condition in sorted(by_condition, key=_order):
        members = by_condition[condition]
        able = [row for row in members if _can_rank(row, rank_by)]
        unable = [row for row in members if not _can_rank(row, rank_by)]
        ordered += sorted(_with_ranks(able, rank_by) + unable, key=lambda row: _merit(row, rank_by))
    return ordered


def _can_rank(row: Row, rank_by: str) -> bool:
    metric = row.metrics.get(rank_by)
    return (
        metric is not None
        and metric.value is not None
        and metric.verdict != "invalid"
        and metric.better in ("higher", "lower")
        and not row.condition.partial
    )


def _with_ranks(rows: Sequence[Row], rank_by: str) -> list[Row]:
    metrics = [row.metrics[rank_by] for row in rows]
    estimates = [Estimate(value=m.value, low=m.low, high=m.high) for m in metrics if m.value is not None]
    better = metrics[0].better if metrics else "higher"
    assert better in ("higher", "lower")
    return [
        replace(row, rank=standing.rank, tied_with=tuple(rows[i].model for i in standing.ties))
        for row, standing in zip(rows, standings(estimates, better), strict=True)
    ]


def _merit(row: Row, rank_by: str) -> tuple[object, ...]:
    """Sort key: ranked rows, then rows by value (partial or invalid), then those without one."""
    metric = row.metrics.get(rank_by)
    if metric is None or metric.value is None:
        return (2, 0.0, row.model)
    value = metric.value if metric.better == "lower" else -metric.value
    return (0 if row.rank is not None or row.condition.partial else 1, value, row.model)


def _order(condition: Condition) -> tuple[object, ...]:
    c = condition
    return (
        *(c.partial, not c.dataset, c.dataset, c.fingerprint, c.machine, c.device, c.threads),
        *(c.precision, c.compile, c.channels_last, c.limit or 0, c.epochs or 0),
    )


def _failure(planned: KeyedCell, status: str, reason: str) -> Failure:
    cell = planned.cell
    if isinstance(cell, QualityCell):
        title = planned.data.title if planned.data else cell.dataset
        detail = f"{title}, seed {cell.seed}"
    else:
        batch = "the largest batch" if cell.largest_batch else f"batch {cell.batch_size}"
        title, detail = "", f"{cell.mode} speed at {batch}"
    return Failure(
        model=planned.label,
        dataset=title,
        kind="quality" if isinstance(cell, QualityCell) else "speed",
        status=status,
        reason=reason or status,
        id=planned.id,
        detail=detail,
    )
