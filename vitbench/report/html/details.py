"""What the page shows beside the leaderboard, read once: curves, confusion, calibration, latencies, origins, commands.

From records, stored predictions and the runs' environments and suites; nothing is measured or computed again but what
the pictures need.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from vitbench.boards.board import Board
from vitbench.boards.boards import boards_beside
from vitbench.errors import StoreError
from vitbench.findings.findings import Findings, findings_of
from vitbench.leaderboard.answers import Answers, read_answers
from vitbench.leaderboard.leaderboard import Condition, Leaderboard, Row, row_labels
from vitbench.measurements import plain_name
from vitbench.records import (
    DataInfo,
    Environment,
    FigureCell,
    PluginOrigin,
    QualityCell,
    Record,
    SpeedCell,
    newest_by_id,
)
from vitbench.report.html.album import MOST_IMAGES, Album, Answerer, album
from vitbench.report.html.diagnostics import (
    Bin,
    Confusion,
    Histogram,
    Recall,
    calibration,
    confusion,
    histogram,
    recalls,
)
from vitbench.report.mistakes import judged_split
from vitbench.report.reproduction import Reproduction, reproduction
from vitbench.settings import CONFUSION_FIGURE, LATENCY, MISTAKES_FIGURE

if TYPE_CHECKING:
    from vitbench.figures import Figure
    from vitbench.store import Run, Store

__all__ = ["CellDetail", "Curve", "Details", "DrawnFigure", "RowDetail", "RunDetail", "read_details"]

MOST_POINTS = 200
"""Epochs of a curve that are kept; of more, evenly spaced ones and the last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """The training of one seed."""

    seed: int
    points: tuple[Mapping[str, float], ...]
    """What was logged of each epoch, ``epoch`` among it; values may be nan or infinite."""

    def thinned(self, most: int) -> tuple[Mapping[str, float], ...]:
        """Return at most so many points and the last one, evenly spaced."""
        step = max(1, math.ceil(len(self.points) / most))
        last = len(self.points) - 1
        return tuple(point for i, point in enumerate(self.points) if i % step == 0 or i == last)


@dataclass(frozen=True, kw_only=True, slots=True)
class CellDetail:
    """One of the cells that a row is made of."""

    id: str
    name: str
    """Seed, or mode and batch size."""
    seconds: float
    """Wall time of the attempt."""
    run: str
    processes: int
    """Those whose machine was observed."""
    evidence: Mapping[str, tuple[float, float]]
    """Least and most over the processes, by name."""
    faults: tuple[str, ...]
    """Faults and warnings of the record."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnFigure:
    """What a figure drew of one model."""

    name: str
    key: str
    """Of what was drawn: other pictures have another."""
    figure: str = ""
    """Its full name."""
    pictures: tuple[Figure, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowDetail:
    """What is behind one row."""

    main: Record
    """The newest of quality, else of speed: its settings are the row's."""
    class_names: tuple[str, ...]
    curves: tuple[Curve, ...]
    confusion: Confusion | None
    """None where no predictions are stored."""
    recalls: tuple[Recall, ...]
    """Of each class that has images."""
    calibration: tuple[Bin, ...]
    latency: Histogram | None
    """Milliseconds for one image; None where no latency was measured."""
    cells: tuple[CellDetail, ...]
    reproduction: Reproduction
    origins: Mapping[str, tuple[PluginOrigin, ...]]
    """Of model, recipe and dataset, and of metrics that are not vitbench's own; several where cells were made by
    different versions."""
    torch: tuple[str, ...]
    """Version; several likewise."""
    figures: tuple[DrawnFigure, ...]
    """Of the first seed that has any, except those whose content the page has by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunDetail:
    """One run."""

    begun: Run
    suite: str
    """TOML text; empty where models and datasets were named without one."""
    environment: Environment


@dataclass(frozen=True, kw_only=True, slots=True)
class Details:
    """What the page shows beside the leaderboard."""

    rows: tuple[RowDetail, ...]
    """As the leaderboard's rows."""
    runs: tuple[RunDetail, ...]
    """Those that made the rows, and the newest, which is the last."""
    data: tuple[DataInfo, ...]
    albums: Mapping[Condition, Album]
    """What is shown of the images that models were judged on; of no condition without answers."""
    images: bool
    """Whether any image is shown."""
    boards: tuple[Board, ...] = ()
    """Over several datasets."""
    findings: Findings | None = None
    """What became of what the suite states; None where it states nothing."""


def read_details(store: Store, board: Leaderboard, records: Sequence[Record], *, images: bool = True) -> Details:
    """Read what is behind the rows of a leaderboard.

    Args:
        store: where the predictions, runs, suites and environments are.
        board: made of `records`.
        records: all attempts, the newest last.
        images: whether images of the data may be shown; if not, figures that show any are left out, too.

    What is damaged in the store is left out: a run, and the command that makes its rows again.
    """
    newest = newest_by_id(records)
    drawn = [record for record in newest.values() if isinstance(record.planned.cell, FigureCell) and record.pictures]
    behind = [[newest[each] for each in row.ids] for row in board.rows]
    used = {record.run for each in behind for record in each}
    runs = store.all_runs()
    newest_run = store.runs()[-1:]
    shown = {
        run.id: detail
        for run in runs
        if (run.id in used or run in newest_run) and (detail := _run(run, store)) is not None
    }
    data = {
        (planned.data.title, planned.data.lineage, planned.data.fingerprint): planned.data
        for each in behind
        for planned in (record.planned for record in each)
        if planned.data is not None
    }
    details: dict[int, RowDetail] = {}
    albums = {}
    of_row = dict(zip(map(id, board.rows), behind, strict=True))
    by_condition = board.by_condition()
    for condition, rows in by_condition.items():
        answers = [_answers(of_row[id(row)], store) for row in rows]
        found = _album(
            rows, answers, [of_row[id(row)] for row in rows], images=images, room=MOST_IMAGES // len(by_condition)
        )
        if found is not None:
            albums[condition] = found
        for row, predicted in zip(rows, answers, strict=True):
            figures = _figures(of_row[id(row)], drawn, store)
            behind_row = _row(row, of_row[id(row)], shown, predicted)
            further = _further(figures, behind_row, found, images=images)
            details[id(row)] = replace(behind_row, figures=further)
    return Details(
        rows=tuple(details[id(row)] for row in board.rows),
        runs=tuple(shown.values()),
        data=tuple(data.values()),
        albums=albums,
        images=images,
        boards=boards_beside(store, board, records),
        findings=findings_of(store, board, records),
    )


def _answers(records: Sequence[Record], store: Store) -> tuple[Answers, ...]:
    """Return what is stored of a row's answers, of the lowest seed first."""
    quality = [record for record in records if isinstance(record.planned.cell, QualityCell)]
    quality.sort(key=lambda record: record.planned.cell.seed)  # type: ignore[union-attr]
    return tuple(found for r in quality if (found := read_answers(store.predictions_path(r.key))) is not None)


def _album(
    rows: Sequence[Row],
    answers: Sequence[tuple[Answers, ...]],
    records: Sequence[Sequence[Record]],
    *,
    images: bool,
    room: int,
) -> Album | None:
    """Return what is shown of the images of one condition."""
    models = []
    for number, (row, name, seeds) in enumerate(zip(rows, row_labels(rows), answers, strict=True)):
        same = tuple(one for one in seeds if one.are_on_images_of(seeds[0]))
        if same and not row.source:  # nobody else's answers are shown beside images of this folder's data
            classes = next(r.planned.class_names for r in records[number] if isinstance(r.planned.cell, QualityCell))
            models.append(Answerer(row=number, name=name, baseline=row.baseline, class_names=classes, seeds=same))
    judged = [
        r
        for each in records
        for r in each
        if not r.source and isinstance(r.planned.cell, QualityCell) and r.planned.data
    ]
    data = {(r.planned.data.cache, r.planned.data.names): r.planned.data for r in judged if r.planned.data}
    return album(models, data.values(), judged_split(judged[0]), images=images, room=room) if judged else None


def _further(
    figures: tuple[DrawnFigure, ...], detail: RowDetail, album: Album | None, *, images: bool
) -> tuple[DrawnFigure, ...]:
    """Return the figures that say more than the page does, and without images those that show none."""
    from vitbench.figures import Grid

    known = set()
    if detail.confusion and detail.confusion.whole:
        known.add(CONFUSION_FIGURE)
    if album and album.places:
        known.add(MISTAKES_FIGURE)
    kept = []
    for figure in figures:
        # Maps of values are made of images, too, and may show what is on them.
        pictures = tuple(each for each in figure.pictures if images or not isinstance(each, Grid))
        if pictures and figure.figure not in known:
            kept.append(replace(figure, pictures=pictures))
    return tuple(kept)


def _run(run: Run, store: Store) -> RunDetail | None:
    """Return a run; None where what it refers to is damaged."""
    try:
        suite, environment = store.blob(run.suite), store.blob(run.environment)
    except StoreError:
        return None
    return RunDetail(begun=run, suite=suite.decode(), environment=msgspec.json.decode(environment, type=Environment))


def _figures(records: Sequence[Record], drawn: Sequence[Record], store: Store) -> tuple[DrawnFigure, ...]:
    """Return what figures of a row show: of its first seed that has any, and images of the test split.

    Of the same figure with several options that with the most pictures is taken, and of as many the newest.
    """
    from vitbench.figures.files import read_figures

    trainings = {r.key: (r.planned.cell.seed, r.started) for r in records if isinstance(r.planned.cell, QualityCell)}
    seeds: dict[int, dict[str, Record]] = defaultdict(dict)
    for record in sorted(drawn, key=lambda each: (each.pictures, each.started)):
        cell, of = record.planned.cell, record.planned.shows
        if not isinstance(cell, FigureCell) or of not in trainings or cell.images:
            continue
        seed, trained = trainings[of]
        if record.started >= trained:  # else its weights may be others by now
            seeds[seed][cell.figure] = record
    found = seeds[min(seeds)].values() if seeds else ()
    figures = []
    for record in sorted(found, key=lambda each: each.started):
        with contextlib.suppress(StoreError):
            pictures = read_figures(store.figures_path(record.key))
            full = record.planned.cell.figure  # type: ignore[union-attr]
            name = full.rpartition("/")[2]
            figures.append(DrawnFigure(name=name, key=record.key, pictures=pictures, figure=full))
    return tuple(figures)


def _row(
    row: Row,
    records: Sequence[Record],
    runs: Mapping[str, RunDetail],
    predicted: tuple[Answers, ...],
) -> RowDetail:
    quality = {r.planned.cell.seed: r for r in records if isinstance(r.planned.cell, QualityCell)}
    # Speed cells have neither recipe nor data.
    main = max(quality.values() or records, key=lambda record: record.started)
    planned = main.planned
    class_names = planned.class_names
    run = runs.get(main.run)
    return RowDetail(
        main=main,
        class_names=class_names,
        curves=tuple(_curve(seed, record) for seed, record in sorted(quality.items()) if record.curve),
        confusion=confusion(predicted, len(class_names)) if predicted else None,
        recalls=recalls(predicted, len(class_names)) if predicted else (),
        calibration=calibration(predicted) if predicted else (),
        latency=_latency(records),
        cells=tuple(_cell(record) for record in records),
        reproduction=reproduction(
            planned,
            row.seeds,
            run.begun.selection,
            run.suite,
            run.begun.command,
            metrics={plain_name(name) for name in row.metrics if name != plain_name(name)},
        )
        if run and not main.source
        else Reproduction(command="", note=f"Imported from {main.source}; its command is there.")
        if main.source
        else Reproduction(command="", note="What its run was asked for is damaged in the store."),
        origins=_origins(records),
        torch=tuple(dict.fromkeys(record.planned.provenance.torch for record in records)),
        figures=(),
    )


def _curve(seed: int, record: Record) -> Curve:
    """Return a training log, thinned; a row that names no epoch is that of its place."""
    rows = tuple({"epoch": i + 1.0, **row} for i, row in enumerate(record.curve))
    whole = Curve(seed=seed, points=rows)
    return Curve(seed=seed, points=whole.thinned(MOST_POINTS))


def _latency(records: Sequence[Record]) -> Histogram | None:
    for record in records:
        for measured in record.measurements:
            if measured.name == LATENCY and measured.samples:
                return histogram([[1e3 * seconds for seconds in process] for process in measured.samples])
    return None


def _cell(record: Record) -> CellDetail:
    cell = record.planned.cell
    ranges: dict[str, tuple[float, float]] = {}
    for process in record.evidence:
        for name, value in process.items():
            low, high = ranges.get(name, (value, value))
            ranges[name] = min(low, value), max(high, value)
    return CellDetail(
        id=record.id,
        name=cell.in_words if isinstance(cell, SpeedCell) else f"seed {cell.seed}",
        seconds=record.seconds,
        run=record.run,
        processes=len(record.evidence),
        evidence=ranges,
        faults=(*record.faults, *record.warnings),
    )


def _origins(records: Sequence[Record]) -> dict[str, tuple[PluginOrigin, ...]]:
    found: dict[str, dict[PluginOrigin, None]] = defaultdict(dict)
    for record in records:
        made_of = record.planned.provenance
        for name, origin in (("model", made_of.model), ("recipe", made_of.recipe), ("dataset", made_of.dataset)):
            if origin is not None:
                found[name][origin] = None
        found["other models"].update(dict.fromkeys(made_of.others))
        found["metrics"].update(dict.fromkeys(record.foreign_metrics))
    return {name: tuple(origins) for name, origins in found.items() if origins}
