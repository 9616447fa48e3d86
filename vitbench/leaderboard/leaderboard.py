"""Rows to a ranking: a pure function of what the store holds, without catalog or torch.

Ranks are given among rows of equal conditions only, by metrics that are not invalid, and never to partial results.
They are ranges, as wide as what is known of the metrics; see `vitbench.leaderboard.ranking`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from vitbench.leaderboard.image_scores import Known
from vitbench.leaderboard.imported import imported_rows
from vitbench.leaderboard.metric import Metric
from vitbench.leaderboard.occasion_spread import RATIOS, Kind, OccasionSpread, occasion_spreads
from vitbench.leaderboard.processes import LEAST_BYTES, THRESHOLD, Processes, moody
from vitbench.leaderboard.ranking import Entry, Resolution, rank
from vitbench.leaderboard.references import References, on_one_scale
from vitbench.leaderboard.rows import Condition, Row, unranked
from vitbench.leaderboard.selecting import Patterns, select
from vitbench.leaderboard.versions import of_one_code
from vitbench.printable import plain
from vitbench.records import FigureCell, KeyedCell, QualityCell, Record, SpeedCell, kind_of, newest_by_id
from vitbench.sharding import Shard

__all__ = [
    "Condition",
    "Failure",
    "Leaderboard",
    "Metric",
    "Resolution",
    "Row",
    "build",
    "in_order",
    "interval_entry",
    "row_labels",
    "seed_outcomes",
    "with_occasion_spreads",
]

MOST_PAIRED = 1000
"""Rows of one condition whose predictions are read and compared pair by pair; of more, intervals are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A cell without a result."""

    model: str
    dataset: str
    """Title; empty for a speed cell."""
    kind: Literal["quality", "speed", "figure"]
    status: str
    """Any status but ok; `pending` never started, or waits for the hub, where an older result may be in the rows;
    `elsewhere` is left to another shard."""
    reason: str
    id: str
    detail: str
    """Which of the model's cells, in words."""
    planned: KeyedCell


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaderboard:
    """Rows, the best first within each condition unless a `View` sorts them, and what is missing from them."""

    rank_by: str
    rows: tuple[Row, ...]
    failed: tuple[Failure, ...]
    resolutions: Mapping[Condition, Resolution]
    """What the test set can tell, where rows were compared on its images."""
    references: Mapping[Condition, References]
    """What the speeds of each condition's rows are multiples of."""
    left_out: tuple[str, ...] = ()
    """What is of older code than the rest of its row, in sentences."""
    damaged: tuple[str, ...] = ()
    """What of the folder is damaged, and left out, in sentences."""
    hidden: str = ""
    """What the patterns and the condition that were asked for leave out, in sentences; empty where none were."""
    where: str = ""
    """The condition that hides rows of those that were ranked; empty: none does."""
    columns: tuple[str, ...] = ()
    """What tables show of a row, in this order; empty: what its metrics say."""
    unseen: tuple[Row, ...] = ()
    """The rows that `where` hides."""
    elsewhere: tuple[Failure, ...] = ()
    """Cells of the plan that are left to other shards, whose folders hold their results."""

    def by_condition(self) -> dict[Condition, list[Row]]:
        """Return the rows of each condition, in their order."""
        found: dict[Condition, list[Row]] = defaultdict(list)
        for row in self.rows:
            found[row.condition].append(row)
        return dict(found)


def _unknown(record: Record) -> None:
    """Say that nothing is known of single images."""


def build(
    records: Iterable[Record],
    pending: Sequence[KeyedCell],
    rank_by: str,
    outcomes: Callable[[Record], Known | None] = _unknown,
    patterns: Patterns | None = None,
    *,
    elsewhere: Mapping[str, Shard] = MappingProxyType({}),
) -> Leaderboard:
    """Return the leaderboard of some records.

    Args:
        records: All attempts, the newest last; of each cell the newest counts.
        pending: Cells that were planned and never ended.
        rank_by: Name of the metric to rank by.
        outcomes: Gives what is stored of images or resamples behind a record's `rank_by`, where it is known. Rows
            that have it are compared on the same images, others by their intervals.
        patterns: What to show and to rank; None: all.
        elsewhere: Of the pending cells, by key, those of other shards.

    Raises:
        UsageError: a pattern fits nothing.
    """
    records = list(records)
    newest = newest_by_id(records)
    lacking = [record for record in newest.values() if record.status != "ok" and not _does_not_concern(record)]
    failed = [_failure(record.planned, record.status, record.reason) for record in lacking]
    # Of these an older result is shown, too.
    last = {record.id: record for record in records}
    waiting = [r for r in last.values() if r.status == "pending" and newest[r.id] is not r]
    failed += [_failure(r.planned, r.status, r.reason) for r in waiting]
    failed += [_failure(cell, "pending", "not started") for cell in pending if cell.key not in elsewhere]
    others = [
        _failure(cell, "elsewhere", f"in shard {elsewhere[cell.key]}") for cell in pending if cell.key in elsewhere
    ]
    by_condition: dict[Condition, list[Row]] = defaultdict(list)
    measured = [record for record in newest.values() if not isinstance(record.planned.cell, FigureCell)]
    own, left_out = of_one_code([record for record in measured if not record.source])
    # Before rows are chosen, so that no speed depends on what else is shown, or on what somebody else measured.
    scaled, references = on_one_scale(unranked(own, pending))
    theirs, of_theirs = on_one_scale(imported_rows(measured, scaled))
    scaled, references = scaled + theirs, of_theirs | references
    spreads = occasion_spreads([record for record in records if not record.source])
    shown, hidden = with_occasion_spreads(scaled, spreads), ""
    if patterns is not None:
        selected = select(shown, failed, newest, patterns)
        shown, failed, hidden = selected.rows, selected.failed, selected.hidden
        labels = {newest[each].planned.label for row in shown for each in row.ids}
        left_out = tuple((label, words) for label, words in left_out if label in labels)
    for row in shown:
        by_condition[row.condition].append(row)
    rows: list[Row] = []
    resolutions = {}
    for condition in sorted(by_condition, key=_order):
        members = by_condition[condition]
        members = [replace(row, label=name) for row, name in zip(members, row_labels(members), strict=True)]
        able = [row for row in members if _can_rank(row, rank_by)]
        unable = [row for row in members if not _can_rank(row, rank_by)]
        known = [seed_outcomes(row, newest, rank_by, outcomes) if len(able) <= MOST_PAIRED else () for row in able]
        ranked, resolution = _with_ranks(able, known, rank_by)
        rows += in_order(ranked + unable, rank_by)
        if resolution is not None:
            resolutions[condition] = resolution
    return Leaderboard(
        rank_by=rank_by,
        rows=tuple(rows),
        failed=tuple(failed),
        resolutions=resolutions,
        references=references,
        left_out=tuple(words for _, words in left_out),
        hidden=hidden,
        elsewhere=tuple(others),
    )


def with_occasion_spreads(rows: Iterable[Row], spreads: Mapping[Kind, OccasionSpread]) -> list[Row]:
    """Return rows whose figures know what two occasions of their machine differ by: ratios, and each other metric."""
    return [
        replace(
            row,
            metrics={
                name: replace(
                    metric,
                    occasion_spread=spreads.get(
                        (row.condition.machine, row.condition.device, RATIOS if metric.relative else name)
                    ),
                )
                if metric.occasion
                else metric
                for name, metric in row.metrics.items()
            },
        )
        for row in rows
    ]


def row_labels(rows: Sequence[Row]) -> list[str]:
    """Return what to call the rows of one condition: the model, with its recipe where that is not enough.

    Of rows that were ranked that is their label, whichever of the others are shown.
    """
    counts = Counter(row.model for row in rows)
    return [row.label or row.model + (f" [{row.recipe}]" if counts[row.model] > 1 else "") for row in rows]


def _can_rank(row: Row, rank_by: str) -> bool:
    metric = row.metrics.get(rank_by)
    return metric is not None and metric.merit is not None and not row.condition.partial


def seed_outcomes(
    row: Row, newest: Mapping[str, Record], rank_by: str, outcomes: Callable[[Record], Known | None]
) -> tuple[Known, ...]:
    """Return what is known of each of a row's seeds; nothing unless all of it is known and gives the row's values."""
    found = []
    for record in (newest[each] for each in row.ids):
        if not isinstance(record.planned.cell, QualityCell):
            continue
        measured = next((m.value for m in record.measurements if m.name == rank_by), None)
        known = outcomes(record) if measured is not None else None
        if known is None or measured is None:
            return ()
        # The file and the record were not written at one moment.
        if not math.isclose(known.value, measured, rel_tol=1e-6, abs_tol=1e-9):
            return ()
        found.append(known)
    return tuple(found)


def in_order(rows: Iterable[Row], rank_by: str) -> list[Row]:
    """Return rows as a leaderboard has them: by condition, the best first, those without a value last."""
    return sorted(rows, key=lambda row: (_order(row.condition), _merit(row, rank_by)))


def _with_ranks(
    rows: Sequence[Row], outcomes: Sequence[tuple[Known, ...]], rank_by: str
) -> tuple[list[Row], Resolution | None]:
    metrics = [row.metrics[rank_by] for row in rows]
    better = metrics[0].better if metrics else "higher"
    assert better in ("higher", "lower")
    entries = [interval_entry(metric, known) for metric, known in zip(metrics, outcomes, strict=True)]
    ranking = rank(entries, better)
    ranked = [
        replace(row, rank=s.rank, rank_last=s.rank_last, tied_with=tuple(rows[i].label for i in s.ties))
        for row, s in zip(rows, ranking.standings, strict=True)
    ]
    return ranked, ranking.resolution


def interval_entry(metric: Metric, outcomes: tuple[Known, ...] = ()) -> Entry:
    """Return a value with the error of its sample and that of its seeds in one interval.

    A value without an interval may be anywhere, unless it is exact. So may one of a single process that calls itself
    certain, and what depends on the machine's mood, which no process by itself shows. A range of processes is no
    interval either: `Entry.processes` tell such values apart.
    """
    assert metric.value is not None
    low, high = (metric.value, metric.value) if metric.exact else (-math.inf, math.inf)
    alone = metric.n == 1 and metric.low == metric.high and metric.taken_at != "quality"
    unknown = not metric.exact and (alone or moody(metric) or metric.interval == "range")
    low = low if metric.low is None or unknown else metric.low
    high = high if metric.high is None or unknown else metric.high
    if metric.taken_at != "quality" and not metric.exact:
        least = max(THRESHOLD * abs(metric.value), LEAST_BYTES if metric.unit == "B" else 0.0)
        low, high = min(low, metric.value - least), max(high, metric.value + least)
    if metric.spread is not None and metric.n is not None:
        from scipy.special import stdtrit

        of_seeds = float(stdtrit(metric.n - 1, 0.975)) * metric.spread / math.sqrt(metric.n)
        low = metric.value - math.hypot(metric.value - low, of_seeds)
        high = metric.value + math.hypot(high - metric.value, of_seeds)
    return Entry(value=metric.value, low=low, high=high, outcomes=outcomes, processes=Processes.of(metric))


def _merit(row: Row, rank_by: str) -> tuple[object, ...]:
    """Sort key: by value those that are ranked or partial, then the invalid ones; at last those without a value."""
    metric = row.metrics.get(rank_by)
    if metric is None or metric.value is None:
        return (2, 0.0, row.model)
    value = metric.value if metric.better == "lower" else -metric.value
    return (1 if metric.verdict == "invalid" else 0, value, row.model)


def _order(condition: Condition) -> tuple[object, ...]:
    c = condition
    return (
        *(
            c.split != "test",
            c.partial,
            not c.dataset,
            c.dataset,
            c.lineage,
            c.fingerprint,
            c.machine,
            c.device,
            c.threads,
        ),
        *(c.precision, c.compile, c.channels_last, -c.method, c.limit or 0, c.epochs or 0, c.budget or 0),
        *(c.other_classes, c.apart),
        *(c.torch, c.cudnn, c.variables, c.timing_variables),
    )


def _does_not_concern(record: Record) -> bool:
    """Whether it is of a figure that does not concern the model, as attention a convolutional network."""
    return isinstance(record.planned.cell, FigureCell) and record.status == "skipped"


def _failure(planned: KeyedCell, status: str, reason: str) -> Failure:
    cell = planned.cell
    if not isinstance(cell, SpeedCell):
        trained = cell.of if isinstance(cell, FigureCell) else cell
        title = planned.data.title if planned.data else trained.dataset
        of_figure = f"{cell.figure}, " if isinstance(cell, FigureCell) else ""
        detail = f"{of_figure}{planned.judged_on}, seed {trained.seed}"
    else:
        batch = "the largest batch" if cell.largest_batch else f"batch {cell.batch_size}"
        step = f" of {cell.recipe.partition('/')[2]}" if cell.recipe else ""
        title, detail = "", f"{cell.mode} speed{step} at {batch}"
    return Failure(
        model=planned.label,
        dataset=title,
        kind=kind_of(cell),
        status=status,
        reason=reason if plain(reason).strip() else status,
        id=planned.id,
        detail=detail,
        planned=planned,
    )
