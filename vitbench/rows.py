"""Records to rows, not yet ranked: which attempts belong together, and what a row says.

A row is a model with its options on one data set, under one recipe and one set of conditions. Quality is averaged over
seeds; speed is joined on the model, its options, the number of classes, the input shape, precision and flags.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import msgspec

from vitbench.records import KeyedCell, Level, Measurement, QualityCell, Record, SpeedCell
from vitbench.specs import OptionValue
from vitbench.statistics import Estimate, pool

__all__ = ["COSTS", "MACHINE_UNITS", "Condition", "Metric", "Row", "unranked"]

COSTS = frozenset({"params", "macs"})
"""What a model costs wherever it runs: any of its cells may tell, and tells it exactly."""
_STARTUP = frozenset({"cold_start", "compile_seconds"})
"""Figures that, like latencies, are those of the first image."""
MACHINE_UNITS = frozenset({"s", "B", "images/s", "images", "J"})
"""Units of figures that hold for the machine that made them only."""
_LEVELS: tuple[Level, ...] = ("valid", "warn", "invalid")


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One figure of a row."""

    value: float | None
    """None where it could not be had; never nan or infinite."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """What rows must share to be compared."""

    dataset: str
    """Title of the data set; empty for speed that no data set asked for."""
    fingerprint: str
    """SHA-256 of labels and pixels."""
    machine: str
    """The machine class."""
    device: str
    precision: str
    threads: int
    compile: bool
    channels_last: bool
    method: int
    """Version of the way numbers are made, `vitbench.records.METHOD`."""
    limit: int | float | None
    """Images (int) or share (float) of each split; None: all."""
    epochs: int | None
    """Override of the recipes' length; None: their own."""
    batch_size: int | None
    """The fixed batch of throughput and peak memory; None where nothing was timed."""
    train_batch_size: int | None
    """The batch of training throughput and memory."""

    @property
    def partial(self) -> bool:
        """Whether data or training were cut short."""
        return self.limit is not None or self.epochs is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One model under one condition."""

    rank: int | None
    """First of the ranks that it may have; None: partial, or without a valid figure to rank by."""
    rank_last: int | None
    """Last of them; see `vitbench.ranking`."""
    tied_with: tuple[str, ...]
    """Rows that are neither better nor worse for certain, by the names that tell rows apart."""
    model: str
    """Label: the name with options, or what the suite calls it."""
    recipe: str
    """Full name; with options where the same model has several rows."""
    seeds: tuple[int, ...]
    baseline: bool
    image_size: int
    """Side of the model's input in pixels."""
    condition: Condition
    metrics: Mapping[str, Metric]
    other_batches: Mapping[str, tuple[int, ...]]
    """By mode, where its speed was measured, but not at the condition's batch: at which it was."""
    ids: tuple[str, ...]
    """The cells that it is made of."""


class _Place(NamedTuple):
    machine: str
    device: str
    threads: int


class _Manner(NamedTuple):
    """How a model was computed, and by which version of our method it was measured."""

    precision: str
    compile: bool
    channels_last: bool
    method: int


class _Subject(NamedTuple):
    """What quality and speed are joined on, beside the manner."""

    model: str
    options: bytes
    num_classes: int
    input_shape: tuple[int, int, int]


class _Task(NamedTuple):
    """What quality rows must share to stand in one table."""

    dataset: str
    fingerprint: str
    manner: _Manner
    limit: int | float | None
    epochs: int | None


class _Entry(NamedTuple):
    """What quality records must share to be seeds of one row."""

    subject: _Subject
    task: _Task
    recipe: str
    recipe_options: bytes


_Speed = dict[tuple[_Subject, _Manner], dict[_Place, list[Record]]]


def unranked(records: Iterable[Record]) -> list[Row]:
    """Return the rows that some records make, of each cell the newest attempt only, the newest last."""
    entries, speed = _grouped(records)
    batches = _common_batches(speed)
    placed = _placed(entries, speed)
    rows = [_row(planned, entry, good, place, speed, batches) for entry, good, planned, place in placed]
    return _told_apart(rows, [entry for entry, *_ in placed])


def _grouped(records: Iterable[Record]) -> tuple[dict[_Entry, list[Record]], _Speed]:
    """Return quality records of any status by the row they belong to, and good speed records by subject and place."""
    entries: dict[_Entry, list[Record]] = defaultdict(list)
    speed: _Speed = defaultdict(lambda: defaultdict(list))
    for record in records:
        cell = record.planned.cell
        if isinstance(cell, QualityCell):
            entries[_entry(record.planned, cell)].append(record)
        elif record.status == "ok":
            subject = _Subject(cell.model, _canonical(cell.options), cell.num_classes, cell.input_shape)
            speed[subject, _manner(record.planned)][_Place(cell.machine, cell.device, cell.threads)].append(record)
    return entries, speed


def _entry(planned: KeyedCell, cell: QualityCell) -> _Entry:
    data, side = planned.data, planned.image_size
    assert data is not None  # every quality cell has its data
    shape = (planned.in_channels, side, side)
    return _Entry(
        subject=_Subject(cell.model, _canonical(cell.options), len(data.class_names), shape),
        task=_Task(data.title, data.fingerprint, _manner(planned), cell.limit, cell.epochs),
        recipe=cell.recipe,
        recipe_options=_canonical(cell.recipe_options),
    )


def _canonical(options: Mapping[str, OptionValue]) -> bytes:
    return msgspec.json.encode(options, order="deterministic")


def _manner(planned: KeyedCell) -> _Manner:
    cell = planned.cell
    return _Manner(cell.precision, cell.compile, cell.channels_last, planned.provenance.method)


def _common_batches(speed: _Speed) -> dict[tuple[_Place, _Manner, str], int]:
    """Return the batch size of each mode that was measured last: a table compares at one only."""
    newest: dict[tuple[_Place, _Manner, str], tuple[float, int]] = {}
    for (_, manner), places in speed.items():
        for place, records in places.items():
            for record in records:
                cell = _speed_cell(record)
                if not cell.largest_batch and (cell.mode == "training" or cell.batch_size > 1):
                    where = place, manner, cell.mode
                    newest[where] = max(newest.get(where, (0.0, 0)), (record.started, cell.batch_size))
    return {where: batch_size for where, (_, batch_size) in newest.items()}


def _placed(
    entries: Mapping[_Entry, list[Record]], speed: _Speed
) -> list[tuple[_Entry, list[Record], KeyedCell, _Place]]:
    """Return each row to be: what it is, its good quality records, a cell to name it by, and where it was measured.

    A model has a row wherever its speed was measured, else where it was evaluated. A baseline has no speed of its own:
    it stands wherever the models do that it is to be compared with.
    """
    rows = []
    candidates: dict[_Task, dict[_Place, None]] = defaultdict(dict)
    baselines = []
    unused = dict(speed)
    for entry, attempts in entries.items():
        good = [record for record in attempts if record.status == "ok"]
        timed = speed.get((entry.subject, entry.task.manner), {})
        unused.pop((entry.subject, entry.task.manner), None)
        if not good and not timed:
            continue
        planned = attempts[-1].planned
        places = list(timed) or [_own_place(planned)]
        if planned.baseline and not timed:
            baselines.append((entry, good, planned, places))
            continue
        candidates[entry.task].update(dict.fromkeys(places))
        rows += [(entry, good, planned, place) for place in places]
    for entry, good, planned, places in baselines:
        rows += [(entry, good, planned, place) for place in candidates.get(entry.task) or places]
    for (subject, manner), by_place in unused.items():
        entry = _Entry(subject, _Task("", "", manner, None, None), "", b"{}")
        rows += [(entry, [], records[-1].planned, place) for place, records in by_place.items()]
    return rows


def _own_place(planned: KeyedCell) -> _Place:
    return _Place(planned.machine, planned.device, planned.cell.threads)


def _row(
    planned: KeyedCell,
    entry: _Entry,
    good: Sequence[Record],
    place: _Place,
    speed: _Speed,
    batches: Mapping[tuple[_Place, _Manner, str], int],
) -> Row:
    task = entry.task
    condition = Condition(
        dataset=task.dataset,
        fingerprint=task.fingerprint,
        limit=task.limit,
        epochs=task.epochs,
        **place._asdict(),
        **task.manner._asdict(),
        batch_size=batches.get((place, task.manner, "inference")),
        train_batch_size=batches.get((place, task.manner, "training")),
    )
    by_seed = {record.planned.cell.seed: record for record in good if isinstance(record.planned.cell, QualityCell)}
    timed = speed.get((entry.subject, task.manner), {}).get(place, [])
    metrics = _speed_metrics(timed, condition) | _quality_metrics(by_seed, place)
    return Row(
        rank=None,
        rank_last=None,
        tied_with=(),
        model=planned.label,
        recipe=entry.recipe,
        seeds=tuple(sorted(by_seed)),
        baseline=planned.baseline,
        image_size=planned.image_size,
        condition=condition,
        metrics=metrics,
        other_batches=_other_batches(timed, condition),
        ids=tuple(record.id for record in (*by_seed.values(), *timed)),
    )


def _speed_metrics(records: Sequence[Record], condition: Condition) -> dict[str, Metric]:
    """Take latency from batch 1, training figures from the training batch, the others from the fixed batch."""
    metrics = {}
    for record in records:
        cell = _speed_cell(record)
        for measured in record.measurements:
            latency = measured.name.startswith("latency_") or measured.name in _STARTUP
            if cell.largest_batch:
                wanted = measured.name.startswith("largest_batch")
            elif cell.mode == "training":
                wanted = cell.batch_size == condition.train_batch_size and measured.name.startswith("train_")
            elif cell.batch_size == 1:
                wanted = latency
            else:
                wanted = cell.batch_size == condition.batch_size and not latency
            if wanted or measured.name in COSTS:
                metrics[measured.name] = _metric({0: measured})
    return metrics


def _other_batches(records: Sequence[Record], condition: Condition) -> dict[str, tuple[int, ...]]:
    found: dict[str, set[int]] = defaultdict(set)
    for cell in map(_speed_cell, records):
        if not cell.largest_batch and (cell.mode == "training" or cell.batch_size > 1):
            found[cell.mode].add(cell.batch_size)
    fixed = {"inference": condition.batch_size, "training": condition.train_batch_size}
    return {mode: tuple(sorted(batches)) for mode, batches in found.items() if fixed[mode] not in batches}


def _speed_cell(record: Record) -> SpeedCell:
    cell = record.planned.cell
    assert isinstance(cell, SpeedCell)
    return cell


def _quality_metrics(by_seed: Mapping[int, Record], place: _Place) -> dict[str, Metric]:
    measured: dict[str, dict[int, Measurement]] = defaultdict(dict)
    for seed, record in sorted(by_seed.items()):
        for measurement in record.measurements:
            if measurement.unit not in MACHINE_UNITS or _own_place(record.planned) == place:
                measured[measurement.name][seed] = measurement
    return {name: _metric(measurements) for name, measurements in measured.items()}


def _metric(measurements: Mapping[int, Measurement]) -> Metric:
    """Return the mean over seeds; a single measurement as it is."""
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
    )


def _told_apart(rows: Sequence[Row], entries: Sequence[_Entry]) -> list[Row]:
    """Add the options that differ to the names of rows that would look the same."""
    models = _suffixes([(row.condition, row.model) for row in rows], [entry.subject.options for entry in entries])
    recipes = _suffixes(
        [(row.condition, row.model, row.recipe) for row in rows], [entry.recipe_options for entry in entries]
    )
    return [
        replace(row, model=row.model + model, recipe=row.recipe + recipe)
        for row, model, recipe in zip(rows, models, recipes, strict=True)
    ]


def _suffixes(looks: Sequence[Hashable], encoded: Sequence[bytes]) -> list[str]:
    """Return ``:k=v,...`` for each set of options: what those of the same looks do not share."""
    alike: dict[Hashable, list[set[tuple[str, OptionValue]]]] = defaultdict(list)
    options = [set(msgspec.json.decode(each, type=dict[str, OptionValue]).items()) for each in encoded]
    for look, each in zip(looks, options, strict=True):
        alike[look].append(each)
    shared = {look: set.intersection(*group) for look, group in alike.items()}
    texts = [
        ",".join(f"{name}={value}" for name, value in sorted(each - shared[look]))
        for look, each in zip(looks, options, strict=True)
    ]
    return [f":{text}" if text else "" for text in texts]
