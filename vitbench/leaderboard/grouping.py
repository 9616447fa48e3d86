"""Which attempts belong together: the quality records that are seeds of one row, and the speeds measured beside them.

Quality and speed are joined on the model, its code, its options, the number of classes, the input shape, precision,
flags and the version of torch; training steps also on the recipe and its options, where the recipe says its step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from vitbench.installed import CUDNN
from vitbench.records import Compile, Judged, KeyedCell, Provenance, QualityCell, Record, SpeedCell, digest
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
    "manner_of",
    "of_row",
    "own_place",
    "placed",
    "recipe_code",
    "recipe_of",
    "speed_cell",
    "timed_model",
]


Variables = tuple[tuple[str, str], ...]
"""Environment variables that are set, by name."""


class Place(NamedTuple):
    """Where a value was measured."""

    machine: str
    device: str
    threads: int
    cudnn: str = ""
    timing_variables: Variables = ()


class Manner(NamedTuple):
    """How a model was computed, and by which version of our method it was measured."""

    precision: str
    compile: Compile
    channels_last: bool
    method: int
    torch: str
    variables: Variables


class TimedModel(NamedTuple):
    """What quality and speed are joined on, beside the manner."""

    model: str
    options: bytes
    num_classes: int
    input_shape: tuple[int, int, int]
    code: str
    """Digest of the model's code, of what it requires and of its files."""


class Task(NamedTuple):
    """What quality rows must share to stand in one table."""

    dataset: str
    fingerprint: str
    manner: Manner
    limit: int | float | None
    epochs: int | None
    budget: float | None = None
    split: Judged = "test"
    other_classes: int = 0
    """Those of the models' own heads that compete with the data's."""
    lineage: str = ""
    """Which making of the dataset its files are."""


class RowIdentity(NamedTuple):
    """What quality records must share to be seeds of one row."""

    subject: TimedModel
    task: Task
    recipe: str
    recipe_options: bytes
    recipe_code: str = ""
    """Digest of the recipe's code, of other models of it, of what they require and of their files."""
    code: str = ""
    """Digest of all other code behind its quality: of the dataset, of decoders, of vitbench."""

    @property
    def whatever_version(self) -> RowIdentity:
        """The same of all versions of code and torch."""
        manner = self.task.manner._replace(torch="", method=0)
        subject, task = self.subject._replace(code=""), self.task._replace(manner=manner)
        return self._replace(subject=subject, task=task, recipe_code="", code="")


SpeedRecords = dict[tuple[TimedModel, Manner], dict[Place, list[Record]]]


def grouped(records: Iterable[Record]) -> tuple[dict[RowIdentity, list[Record]], SpeedRecords]:
    """Return quality records of any status by the row they belong to, and good speed records by subject and place."""
    entries: dict[RowIdentity, list[Record]] = defaultdict(list)
    speed: SpeedRecords = defaultdict(lambda: defaultdict(list))
    for record in records:
        cell = record.planned.cell
        if isinstance(cell, QualityCell):
            entries[identity(record.planned, cell)].append(record)
        elif isinstance(cell, SpeedCell) and record.status == "ok":
            speed[timed_model(record.planned), manner_of(record.planned)][own_place(record.planned)].append(record)
    return entries, speed


def identity(planned: KeyedCell, cell: QualityCell) -> RowIdentity:
    """Return which row a quality cell is a seed of."""
    data, made_of = planned.data, planned.provenance
    assert data is not None  # every quality cell has its data
    dataset = made_of.dataset.code_hash if made_of.dataset else ""
    return RowIdentity(
        subject=timed_model(planned),
        task=Task(
            *(data.title, data.fingerprint, manner_of(planned), cell.limit, cell.epochs, cell.budget, cell.split),
            other_classes=len(planned.head.others) if planned.head else 0,
            lineage=data.lineage,
        ),
        recipe=cell.recipe,
        recipe_options=_canonical(cell.recipe_options),
        recipe_code=recipe_code(planned),
        code=digest((dataset, _files(made_of, "dataset"), made_of.software, made_of.vitbench)),
    )


def timed_model(planned: KeyedCell) -> TimedModel:
    """Return what a cell is of, whether it is timed or evaluated."""
    cell, made_of = planned.cell, planned.provenance
    if isinstance(cell, SpeedCell):
        num_classes, shape = cell.num_classes, cell.input_shape
    else:
        assert planned.data is not None  # every quality cell has its data
        num_classes, shape = planned.outputs, (planned.in_channels, *planned.image_size)
    files = _files(made_of, "model")
    code = digest((made_of.model.code_hash, made_of.libraries, files, made_of.software.get("torchvision")))
    return TimedModel(cell.model, _canonical(cell.options), num_classes, shape, code)


def recipe_of(planned: KeyedCell) -> tuple[str, bytes]:
    """Return the recipe of a cell with its options."""
    return planned.cell.recipe, _canonical(planned.cell.recipe_options)


def recipe_code(planned: KeyedCell) -> str:
    """Return a digest of the code of a cell's recipe; empty for a cell without one."""
    made_of = planned.provenance
    if not planned.cell.recipe:
        return ""
    codes = [origin.code_hash for origin in (made_of.recipe, *made_of.others) if origin]
    return digest((codes, made_of.recipe_libraries, _files(made_of, "recipe")))


def _files(made_of: Provenance, role: str) -> dict[str, str]:
    return {name: sha256 for name, sha256 in made_of.files.items() if name.startswith(f"{role}.")}


def _canonical(options: Mapping[str, OptionValue]) -> bytes:
    return msgspec.json.encode(options, order="deterministic")


def manner_of(planned: KeyedCell) -> Manner:
    """Return how a cell was computed."""
    cell, made_of = planned.cell, planned.provenance
    variables = tuple(sorted(cell.variables.items()))
    return Manner(cell.precision, cell.compile, cell.channels_last, made_of.method, made_of.torch, variables)


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
    own = any(cell.recipe and _recipe(record.planned) == _recipe_of_row(entry) for record, cell in cells)
    return [
        record
        for record, cell in cells
        if (_recipe(record.planned) == _recipe_of_row(entry) if cell.recipe else not (own and cell.mode == "training"))
    ]


def _recipe(planned: KeyedCell) -> tuple[str, bytes, str]:
    return *recipe_of(planned), recipe_code(planned)


def _recipe_of_row(entry: RowIdentity) -> tuple[str, bytes, str]:
    return entry.recipe, entry.recipe_options, entry.recipe_code


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
    known: dict[tuple[TimedModel, Manner], set[tuple[str, bytes, str]]] = defaultdict(set)
    for entry in entries:
        known[entry.subject, entry.task.manner].add(_recipe_of_row(entry))
    for (subject, manner), by_place in speed.items():
        there: dict[tuple[str, bytes, str], dict[Place, list[Record]]] = defaultdict(dict)
        evaluated = known.get((subject, manner))
        for place, records in by_place.items():
            recipes = {_recipe(record.planned) for record in records if record.planned.cell.recipe}
            if evaluated is None:
                recipes = recipes or {("", b"{}", "")}
            for recipe in sorted(recipes - (evaluated or set())):
                there[recipe][place] = records
        for recipe, places in there.items():
            yield RowIdentity(subject, Task("", "", manner, None, None), *recipe), places


def own_place(planned: KeyedCell) -> Place:
    """Return where a cell ran."""
    variables = tuple(sorted(planned.timing_variables.items()))
    cudnn = planned.provenance.software.get(CUDNN, "")
    return Place(planned.machine, planned.device, planned.cell.threads, cudnn, variables)


def speed_cell(record: Record) -> SpeedCell:
    """Return the cell of a speed record."""
    cell = record.planned.cell
    assert isinstance(cell, SpeedCell)
    return cell
