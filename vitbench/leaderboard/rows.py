"""Records to rows, not yet ranked: what a row says of the attempts that belong together (grouping.py).

A row is a model with its options on one dataset, under one recipe and one set of conditions. Quality is averaged over
seeds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

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
from vitbench.leaderboard.metric import Metric, doubted, first_taken, of_all_seeds
from vitbench.leaderboard.pretraining import overlap
from vitbench.measurements import at_of
from vitbench.printable import short_size
from vitbench.records import (
    HELD_OUT,
    Compile,
    Judged,
    KeyedCell,
    Measurement,
    QualityCell,
    Record,
    SpeedCell,
)
from vitbench.specs import At, OptionValue

__all__ = [
    "Condition",
    "Row",
    "options_text",
    "row_fields",
    "unranked",
    "unshared",
]


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
    compile: Compile
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
    budget: float | None = None
    """Seconds that the whole run could take, of which each training got a share; None: any."""
    split: Judged = "test"
    """What models were judged on: the test split, or validation images."""
    other_classes: int = 0
    """Classes of the models' own heads that compete with those of the data: a prediction of one of them is wrong."""
    lineage: str = ""
    """Which making of the dataset its files are, such as ``TFDS``; empty: there is one alone, or nothing says."""

    apart: str = ""
    """Whose imported results these are, where they were not measured as this folder's own; empty: its own, or theirs
    under equal conditions."""

    @property
    def variables_text(self) -> str:
        """All environment variables that are set and change numbers, in words."""
        return ", ".join(f"{name}={value}" for name, value in sorted((*self.variables, *self.timing_variables)))

    @property
    def judged_on(self) -> str:
        """The dataset, and which of its images where these are not its test images; empty for speed alone."""
        return f"{self.dataset} (validation)" if self.split == "val" else self.dataset

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
    seed_steps: tuple[int, ...] = ()
    """Steps that a budget gave the seeds, in their order; empty where none fixed any."""
    head: str = ""
    """What of the model's own head it is scored on, in words; empty where that is all of it, output by output, or where
    the head was trained for the data."""
    out_of_fold: bool = False
    """Whether its scores are of training images that its recipe held out, and not of the validation split."""
    label: str = ""
    """What tables call it: the model, with its recipe where the condition has several rows of it. Empty before rows are
    ranked."""
    pretrained_on: str = ""
    """The data that its weights were trained on before, in words; empty: random weights, or nobody knows."""
    licence: str = ""
    """Of these weights."""
    source: str = ""
    """Whose results it was imported from; empty: this folder's own."""
    normalisation: str = ""
    """Mean and standard deviation that its input was normalised by, and where they are from, in words; empty where that
    is not recorded."""
    passes: float | None = None
    """How often its recipe went over the training images, the mean over the seeds; None where that is not known, or
    nothing was trained."""


def row_fields(row: Row) -> dict[str, Any]:
    """Return what a row and its condition say, by the names of their fields; what holds more than that is left out."""
    found = {field.name: getattr(part, field.name) for part in (row, row.condition) for field in fields(part)}
    del found["condition"], found["metrics"], found["timing_variables"], found["label"], found["apart"]
    found["variables"] = dict(sorted((*row.condition.variables, *row.condition.timing_variables)))
    found |= {"pretrained_on": row.pretrained_on or None, "licence": row.licence or None}
    found |= {"source": row.source or None, "normalisation": row.normalisation or None}
    return found | {"partial": row.condition.partial, "image_size": short_size(row.image_size)}


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
        budget=task.budget,
        split=task.split,
        other_classes=task.other_classes,
        lineage=task.lineage,
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
        metrics=_doubted(_metrics(by_seed, missing, timed, condition, place), by_seed),
        train_step=_train_step(timed, condition),
        other_batches=_other_batches(timed, condition),
        steady_allocator=any("M_MMAP_THRESHOLD" in record.runtime for record in timed),
        ids=tuple(record.id for record in (*by_seed.values(), *timed)),
        seed_steps=_seed_steps(by_seed),
        head=planned.head.in_words if planned.head else "",
        out_of_fold=any(HELD_OUT in record.splits for record in by_seed.values()),
        pretrained_on=planned.pretrained_on,
        licence=planned.licence,
        normalisation=_normalisation(by_seed.values()),
        passes=_passes(by_seed, condition),
    )


def _doubted(metrics: Mapping[str, Metric], by_seed: Mapping[int, Record]) -> dict[str, Metric]:
    """Doubt scores on images that the weights may have been trained on before."""
    reasons = [_overlap(record.planned) for record in by_seed.values()]
    reason = next(filter(None, reasons), "")
    return {name: doubted(each, reason) if reason and each.of_weights else each for name, each in metrics.items()}


def _overlap(planned: KeyedCell) -> str:
    data = planned.data
    if data is None or not planned.pretrained_on:
        return ""
    val = isinstance(planned.cell, QualityCell) and planned.cell.split == "val"
    limited = data.limit is not None
    return overlap(planned.pretrained_on, planned.pretrained_fingerprint, data, limited=limited, val=val)


def _normalisation(records: Iterable[Record]) -> str:
    used = next((record.preprocess for record in records if record.preprocess), None)
    if used is None:
        return ""
    mean, deviation = (" ".join(f"{value:.3g}" for value in values) for values in (used.mean, used.std))
    return f"mean {mean}, sd {deviation}{f' ({used.source})' if used.source else ''}"


def _passes(by_seed: Mapping[int, Record], condition: Condition) -> float | None:
    """Return the length of the trainings: what the run or the recipe asked for, or what a budget's steps come to."""
    found = []
    for record in by_seed.values():
        planned, options = record.planned, record.planned.cell.recipe_options
        images, batch = record.splits.get("train"), options.get("batch_size")
        asked = condition.epochs if condition.epochs is not None else options.get("epochs")
        if planned.allotted is None:
            found.append(asked)
        elif options.get("by_time") or not images or not isinstance(batch, int):
            found.append(None)
        else:
            found.append(planned.allotted.steps * batch / images)
    known = [float(each) for each in found if isinstance(each, (int, float))]
    return sum(known) / len(known) if known and len(known) == len(found) else None


def _seed_devices(by_seed: Mapping[int, Record], condition: Condition) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = defaultdict(list)
    for seed, record in sorted(by_seed.items()):
        machine = record.planned.machine
        found[record.planned.device + f" of {machine}" * (machine != condition.machine)].append(seed)
    return {device: tuple(seeds) for device, seeds in found.items()}


def _seed_steps(by_seed: Mapping[int, Record]) -> tuple[int, ...]:
    planned = [record.planned for _, record in sorted(by_seed.items())]
    if any(each.cell.recipe_options.get("by_time") for each in planned):
        return ()
    return tuple(each.allotted.steps for each in planned if each.allotted is not None)


def _metrics(
    by_seed: Mapping[int, Record],
    missing: Sequence[int],
    timed: Sequence[Record],
    condition: Condition,
    place: Place,
) -> dict[str, Metric]:
    """Take each measurement where it says: of several cells from the first that has a value of it.

    What is exact is the same at any batch; other speed and memory values count at the condition's batch alone.
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
    firsts = {name: first_taken(by_cell) for name, by_cell in found.items()}
    rows = {
        name: replace(metric, occasion=occasions.get((name, metric.taken_at), "")) for name, metric in firsts.items()
    }
    return {
        name: of_all_seeds(metric, found[name]["quality"], [*(here if metric.machine_bound else by_seed), *missing])
        if metric.taken_at == "quality"
        else metric
        for name, metric in rows.items()
    }


def _at_the_batch(cell: SpeedCell, condition: Condition) -> bool:
    """Return whether a cell is of the batch that the condition says for cells of its kind."""
    fixed = {"fixed_batch": condition.batch_size, "training": condition.train_batch_size}
    at = at_of(cell)
    return at not in fixed or cell.batch_size == fixed[at]


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
