"""From a results folder to what exporters get."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from vitbench.errors import StoreError
from vitbench.exporting.results import ExportedCell, ExportedResults, ExportedRow, ExportedRun, ExportedValue
from vitbench.leaderboard.leaderboard import Row
from vitbench.leaderboard.metric import Metric
from vitbench.leaderboard.results import read_results, relabelled
from vitbench.leaderboard.rows import row_fields
from vitbench.printable import plain
from vitbench.records import (
    Environment,
    FigureCell,
    Measurement,
    QualityCell,
    Record,
    SpeedCell,
    kind_of,
    newest_by_id,
)
from vitbench.store import Store
from vitbench.version import __version__

__all__ = ["read_exported"]

_FOLDERS = ("cache", "train_cache", "names")
"""Of a dataset's description: where it lies on this machine, which is nobody else's business."""


def read_exported(folder: Path) -> tuple[ExportedResults, tuple[str, ...]]:
    """Return the own results of a folder, and what of it is left out, damaged or imported, in sentences.

    Raises:
        StoreError: it is missing, unreadable or from another version.
    """
    _, board = read_results(folder)
    with Store.open(folder, create=False) as store:
        runs = store.runs()
        records = relabelled(store.records(), store, runs[-1].id if runs else "")
        newest = newest_by_id(records)
        cells = _cells(list(newest.values()), store)
    by_id = {cell.id: cell for cell in cells}
    results = ExportedResults(
        version=__version__,
        rank_by=board.rank_by,
        rows=tuple(_row(row, by_id) for row in board.rows if not row.source),
        cells=tuple(cells),
        runs=tuple(
            ExportedRun(id=run.id, started=run.started, command=run.command, version=run.version)
            for run in runs
            if not run.imported
        ),
    )
    foreign = Counter(row.source for row in board.rows if row.source)
    left_out = tuple(
        f"{count} row{'s' if count > 1 else ''} imported from {source} left out; export from {source}'s own folder."
        for source, count in foreign.items()
    )
    return results, (*board.damaged, *left_out)


def _cells(records: Sequence[Record], store: Store) -> list[ExportedCell]:
    figures: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for record in records:
        cell = record.planned.cell
        path = store.figures_path(record.key)
        if isinstance(cell, FigureCell) and record.status == "ok" and path.is_file():
            figures[record.planned.shows].append((cell.figure.partition("/")[2], path))
    environments = {name: _environment(store, name) for name in {record.environment for record in records}}
    return [_cell(record, store, figures.get(record.key, ()), environments[record.environment]) for record in records]


def _environment(store: Store, name: str) -> Mapping[str, Any]:
    """Return the environment that a digest names; empty where it is damaged or was never stored."""
    try:
        return _builtins(msgspec.json.decode(store.blob(name), type=Environment)) if name else {}
    except (StoreError, msgspec.DecodeError):
        return {}


def _cell(
    record: Record, store: Store, figures: Iterable[tuple[str, Path]], environment: Mapping[str, Any]
) -> ExportedCell:
    planned, cell = record.planned, record.planned.cell
    trained = cell.of if isinstance(cell, FigureCell) else cell
    quality, speed = isinstance(trained, QualityCell), isinstance(trained, SpeedCell)
    predictions = store.predictions_path(record.key)
    content = _builtins(record)
    for name in _FOLDERS:
        (content["planned"].get("data") or {}).pop(name, None)
    return ExportedCell(
        kind=kind_of(cell),
        id=record.id,
        key=record.key,
        run=record.run,
        status=record.status,
        reason=record.reason,
        label=planned.label,
        model=cell.model,
        options=_frozen(cell.options),
        dataset=trained.dataset if isinstance(trained, QualityCell) else "",
        dataset_title=_named(planned.data.title, planned.data.lineage)
        if planned.data
        else trained.dataset  # type: ignore[union-attr]
        if not speed
        else "",
        recipe=cell.recipe,
        recipe_options=_frozen(cell.recipe_options),
        seed=trained.seed if isinstance(trained, QualityCell) else None,
        split=trained.split if isinstance(trained, QualityCell) else "",
        mode=trained.mode if isinstance(trained, SpeedCell) else "",
        batch_size=trained.batch_size if isinstance(trained, SpeedCell) else None,
        image_size=planned.image_size,
        machine=planned.machine,
        device=planned.device,
        precision=cell.precision,
        threads=cell.threads,
        torch=planned.provenance.torch,
        started=record.started,
        seconds=record.seconds,
        class_names=planned.class_names,
        preprocess=_builtins(record.preprocess) if record.preprocess else {},
        values=_frozen({one.name: _of_measurement(one) for one in record.measurements}),
        curve=tuple(map(_frozen, record.curve)),
        environment=environment,
        content=content,
        predictions=predictions if quality and predictions.is_file() else None,
        figures=tuple(figures),
    )


def _row(row: Row, cells: Mapping[str, ExportedCell]) -> ExportedRow:
    made_of = tuple(cells[each] for each in row.ids if each in cells)
    known = row_fields(row)
    own = {field.name for field in fields(ExportedRow)} | {"ids"}
    return ExportedRow(
        label=row.label,
        model=made_of[0].model if made_of else "",
        options=made_of[0].options if made_of else {},
        dataset=_named(row.condition.judged_on, row.condition.lineage),
        recipe=row.recipe,
        recipe_options=_frozen(row.recipe_options),
        rank=row.rank,
        rank_last=row.rank_last,
        tied_with=row.tied_with,
        seeds=row.seeds,
        baseline=row.baseline,
        partial=row.condition.partial,
        image_size=row.image_size,
        conditions=_frozen({name: _builtins(value) for name, value in known.items() if name not in own}),
        values=_frozen({name: _of_metric(name, metric) for name, metric in row.metrics.items()}),
        cells=made_of,
    )


def _named(title: str, lineage: str) -> str:
    return ", ".join(filter(None, (title, lineage)))


def _of_measurement(one: Measurement) -> ExportedValue:
    return ExportedValue(
        name=one.name,
        value=_finite(one.value),
        unit=one.unit,
        better=one.better,
        low=_finite(one.low),
        high=_finite(one.high),
        interval=one.interval,
        n=one.n,
        spread=None,
        verdict=one.verdict.level,
        reasons=tuple(map(plain, one.verdict.reasons)),
        title=one.style.title,
        exact=one.exact,
        machine_bound=one.machine_bound,
        ratio=one.ratio.value if one.ratio else None,
        samples=one.samples,
    )


def _of_metric(name: str, metric: Metric) -> ExportedValue:
    low, high = metric.ends or (None, None)
    return ExportedValue(
        name=name,
        value=metric.value,
        unit=metric.unit,
        better=metric.better,
        low=low,
        high=high,
        interval="95%" if metric.relative and metric.ends else metric.interval,
        n=metric.n,
        spread=metric.spread,
        verdict=metric.verdict,
        reasons=tuple(map(plain, metric.reasons)),
        title=metric.style.title,
        exact=metric.exact,
        machine_bound=metric.machine_bound,
        ratio=metric.relative.ratio.value if metric.relative else None,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _frozen(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(values))


def _builtins(value: object) -> Any:
    """Return a value as JSON can hold it; what it has no number for as text."""

    def made(each: Any) -> Any:
        if isinstance(each, dict):
            return {str(name): made(part) for name, part in each.items()}
        if isinstance(each, list | tuple):
            return [made(part) for part in each]
        return str(each) if isinstance(each, float) and not math.isfinite(each) else each

    return made(msgspec.to_builtins(value))
