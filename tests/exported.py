"""A small results folder to export: two seeds of a training with curve, answers and a figure, and timings."""

from __future__ import annotations

from pathlib import Path

import factories
import msgspec
import numpy as np
import torch

from vitbench.figures import Grid, Tile
from vitbench.figures.files import write_figures
from vitbench.measuring.predictions import save_predictions
from vitbench.records import FigureCell, KeyedCell, Record, Verdict
from vitbench.store import Store

LABEL = "../../vit <b>:depth=1"
"""Of the model: a name that leads out of any folder, if it is let."""
CURVE = ({"epoch": 1.0, "train_loss": 2.5, "val_top1": 0.25}, {"epoch": 2.0, "train_loss": 1.25, "val_top1": 0.5})


def write_store(folder: Path) -> list[Record]:
    """Write the folder and return its records."""
    records = _records()
    with Store.open(folder, create=True) as store:
        run = store.begin_run(
            command="vitbench run", version="0.1.0", suite="", environment=factories.environment(), rank_by="top1"
        )
        records = [msgspec.structs.replace(record, run=run) for record in records]
        store.plan(run, [record.planned for record in records])
        for record in records:
            store.append(record)
            if record.planned.data and not isinstance(record.planned.cell, FigureCell):
                logits = 8 * torch.eye(10)[torch.arange(20) % 10]
                labels = np.arange(20) % 10
                labels[:5] = 9
                save_predictions(store.predictions_path(record.key), factories.predictions(logits, labels))
        picture = Tile(pixels=np.zeros((3, 4, 4), dtype=np.uint8), title="one")
        write_figures(store.figures_path(records[-1].key), [Grid(title="Filters", tiles=(picture,), columns=1)])
    return records


def _records() -> list[Record]:
    trainings = [factories.quality(correct=340 + seed, seed=seed) for seed in (0, 1)]
    doubtful = factories.measurement("top5", 0.96875, unit="fraction", verdict="warn", reasons=("a duplicate",))
    invalid = factories.measurement("ece", 0.7341258, unit="fraction", verdict="invalid", reasons=("not finite",))
    trainings = [
        msgspec.structs.replace(each, measurements=(*each.measurements, doubtful, invalid), curve=CURVE)
        for each in trainings
    ]
    timings = [
        msgspec.structs.replace(
            record,
            measurements=tuple(
                msgspec.structs.replace(one, samples=((one.value, 1.01 * one.value), (one.value, 0.99 * one.value)))
                if one.name in ("latency_p50", "throughput", "train_throughput")
                else one
                for one in record.measurements
            ),
        )
        for record in factories.speed()
    ]
    first = timings[0]
    blamed = [
        msgspec.structs.replace(one, verdict=Verdict(level="warn", reasons=("busy",))) for one in first.measurements
    ]
    timings[0] = msgspec.structs.replace(first, measurements=tuple(blamed))
    failed = factories.record(factories.quality_cell("other"), status="oom", reason="out of memory")
    drawn = trainings[0].planned
    cell = FigureCell(figure="figures/filters", of=drawn.cell)
    figure = factories.record(msgspec.structs.replace(drawn, cell=cell, id="f" * 16, key="e" * 16, shows=drawn.key))
    return [*map(_named, (*trainings, *timings)), failed, _named(figure)]


def _named(record: Record) -> Record:
    planned: KeyedCell = msgspec.structs.replace(record.planned, label=LABEL)
    return msgspec.structs.replace(record, planned=planned)
