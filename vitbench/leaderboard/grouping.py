"""Which attempts belong together: the quality records that are seeds of one row, and the speeds measured beside them.

Quality and speed are joined on the model, its options, the number of classes, the input shape, precision and flags;
training steps also on the recipe and its options, where the recipe says its step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from vitbench.records import KeyedCell, QualityCell, Record, SpeedCell
from vitbench.specs import OptionValue

__all__ = [
    "Manner",
    "Place",
    "RowIdentity",
    "SpeedRecords",
    "Task",
    "TimedModel",
    "common_batches",
    "grouped",
    "identity",
    "of_row",
    "own_place",
    "placed",
    "speed_cell",
]


class Place(NamedTuple):
    """Where a value was measured."""

    machine: str
    device: str
    threads: int


class Manner(NamedTuple):
    """How a model was computed, and by which version of our method it was measured."""

    precision: str
    compile: bool
    channels_last: bool
    method: int


class TimedModel(NamedTuple):
    """What quality and speed are joined on, beside the manner."""

    model: str
    options: bytes
    num_classes: int
    input_shape: tuple[int, int, int]


class Task(NamedTuple):
    """What quality rows must share to stand in one table."""

    dataset: str
    fingerprint: str
    manner: Manner
    limit: int | float | None
    epochs: int | None


class RowIdentity(NamedTuple):
    """What quality records must share to be seeds of one row."""

    subject: TimedModel
    task: Task
    recipe: str
    recipe_options: bytes


SpeedRecords = dict[tuple[TimedModel, Manner], dict[Place, list[Record]]]


def grouped(records: Iterable[Record]) -> tuple[dict[RowIdentity, list[Record]], SpeedRecords]:
    """Return quality records of any status by the row they belong to, and good speed records by subject and place."""
    entries: dict[RowIdentity, list[Record]] = defaultdict(list)
    speed: SpeedRecords = defaultdict(lambda: defaultdict(list))
    for record in records:
        cell = record.planned.cell
        if isinstance(cell, QualityCell):
            entries[identity(record.planned, cell)].append(record)
        elif record.status == "ok":
            subject = TimedModel(cell.model, _canonical(cell.options), cell.num_classes, cell.input_shape)
            speed[subject, _manner(record.planned)][Place(cell.machine, cell.device, cell.threads)].append(record)
    return entries, speed


def identity(planned: KeyedCell, cell: QualityCell) -> RowIdentity:
    """Return which row a quality cell is a seed of."""
    data = planned.data
    assert data is not None  # every quality cell has its data
    shape = (planned.in_channels, *planned.image_size)
    return RowIdentity(
        subject=TimedModel(cell.model, _canonical(cell.options), len(data.class_names), shape),
        task=Task(data.title, data.fingerprint, _manner(planned), cell.limit, cell.epochs),
        recipe=cell.recipe,
        recipe_options=_canonical(cell.recipe_options),
    )


def _canonical(options: Mapping[str, OptionValue]) -> bytes:
    return msgspec.json.encode(options, order="deterministic")


def _manner(planned: KeyedCell) -> Manner:
    cell = planned.cell
    return Manner(cell.precision, cell.compile, cell.channels_last, planned.provenance.method)


def common_batches(speed: SpeedRecords) -> dict[tuple[Place, Manner, str], int]:
    """Return the batch size of each mode at which most models were measured, of several the newest.

    A table compares at one only, and a later run of one model at another must not hide what the others have.
    """
    models: dict[tuple[Place, Manner, str], dict[int, set[TimedModel]]] = defaultdict(lambda: defaultdict(set))
    newest: dict[tuple[Place, Manner, str, int], float] = defaultdict(float)
    for (subject, manner), places in speed.items():
        for place, records in places.items():
            for record in records:
                cell = speed_cell(record)
                if not cell.largest_batch and (cell.mode == "training" or cell.batch_size > 1):
                    where = place, manner, cell.mode
                    models[where][cell.batch_size].add(subject)
                    newest[*where, cell.batch_size] = max(newest[*where, cell.batch_size], record.started)
    return {
        where: max(by_size, key=lambda size: (len(by_size[size]), newest[*where, size], size))
        for where, by_size in models.items()
    }


def of_row(entry: RowIdentity, timed: Iterable[Record]) -> list[Record]:
    """Return of a model's speed records those of a row: not the training steps of other recipes.

    A plain training step stands in where that of the row's own recipe was not timed.
    """
    cells = [(record, speed_cell(record)) for record in timed]
    own = any(cell.recipe and _recipe(cell) == _recipe(entry) for _, cell in cells)
    return [
        record
        for record, cell in cells
        if (_recipe(cell) == _recipe(entry) if cell.recipe else not (own and cell.mode == "training"))
    ]


def _recipe(part: SpeedCell | RowIdentity) -> tuple[str, bytes]:
    options = part.recipe_options
    return part.recipe, options if isinstance(options, bytes) else _canonical(options)


def placed(
    entries: Mapping[RowIdentity, list[Record]], speed: SpeedRecords
) -> list[tuple[RowIdentity, list[Record], KeyedCell, Place]]:
    """Return each row to be: what it is, its good quality records, a cell to name it by, and where it was measured.

    A model has a row wherever its speed was measured, else where it was evaluated. A baseline has no speed of its own:
    it stands wherever the models do that it is to be compared with.
    """
    rows = []
    candidates: dict[Task, dict[Place, None]] = defaultdict(dict)
    baselines = []
    for entry, attempts in entries.items():
        good = [record for record in attempts if record.status == "ok"]
        timed = [
            place
            for place, records in speed.get((entry.subject, entry.task.manner), {}).items()
            if of_row(entry, records)
        ]
        if not good and not timed:
            continue
        planned = attempts[-1].planned
        places = timed or [own_place(planned)]
        if planned.baseline and not timed:
            baselines.append((entry, good, planned, places))
            continue
        candidates[entry.task].update(dict.fromkeys(places))
        rows += [(entry, good, planned, place) for place in places]
    for entry, good, planned, places in baselines:
        rows += [(entry, good, planned, place) for place in candidates.get(entry.task) or places]
    for entry, by_place in _without_quality(entries, speed):
        rows += [(entry, [], of_row(entry, records)[-1].planned, place) for place, records in by_place.items()]
    return rows


def _without_quality(
    entries: Iterable[RowIdentity], speed: SpeedRecords
) -> Iterator[tuple[RowIdentity, dict[Place, list[Record]]]]:
    """Yield the rows of speed alone: of models, or of recipes that trained them, that no quality record is of."""
    known: dict[tuple[TimedModel, Manner], set[tuple[str, bytes]]] = defaultdict(set)
    for entry in entries:
        known[entry.subject, entry.task.manner].add(_recipe(entry))
    for (subject, manner), by_place in speed.items():
        there: dict[tuple[str, bytes], dict[Place, list[Record]]] = defaultdict(dict)
        evaluated = known.get((subject, manner))
        for place, records in by_place.items():
            recipes = {_recipe(cell) for cell in map(speed_cell, records) if cell.recipe}
            if evaluated is None:
                recipes = recipes or {("", b"{}")}
            for recipe in sorted(recipes - (evaluated or set())):
                there[recipe][place] = records
        for recipe, places in there.items():
            yield RowIdentity(subject, Task("", "", manner, None, None), *recipe), places


def own_place(planned: KeyedCell) -> Place:
    """Return where a cell ran."""
    return Place(planned.machine, planned.device, planned.cell.threads)


def speed_cell(record: Record) -> SpeedCell:
    """Return the cell of a speed record."""
    cell = record.planned.cell
    assert isinstance(cell, SpeedCell)
    return cell
