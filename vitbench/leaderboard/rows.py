"""Records to rows, not yet ranked: what a row says of the attempts that belong together (grouping.py).

A row is a model with its options on one dataset, under one recipe and one set of conditions. Quality is averaged over
seeds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import msgspec

from vitbench.leaderboard.grouping import (
    Manner,
    Place,
    RowIdentity,
    SpeedRecords,
    Variables,
    common_batches,
    grouped,
    identity,
    of_row,
    own_place,
    placed,
    speed_cell,
)
from vitbench.leaderboard.occasion_spread import OccasionSpread
from vitbench.measurements import at_of
from vitbench.printable import short_size
from vitbench.records import (
    Interval,
    KeyedCell,
    Level,
    Measurement,
    QualityCell,
    Ratio,
    Record,
    SpeedCell,
    Style,
    interval_of,
)
from vitbench.specs import At, OptionValue
from vitbench.statistics import Estimate, pool

__all__ = [
    "Condition",
    "Metric",
    "Relative",
    "Row",
    "metric_fields",
    "options_text",
    "row_fields",
    "unranked",
    "unshared",
]

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
    """None where it could not be had; never nan or infinite. Where there is a `relative`: its ratio times the
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
    """Whether it is known without an error."""
    machine_bound: bool
    """Whether it holds for the machine that made it alone."""
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
        """Whether it tells of trained weights, which another seed would give otherwise."""
        return self.taken_at == "quality" and not self.exact and not self.machine_bound

    @property
    def merit(self) -> float | None:
        """The value, turned so that more is better; None where rows cannot be ordered by it."""
        if self.value is None or self.verdict == "invalid" or self.better not in ("higher", "lower"):
            return None
        return self.value if self.better == "higher" else -self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """What rows must share to be compared."""

    dataset: str
    """Title of the dataset; empty for speed that no dataset asked for."""
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
    torch: str
    """Its version with the build."""
    limit: int | float | None
    """Images (int) or share (float) of each split; None: all."""
    epochs: int | None
    """Override of the recipes' length; None: their own."""
    batch_size: int | None
    """The fixed batch of throughput and peak memory; None where nothing was timed."""
    train_batch_size: int | None
    """The batch of training throughput and memory."""
    cudnn: str = ""
    """Its version, where a CUDA device computed."""
    variables: Variables = ()
    """Environment variables that are set and may change results, by name; see `vitbench.variables`."""
    timing_variables: Variables = ()
    """Those that change speed and memory alone."""

    @property
    def variables_text(self) -> str:
        """All environment variables that are set and change numbers, in words."""
        return ", ".join(f"{name}={value}" for name, value in sorted((*self.variables, *self.timing_variables)))

    @property
    def partial(self) -> bool:
        """Whether data or training were cut short."""
        return self.limit is not None or self.epochs is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One model under one condition."""

    rank: int | None
    """First of the ranks that it may have; None: partial, or without a valid metric to rank by."""
    rank_last: int | None
    """Last of them; see `vitbench.leaderboard.ranking`."""
    tied_with: tuple[str, ...]
    """Rows that are neither significantly better nor worse, by the names that tell rows apart."""
    model: str
    """Label: the name with options, or what the suite calls it."""
    recipe: str
    """Full name; with options where the same model has several rows."""
    recipe_options: Mapping[str, OptionValue]
    """The recipe's options, complete."""
    seeds: tuple[int, ...]
    """Those that have a result."""
    seeds_missing: tuple[int, ...]
    """Those that were asked for and have none; each figure of quality is a mean without them, and doubtful for that."""
    seed_devices: Mapping[str, tuple[int, ...]]
    """By device, the seeds that were trained and evaluated there; with the machine where it is not the condition's."""
    baseline: bool
    image_size: tuple[int, int]
    """Height and width of the input in pixels."""
    condition: Condition
    metrics: Mapping[str, Metric]
    train_step: str | None
    """Whose training step its training speed is of: a recipe's full name, or `vitbench.records.PLAIN_STEP` where its
    recipe names none; None where no training was timed."""
    other_batches: Mapping[str, tuple[int, ...]]
    """By mode, where its speed was measured, but not at the condition's batch: at which it was."""
    steady_allocator: bool
    """Whether glibc's thresholds for memory were fixed while its speed was measured (docs/measuring.md)."""
    ids: tuple[str, ...]
    """The cells that it is made of."""


def row_fields(row: Row) -> dict[str, Any]:
    """Return what a row and its condition say, by the names of their fields; what holds more than that is left out."""
    found = {field.name: getattr(part, field.name) for part in (row, row.condition) for field in fields(part)}
    del found["condition"], found["metrics"], found["timing_variables"]
    found["variables"] = dict(sorted((*row.condition.variables, *row.condition.timing_variables)))
    return found | {"partial": row.condition.partial, "image_size": short_size(row.image_size)}


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


def unranked(records: Iterable[Record], pending: Iterable[KeyedCell] = ()) -> list[Row]:
    """Return the rows that some records make.

    Args:
        records: of each cell the newest attempt only, the newest last.
        pending: cells that were planned and never ended.
    """
    entries, speed = grouped(records)
    missing = _missing_seeds(entries, pending)
    batches = common_batches(speed)
    found = placed(entries, speed)
    rows = [
        _row(planned, entry, good, missing.get(entry, ()), place, speed, batches)
        for entry, good, planned, place in found
    ]
    return _told_apart(rows, [entry for entry, *_ in found], [_made_of(planned) for _, _, planned, _ in found])


def _missing_seeds(
    entries: Mapping[RowIdentity, Sequence[Record]], pending: Iterable[KeyedCell]
) -> dict[RowIdentity, tuple[int, ...]]:
    """Return the seeds of each row that were asked for and have no result."""
    asked: dict[RowIdentity, set[int]] = defaultdict(set)
    for planned in pending:
        if isinstance(planned.cell, QualityCell):
            asked[identity(planned, planned.cell).whatever_version].add(planned.cell.seed)
    good: dict[RowIdentity, set[int]] = defaultdict(set)
    for entry, attempts in entries.items():
        for record in attempts:
            if isinstance(record.planned.cell, QualityCell):
                (good if record.status == "ok" else asked)[entry.whatever_version].add(record.planned.cell.seed)
    # A seed that failed before the code changed is missing from the row all the same; one that is good is of its own.
    return {entry: tuple(sorted(asked[entry.whatever_version] - good[entry.whatever_version])) for entry in entries}


def _row(
    planned: KeyedCell,
    entry: RowIdentity,
    good: Sequence[Record],
    missing: tuple[int, ...],
    place: Place,
    speed: SpeedRecords,
    batches: Mapping[tuple[Place, Manner, str], int],
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
    timed = of_row(entry, speed.get((entry.subject, task.manner), {}).get(place, []))
    return Row(
        rank=None,
        rank_last=None,
        tied_with=(),
        model=planned.label,
        recipe=entry.recipe,
        recipe_options=_decoded(entry.recipe_options),
        seeds=tuple(sorted(by_seed)),
        seeds_missing=missing,
        seed_devices=_seed_devices(by_seed, condition),
        baseline=planned.baseline,
        image_size=planned.image_size,
        condition=condition,
        metrics=_metrics(by_seed, missing, timed, condition, place),
        train_step=_train_step(timed, condition),
        other_batches=_other_batches(timed, condition),
        steady_allocator=any("M_MMAP_THRESHOLD" in record.runtime for record in timed),
        ids=tuple(record.id for record in (*by_seed.values(), *timed)),
    )


def _seed_devices(by_seed: Mapping[int, Record], condition: Condition) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = defaultdict(list)
    for seed, record in sorted(by_seed.items()):
        machine = record.planned.machine
        found[record.planned.device + f" of {machine}" * (machine != condition.machine)].append(seed)
    return {device: tuple(seeds) for device, seeds in found.items()}


def _metrics(
    by_seed: Mapping[int, Record],
    missing: Sequence[int],
    timed: Sequence[Record],
    condition: Condition,
    place: Place,
) -> dict[str, Metric]:
    """Take each measurement where it says: of several cells from the first that has a value of it.

    What is exact is the same at any batch; other figures of speed and memory count at the condition's batch alone.
    """
    found: dict[str, dict[At, dict[int, Measurement]]] = defaultdict(lambda: defaultdict(dict))
    occasions: dict[tuple[str, At], str] = {}
    for record in timed:
        cell = speed_cell(record)
        at = at_of(cell)
        for measured in record.measurements:
            if at in measured.at and (measured.exact or _at_the_batch(cell, condition)):
                found[measured.name][at][0] = measured
                occasions[measured.name, at] = record.occasion
    for seed, record in sorted(by_seed.items()):
        for measured in record.measurements:
            if "quality" in measured.at and (not measured.machine_bound or own_place(record.planned) == place):
                found[measured.name]["quality"][seed] = measured
    here = [seed for seed, record in by_seed.items() if own_place(record.planned) == place]
    firsts = {name: _first(by_cell) for name, by_cell in found.items()}
    rows = {
        name: replace(metric, occasion=occasions.get((name, metric.taken_at), "")) for name, metric in firsts.items()
    }
    return {
        name: _of_all_seeds(metric, found[name]["quality"], [*(here if metric.machine_bound else by_seed), *missing])
        if metric.taken_at == "quality"
        else metric
        for name, metric in rows.items()
    }


def _of_all_seeds(metric: Metric, measurements: Mapping[int, Measurement], asked: Collection[int]) -> Metric:
    """Doubt a mean over some of the seeds that were asked for: it leaves out those that may have done worst.

    It stays ranked, since one failure for lack of memory says nothing against the others, but never without a mark.
    """
    lacking = len(asked) - sum(m.value is not None for m in measurements.values())
    if metric.value is None or metric.exact or not lacking:
        return metric
    reason = f"{lacking} of {len(asked)} seeds {'has' if lacking == 1 else 'have'} no result"
    return replace(metric, verdict=max(metric.verdict, "warn", key=_LEVELS.index), reasons=(reason, *metric.reasons))


def _at_the_batch(cell: SpeedCell, condition: Condition) -> bool:
    """Return whether a cell is of the batch that the condition says for cells of its kind."""
    fixed = {"fixed_batch": condition.batch_size, "training": condition.train_batch_size}
    at = at_of(cell)
    return at not in fixed or cell.batch_size == fixed[at]


def _first(by_cell: Mapping[At, Mapping[int, Measurement]]) -> Metric:
    def order(at: At) -> tuple[bool, int]:
        measurements = by_cell[at].values()
        return all(each.value is None for each in measurements), min(each.at.index(at) for each in measurements)

    at = min(by_cell, key=order)
    return _metric(by_cell[at], at)


def _train_step(records: Sequence[Record], condition: Condition) -> str | None:
    steps = [cell.train_step for cell in map(speed_cell, records) if cell.batch_size == condition.train_batch_size]
    return next(filter(None, steps), None)


def _other_batches(records: Sequence[Record], condition: Condition) -> dict[str, tuple[int, ...]]:
    found: dict[str, set[int]] = defaultdict(set)
    for cell in map(speed_cell, records):
        if not cell.largest_batch and (cell.mode == "training" or cell.batch_size > 1):
            found[cell.mode].add(cell.batch_size)
    fixed = {"inference": condition.batch_size, "training": condition.train_batch_size}
    return {mode: tuple(sorted(batches)) for mode, batches in found.items() if fixed[mode] not in batches}


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


def _made_of(planned: KeyedCell) -> dict[str, str]:
    """Return in words the input of a cell, and what code and which versions it is of, beside torch."""
    shape = "x".join(map(str, (planned.in_channels, *planned.image_size)))
    made_of = planned.provenance
    codes = {"code": made_of.model, "recipe code": made_of.recipe, "dataset code": made_of.dataset}
    codes |= {f"code of {origin.plugin}": origin for origin in made_of.others}
    short = {name: origin.code_hash for name, origin in codes.items() if origin} | made_of.files
    short |= {"vitbench": made_of.vitbench} if made_of.vitbench else {}
    return {"input": shape} | {name: sha256[:8] for name, sha256 in short.items()} | made_of.all_libraries


def _told_apart(rows: Sequence[Row], entries: Sequence[RowIdentity], made_of: Sequence[Mapping[str, str]]) -> list[Row]:
    """Add to the names of rows that would look the same the options that differ, else input, code and versions."""
    models = _suffixes([(row.condition, row.model) for row in rows], [entry.subject.options for entry in entries])
    recipes = _suffixes(
        [(row.condition, row.model, row.recipe) for row in rows], [entry.recipe_options for entry in entries]
    )
    named = [
        replace(row, model=row.model + model, recipe=row.recipe + recipe)
        for row, model, recipe in zip(rows, models, recipes, strict=True)
    ]
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for i, row in enumerate(named):
        alike[row.condition, row.model, row.recipe].append(i)
    for places in alike.values():
        for i, own in zip(places, unshared([made_of[i] for i in places]), strict=True):
            words = ", ".join(each.replace("=", " ", 1) for each in own)
            named[i] = replace(named[i], model=f"{named[i].model} ({words})" if words else named[i].model)
    return named


def _suffixes(looks: Sequence[Hashable], encoded: Sequence[bytes]) -> list[str]:
    """Return ``:k=v,...`` for each set of options: what those of the same looks do not share."""
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for i, look in enumerate(looks):
        alike[look].append(i)
    found = [""] * len(looks)
    for places in alike.values():
        for i, own in zip(places, unshared([_decoded(encoded[i]) for i in places]), strict=True):
            found[i] = f":{','.join(own)}" if own else ""
    return found


def unshared(options: Sequence[Mapping[str, OptionValue]]) -> list[tuple[str, ...]]:
    """Return of each of several sets of options what not all of them have, each ``k=v``."""
    shared = set.intersection(*(set(each.items()) for each in options)) if options else set()
    return [
        tuple(f"{name}={each[name]}" for name in sorted(each) if (name, each[name]) not in shared) for each in options
    ]


def options_text(options: Mapping[str, OptionValue]) -> str:
    """Return options as JSON, in the order of their names."""
    return msgspec.json.encode(options, order="deterministic").decode()


def _decoded(options: bytes) -> dict[str, OptionValue]:
    return msgspec.json.decode(options, type=dict[str, OptionValue])
