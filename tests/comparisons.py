"""Results folders for the tests of comparisons: fake records with the predictions and raw samples behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import factories as f
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from vitbench.records import KeyedCell, Measurement, Record
from vitbench.store import Store
from vitbench.worker.scores import save_scores

IMAGES = 400
STEADY = (0.99, 1.0, 1.01)
"""Figures of three processes over their median."""


def right(correct: int, *, start: int = 0, images: int = IMAGES) -> NDArray[np.bool_]:
    """Return which images are right: so many in a row, from some position on, round the end."""
    found = np.zeros(images, dtype=bool)
    found[(start + np.arange(correct)) % images] = True
    return found


def quality(label: str, scores: NDArray[np.bool_], **fields: object) -> tuple[Record, NDArray[np.bool_]]:
    """Return a quality record of these scores, and the scores."""
    verdict = fields.pop("verdict", "valid")
    reasons = () if verdict == "valid" else ("the model is order-dependent",)
    top1 = f.top1(int(scores.sum()), len(scores), verdict=str(verdict), reasons=reasons)
    ece = f.measurement("ece", 0.02, unit="fraction", better="lower", low=0.01, high=0.03, n=len(scores))
    return f.record(f.quality_cell(label, **fields), [top1, ece]), scores


def speeds(
    label: str,
    images_per_second: float,
    *,
    processes: Sequence[float] = STEADY,
    verdict: str = "valid",
    **fields: object,
) -> list[Record]:
    """Return speed records like those of the factories, with raw samples and ranges to match."""
    return [
        msgspec.structs.replace(
            record,
            measurements=tuple(_sampled(one, processes) if one.n == 3 else one for one in record.measurements),
        )
        for record in f.speed(label, images_per_second, verdict=verdict, reason="IQR 30% of the median", **fields)
    ]


def _sampled(measurement: Measurement, processes: Sequence[float]) -> Measurement:
    assert measurement.value is not None
    figures = sorted(measurement.value * share for share in processes)
    samples = tuple((0.995 * figure, figure, 1.005 * figure) for figure in figures)
    return msgspec.structs.replace(
        measurement, low=figures[0], high=figures[-1], samples=samples, processes=tuple(figures)
    )


def foreign_speeds(label: str, value: float, **fields: object) -> list[Record]:
    """Return speed records whose figures have other names and the places of their own."""
    names = {"throughput": "zeta", "latency_p50": "my_p50", "train_throughput": "steps"}
    return [
        msgspec.structs.replace(
            record,
            measurements=tuple(
                msgspec.structs.replace(one, name=names[one.name]) for one in record.measurements if one.name in names
            ),
        )
        for record in speeds(label, value, **fields)
    ]


def write(
    folder: Path,
    *parts: tuple[Record, NDArray[np.bool_]] | Iterable[Record],
    pending: Sequence[KeyedCell] = (),
    rank_by: str = "top1",
    predictions: bool = True,
    suite: str = "",
) -> Path:
    """Write a results folder of records, with the scores of those that come with some."""
    with Store.open(folder, create=True) as store:
        run = store.begin_run(command="x", version="1", suite=suite, environment=f.environment(), rank_by=rank_by)
        records: list[Record] = []
        for part in parts:
            if isinstance(part, tuple) and isinstance(part[1], np.ndarray):
                record, scores = part
                records.append(record)
                if predictions:
                    _save(store.scores_path(record.key), scores)
            else:
                records += part  # type: ignore[arg-type]
        store.plan(run, [*{record.planned.key: record.planned for record in records}.values(), *pending])
        for record in records:
            store.append(msgspec.structs.replace(record, run=run))
    return folder


def _save(path: Path, scores: NDArray[np.bool_]) -> None:
    labels = np.arange(len(scores)) % 10
    classes = np.where(scores, labels, (labels + 1) % 10)
    predictions = f.predictions(torch.eye(10)[classes], labels)
    save_scores(path, {"top1": {"scores": scores}, "top5": {"scores": scores}}, predictions)
