"""Fake records, plausible and complete, for tests and benchmarks of what is made from records alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from vitbench_metrics import vitbench_metrics

from vitbench.measurements import at_largest_batch, at_of, blank, taken_in
from vitbench.protocols import Predictions
from vitbench.records import (
    Compile,
    DataInfo,
    Environment,
    Judged,
    KeyedCell,
    Measurement,
    PluginOrigin,
    Provenance,
    QualityCell,
    Ratio,
    Record,
    SpeedCell,
    Status,
    Verdict,
    digest,
    id_of,
)
from vitbench.running.attempt import merge_processes
from vitbench.running.largest_batch import LargestBatch
from vitbench.specs import MetricSpec, OptionValue
from vitbench.statistics import wilson

if TYPE_CHECKING:
    import torch

MACHINE = "AMD EPYC 9B14, 2 cores"
GPU_MACHINE = "NVIDIA H200 (driver 580), 16 cores"
OPTIONS: dict[str, OptionValue] = {"patch_size": 4}
NO_OPTIONS: dict[str, OptionValue] = {}


SMALL_VIT: dict[str, Any] = {
    "patch_size": 4,
    "depth": 1,
    "width": 16,
    "heads": 2,
    "mlp_ratio": 2.0,
    "dropout": 0.0,
    "drop_path": 0.0,
    "checkpoint": "",
    "head": "own",
}
"""Options of ``scratch/vit``, complete."""


def predictions(logits: torch.Tensor, labels: Any, *, index: Any = None) -> Predictions:
    """Return what is kept of logits ``[N, K]``, of images that are a whole test split in its order."""
    import numpy as np

    from vitbench.measuring.predictions import summarise

    labels = np.asarray(labels, dtype=np.int64)
    index = np.arange(len(labels)) if index is None else np.asarray(index)
    return summarise(logits, labels, index=index, class_names=[f"class {k}" for k in range(logits.shape[1])])


def environment(machine: str = MACHINE) -> Environment:
    return Environment(
        machine=machine,
        cpu="AMD EPYC 9B14",
        cores=2,
        memory_bytes=8 << 30,
        system="Linux 6.1",
        python="3.11.9",
        versions={"torch": "2.15.0"},
    )


def data_info(name: str = "digits", *, num_classes: int = 10, title: str = "") -> DataInfo:
    return DataInfo(
        name=name,
        title=title or name,
        verified=not title,
        fingerprint=digest(name),
        cache=f"/cache/{name}",
        class_names=tuple(str(i) for i in range(num_classes)),
        shape=(1, 8, 8),
        sizes={"train": 1437, "test": 360},
    )


def _keyed(
    cell: QualityCell | SpeedCell, *, label: str, data: DataInfo | None, code: str, machine: str, **fields: object
) -> KeyedCell:
    origin = PluginOrigin(plugin="scratch", distribution="vitbench", version="0.1.0", code_hash=code)
    cell_id = id_of(cell)
    return KeyedCell(
        **{
            "cell": cell,
            "id": cell_id,
            "key": digest((cell_id, code)),
            "label": label,
            "provenance": Provenance(model=origin, torch="2.15.0"),
            "data": data,
            "image_size": (8, 8),
            "in_channels": 1,
            "machine": machine,
            "device": "cpu",
            **fields,
        }
    )


def quality_cell(
    label: str = "vit",
    *,
    options: Mapping[str, OptionValue] = OPTIONS,
    data: DataInfo | None = None,
    recipe: str = "recipes/supervised",
    recipe_options: Mapping[str, OptionValue] = NO_OPTIONS,
    seed: int = 0,
    threads: int = 1,
    precision: str = "float32",
    limit: float | None = None,
    epochs: int | None = None,
    compile: Compile = "",  # noqa: A002 - the name of the field
    split: Judged = "test",
    code: str = "c0de",
    machine: str = MACHINE,
    **fields: object,
) -> KeyedCell:
    data = data or data_info()
    cell = QualityCell(
        model=f"scratch/{label}",
        options=dict(options),
        recipe=recipe,
        recipe_options=dict(recipe_options),
        dataset=data.name,
        seed=seed,
        threads=threads,
        precision=precision,
        limit=limit,
        epochs=epochs,
        compile=compile,
        split=split,
    )
    return _keyed(cell, label=label, data=data, code=code, machine=machine, **fields)


def speed_cell(
    label: str = "vit",
    *,
    options: Mapping[str, OptionValue] = OPTIONS,
    num_classes: int = 10,
    batch_size: int = 32,
    mode: str = "inference",
    threads: int = 1,
    precision: str = "float32",
    device: str = "cpu",
    compile: Compile = "",  # noqa: A002 - the name of the field
    channels_last: bool = False,
    largest_batch: bool = False,
    sustained: float = 0.0,
    recipe: str = "",
    recipe_options: Mapping[str, OptionValue] = NO_OPTIONS,
    code: str = "c0de",
    machine: str = MACHINE,
    image_size: tuple[int, int] = (8, 8),
    **fields: object,
) -> KeyedCell:
    cell = SpeedCell(
        model=f"scratch/{label}",
        options=dict(options),
        num_classes=num_classes,
        input_shape=(1, *image_size),
        device=device,
        precision=precision,
        threads=threads,
        batch_size=batch_size,
        mode=mode,
        machine=machine,
        compile=compile,
        channels_last=channels_last,
        largest_batch=largest_batch,
        sustained=sustained,
        recipe=recipe,
        recipe_options=dict(recipe_options),
    )
    own = {"device": device, "image_size": image_size}
    return _keyed(cell, label=label, data=None, code=code, machine=machine, **own, **fields)


def record(
    planned: KeyedCell,
    measurements: Sequence[Measurement] = (),
    *,
    status: Status = "ok",
    reason: str = "",
    run: str = "run-1",
    started: float = 1.7e9,
    occasion: str = "run-1/1",
    **fields: object,
) -> Record:
    return Record(
        run=run,
        planned=planned,
        status=status,
        reason=reason,
        started=started,
        occasion=occasion,
        seconds=12.5,
        measurements=tuple(measurements),
        **fields,
    )


@cache
def _built_in() -> dict[str, Measurement]:
    """Return the measurements of vitbench's own metrics without values, also those at the largest batch."""
    found = {each.name: blank(spec, each.name) for spec in vitbench_metrics() for each in spec.gives}
    largest = [at_largest_batch(one) for one in found.values() if "fixed_batch" in one.at]
    largest.append(LargestBatch(batch_size=1).measurement())
    return found | {one.name: one for one in largest}


def described(name: str, unit: str) -> Measurement:
    """Return a measurement as the core fills it in: of vitbench's own metrics, or of one whose spec says the least."""
    if name in _built_in():
        return _built_in()[name]
    machine_bound = unit in ("s", "B", "J", "images/s", "images")
    needs = "timing" if machine_bound else "predictions"
    said = blank(MetricSpec(name="other", measure="m:f", unit=unit, better="higher", needs=needs, summary="x"), "other")
    # A store may hold a name that no spec could have.
    return msgspec.structs.replace(said, name=name, style=msgspec.structs.replace(said.style, title=name))


def measurement(
    name: str,
    value: float | None,
    *,
    unit: str = "",
    better: str = "higher",
    low: float | None = None,
    high: float | None = None,
    n: int | None = None,
    verdict: str = "valid",
    reasons: Sequence[str] = (),
    **fields: object,
) -> Measurement:
    """Return a measurement; `fields` are others of its type, such as at which cells it is taken."""
    return msgspec.structs.replace(
        described(name, unit),
        value=value,
        unit=unit,
        better=better,
        low=low,
        high=high,
        n=n,
        verdict=Verdict(level=verdict, reasons=tuple(reasons)),
        **fields,
    )


def top1(correct: int, n: int = 360, *, verdict: str = "valid", reasons: Sequence[str] = ()) -> Measurement:
    low, high = wilson(correct, n)
    return measurement("top1", correct / n, unit="fraction", low=low, high=high, n=n, verdict=verdict, reasons=reasons)


def quality(
    label: str = "vit", correct: int = 340, *, n: int = 360, verdict: str = "valid", **fields: object
) -> Record:
    """Return a good quality record with top1, nll and train_seconds."""
    return record(
        quality_cell(label, **fields),
        [
            top1(correct, n, verdict=verdict, reasons=() if verdict == "valid" else ("the model is order-dependent",)),
            measurement("nll", 0.25, unit="nat", better="lower", n=n),
            measurement("train_seconds", 21.5, unit="s", better="lower", n=1),
        ],
    )


def speed(
    label: str = "vit",
    images_per_second: float = 1000.0,
    *,
    verdict: str = "valid",
    reason: str = "",
    recipe: str = "",
    recipe_options: Mapping[str, OptionValue] = NO_OPTIONS,
    **fields: object,
) -> list[Record]:
    """Return three good speed records: batch 1, batch 32, training at batch 32 by a plain step or by a recipe's."""
    reasons = (reason,) if reason else ()
    costs = [
        measurement("params", 53_000, unit="1", better="lower"),
        measurement("macs", 1.5e6, unit="1", better="lower"),
    ]

    def one(name: str, value: float, unit: str, better: str) -> Measurement:
        spread = {"low": value * 0.98, "high": value * 1.03, "n": 3, "processes": (value * 0.98, value, value * 1.03)}
        return measurement(name, value, unit=unit, better=better, verdict=verdict, reasons=reasons, **spread)

    return [
        record(
            speed_cell(label, **{**fields, "batch_size": 1}),
            [
                *costs,
                one("latency_p50", 2 / images_per_second, "s", "lower"),
                one("latency_p95", 3 / images_per_second, "s", "lower"),
                one("peak_memory", 9 << 20, "B", "lower"),
            ],
        ),
        record(
            speed_cell(label, **fields),
            [
                *costs,
                one("throughput", images_per_second, "images/s", "higher"),
                one("peak_memory", 12 << 20, "B", "lower"),
            ],
        ),
        record(
            speed_cell(label, recipe=recipe, recipe_options=recipe_options, **{**fields, "mode": "training"}),
            [
                *costs,
                one("train_throughput", images_per_second / 3, "images/s", "higher"),
                one("train_peak_memory", 40 << 20, "B", "lower"),
            ],
        ),
    ]


def in_turn(
    one: Measurement,
    ratios: Sequence[float],
    references: Sequence[float] = (1000.0,),
    network: str = "conv-attention-1",
) -> Measurement:
    """Return a measurement as it is where each process timed the reference network in turn.

    Args:
        one: what is the same in all processes.
        ratios: of each process.
        references: the reference's own figures, which the processes take in turn.
        network: the reference's name.
    """
    processes = []
    for ratio, reference in zip(ratios, itertools.cycle(references), strict=False):
        value = ratio * reference
        relative = Ratio(
            value=ratio,
            value_of_all=ratio,
            reference=reference,
            network=network,
            quads=8,
            left_out=1,
            samples=((value,),),
        )
        processes.append(msgspec.structs.replace(one, value=value, samples=((value,),), ratio=relative))
    return merge_processes([(each,) for each in processes])[0]


def relative_speed(
    label: str,
    ratios: Sequence[float],
    references: Sequence[float] = (1000.0,),
    *,
    metric: str = "throughput",
    network: str = "conv-attention-1",
    occasion: str = "run-1/1",
    **fields: object,
) -> Record:
    """Return a good speed record with one metric, whose processes timed the reference network in turn."""
    unit, better = ("s", "lower") if metric.startswith("latency") else ("images/s", "higher")
    one = in_turn(measurement(metric, None, unit=unit, better=better), ratios, references, network)
    run = occasion.rpartition("/")[0]
    return record(speed_cell(label, **fields), [one], run=run, occasion=occasion)


FOREIGN = {
    spec.name: spec
    for spec in (
        MetricSpec(
            name="my_p50",
            measure="m:f",
            unit="s",
            better="lower",
            needs="timing",
            summary="x",
            at="batch_1",
            title="mine",
            shown_unit="ms",
            scale=1e3,
        ),
        MetricSpec(name="zeta", measure="m:f", unit="images/s", better="higher", needs="timing", summary="x"),
        MetricSpec(
            name="drill", measure="m:f", unit="images/s", better="higher", needs="timing", summary="x", at="training"
        ),
        MetricSpec(
            name="beauty", measure="m:f", unit="stars", better="higher", needs=("predictions", "images"), summary="x"
        ),
        MetricSpec(name="size", measure="m:f", unit="1", better="lower", needs="architecture", summary="x", exact=True),
        MetricSpec(
            name="crowd",
            measure="m:f",
            unit="images/s",
            better="higher",
            needs="timing",
            summary="x",
            at="largest_batch",
        ),
    )
}
"""A plugin's metrics, one for each kind of cell, under names that say nothing."""


def foreign(label: str, factor: float, **fields: object) -> list[Record]:
    """Return a model's records, one for each kind of cell, with values of `FOREIGN`: the larger `factor`, the better.

    Each has an interval of a tenth of a percent; of speed each process has samples.
    """
    cells = [
        quality_cell(label, **fields),
        speed_cell(label, batch_size=1, **fields),
        speed_cell(label, **fields),
        speed_cell(label, mode="training", **fields),
        speed_cell(label, largest_batch=True, **fields),
    ]
    return [
        record(planned, [_foreign(spec, factor) for spec in FOREIGN.values() if taken_in(spec, at_of(planned.cell))])
        for planned in cells
    ]


def _foreign(spec: MetricSpec, factor: float) -> Measurement:
    found = blank(spec, spec.name)
    value = 100.0 * (factor if spec.better == "higher" else 1 / factor)
    if found.exact:
        return msgspec.structs.replace(found, value=value)
    processes = (0.999 * value, value, 1.001 * value)
    samples = tuple((each, each) for each in processes) if found.machine_bound else ()
    return msgspec.structs.replace(
        found,
        value=value,
        low=processes[0],
        high=processes[-1],
        n=3,
        samples=samples,
        processes=processes if found.machine_bound else (),
    )
