"""Made-up subjects for the checks of metrics: for each part that a metric may need, a good, a middling and a bad one.

The bad one is bad in all respects: wrong and sure of it, or right and unsure; slow and uneven, large, far from float32.
Of numbers that metrics may divide by one another each grows by a power of its own, the part that is overhead faster,
so that a share of it or a ratio grows, too.

Shapes: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import reduce
from itertools import pairwise, product
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitbench.measuring.predictions import summarise
from vitbench.protocols import (
    Agreement,
    EnergyUse,
    Loading,
    MemoryUse,
    Predictions,
    Split,
    Startup,
    Subject,
    Sustained,
    Timing,
    TrainingLog,
)
from vitbench.records import Mode
from vitbench.specs import At, Part

__all__ = ["IMAGES", "Scene", "scenes", "shuffled"]

IMAGES = 120
INPUT_SHAPE = (3, 8, 8)
MIB = 1 << 20
_OF_CLASSES: frozenset[Part] = frozenset({"predictions", "images", "architecture"})
"""Parts that know how many classes there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Three subjects that differ in the parts that a metric needs alone."""

    name: str
    parts: frozenset[Part]
    """Which parts these are."""
    cells: frozenset[At]
    """The cells that it may be of."""
    best: Subject
    middle: Subject
    worst: Subject

    @property
    def subjects(self) -> tuple[Subject, Subject, Subject]:
        """The three, the best first."""
        return self.best, self.middle, self.worst


def scenes(*parts: Part) -> list[Scene]:
    """Return the scenes of some parts: one for each situation in which a metric may give something else."""
    choices = product(*(_SCENES[part]() for part in parts))
    return [reduce(_joined, several) for several in choices if _fit_together(several)]


def _fit_together(scenes: tuple[Scene, ...]) -> bool:
    """Return whether scenes may be of one cell."""
    classes = {scene.best.num_classes for scene in scenes if scene.parts & _OF_CLASSES}
    return len(classes) <= 1 and bool(frozenset.intersection(*(scene.cells for scene in scenes)))


def _joined(first: Scene, other: Scene) -> Scene:
    """Return a scene with the parts of both."""
    main, added = (other, first) if other.parts & _OF_CLASSES and not first.parts & _OF_CLASSES else (first, other)
    best, middle, worst = (
        replace(one, **{str(part): getattr(two, part) for part in added.parts})
        for one, two in zip(main.subjects, added.subjects, strict=True)
    )
    return Scene(
        name=f"{first.name}; {other.name}",
        parts=first.parts | other.parts,
        cells=first.cells & other.cells,
        best=best,
        middle=middle,
        worst=worst,
    )


def shuffled(subject: Subject) -> tuple[Subject, NDArray[np.intp]]:
    """Return a subject with the same predictions and images in another order, and that order, intp[N]."""
    order = np.random.default_rng(0).permutation(IMAGES)
    parts: dict[str, Any] = {}
    if subject.predictions is not None:
        held = {each.name: getattr(subject.predictions, each.name) for each in fields(subject.predictions)}
        arrays: dict[str, Any] = {name: value[order] for name, value in held.items() if isinstance(value, np.ndarray)}
        parts["predictions"] = replace(subject.predictions, **arrays)
    if subject.images is not None:
        split = subject.images
        parts["images"] = replace(split, index=split.index[order], labels=split.labels[order])
    return replace(subject, **parts), order


def _subject(num_classes: int = 10, **part: Any) -> Subject:
    return Subject(num_classes=num_classes, input_shape=INPUT_SHAPE, device="cpu", precision="float32", **part)


def _scene(name: str, part: Part, make: Callable[[float], object], *cells: At, num_classes: int = 10) -> Scene:
    """Return a scene of parts that are made by a factor: 1 is the best, 4 the worst; of no cells: it may be of any."""
    best, middle, worst = (_subject(num_classes, **{str(part): make(factor)}) for factor in (1.0, 2.0, 4.0))
    of = frozenset(cells) or frozenset(get_args(At))
    return Scene(name=name, parts=frozenset({part}), cells=of, best=best, middle=middle, worst=worst)


def _labels(num_classes: int) -> NDArray[np.int64]:
    """Return the labels of all images, int64[N]."""
    return np.arange(IMAGES, dtype=np.int64) % num_classes


def _predicted(num_classes: int, right: float, confidence: float) -> Predictions:
    """Return predictions of which a share is right, all given with the same confidence."""
    labels = _labels(num_classes)
    hit = np.random.default_rng(0).permutation(IMAGES) < round(right * IMAGES)
    # The likeliest class is the true one or the next; the others follow in order, a missed label last of all.
    order = (labels[:, None] + np.where(hit, 0, 1)[:, None] + np.arange(num_classes)) % num_classes
    others = np.geomspace(1, 0.99, num_classes - 1)  # a little apart, so that their order is known
    ordered = np.concatenate([[confidence], max(1 - confidence, 1e-12) * others / others.sum()])
    logits = np.empty((IMAGES, num_classes), dtype=np.float32)
    np.put_along_axis(logits, order, np.log(ordered)[None, :].astype(np.float32), axis=1)
    return summarise(
        torch.from_numpy(logits),
        labels,
        index=np.arange(IMAGES, dtype=np.int64),
        class_names=[f"class {k}" for k in range(num_classes)],
    )


def _predictions() -> list[Scene]:
    situations = (
        ("10 classes", 10, ((1.0, 1.0), (0.6, 0.7), (0.0, 1.0))),
        ("2 classes", 2, ((1.0, 1.0), (0.6, 0.7), (0.0, 1.0))),
        ("always right, 10 classes", 10, ((1.0, 1.0), (1.0, 0.8), (1.0, 0.5))),
    )
    return [
        Scene(
            name=name,
            parts=frozenset({"predictions"}),
            cells=frozenset({"quality"}),
            best=_subject(classes, predictions=_predicted(classes, *best)),
            middle=_subject(classes, predictions=_predicted(classes, *middle)),
            worst=_subject(classes, predictions=_predicted(classes, *worst)),
        )
        for name, classes, (best, middle, worst) in situations
    ]


def _images() -> list[Scene]:
    """Return the same images for all three subjects: what is good or bad is the model."""

    def make(num_classes: int) -> Callable[[float], Split]:
        pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, *INPUT_SHAPE), dtype=np.uint8)
        split = Split(images=pixels, index=np.arange(IMAGES, dtype=np.int64), labels=_labels(num_classes))
        return lambda factor: split

    return [
        _scene(f"images of {classes} classes", "images", make(classes), "quality", num_classes=classes)
        for classes in (10, 2)
    ]


def _architecture() -> list[Scene]:
    def make(factor: float) -> Callable[[], nn.Module]:
        def architecture() -> nn.Module:
            width, depth = int(8 * factor), int(factor)
            sides = [3] + [width] * depth
            with torch.device("meta"):
                blocks = [(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()) for a, b in pairwise(sides)]
                layers = [layer for block in blocks for layer in block]
                return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * 64, 10)).eval()

        return architecture

    return [_scene("a convolutional network", "architecture", make)]


def _training() -> list[Scene]:
    def make(factor: float) -> TrainingLog:
        curve = tuple(
            {
                "epoch": float(epoch),
                "loss": factor * 2.0 / epoch ** (1 / factor),
                "lr": 0.001,
                "val_top1": 1 - factor * 0.2 / epoch ** (1 / factor),
                "images_per_second": 1000 / factor,
                "wait_seconds": 0.1 * factor,
                "train_seconds": factor * epoch,
            }
            for epoch in range(1, 6)
        )
        return TrainingLog(seconds=10 * factor, images=1000, curve=curve)

    return [_scene("five epochs", "training", make, "quality")]


def _timing() -> list[Scene]:
    def make(mode: Mode, batch_size: int) -> Callable[[float], Timing]:
        def timing(factor: float) -> Timing:
            uneven = factor * (1 + 0.01 * factor * np.sin(np.arange(700)))
            return Timing(
                mode=mode,
                batch_size=batch_size,
                block_seconds=tuple((0.1 * uneven[:20]).tolist()),
                calls_per_block=10,
                call_seconds=tuple((0.01 * uneven).tolist()) if mode == "inference" else (),
                warmup_seconds=tuple((0.2 * factor**0.5 * uneven[:3]).tolist()),
            )

        return timing

    situations: tuple[tuple[Mode, int, tuple[At, ...]], ...] = (
        ("inference", 1, ("batch_1",)),
        ("inference", 32, ("fixed_batch", "largest_batch")),
        ("training", 32, ("training",)),
    )
    return [_scene(f"{mode}, batch {batch}", "timing", make(mode, batch), *cells) for mode, batch, cells in situations]


def _memory() -> list[Scene]:
    def make(mode: Mode) -> Callable[[float], MemoryUse]:
        def memory(factor: float) -> MemoryUse:
            weights = int(factor * 4 * MIB)
            activations = int(3 * factor**0.25 * weights)
            peak, baseline = int(10 * factor**0.5 * weights), int(8 * factor**2 * MIB)
            absolute = baseline + int(1.1 * factor**0.25 * peak)
            parts = {
                "gradient_bytes": weights,
                "optimiser_bytes": 2 * weights,
                "activation_bytes": activations,
            }
            return MemoryUse(
                mode=mode,
                peak_bytes=peak,
                absolute_peak_bytes=absolute,
                baseline_bytes=baseline,
                device_bytes=int(1.1 * factor**0.25 * absolute),
                weights_bytes=weights,
                **(parts if mode == "training" else {}),
            )

        return memory

    situations: tuple[tuple[Mode, tuple[At, ...]], ...] = (
        ("inference", ("batch_1", "fixed_batch", "largest_batch")),
        ("training", ("training",)),
    )
    return [_scene(mode, "memory", make(mode), *cells) for mode, cells in situations]


def _startup() -> list[Scene]:
    def make(compiled: bool) -> Callable[[float], Startup]:
        return lambda factor: Startup(
            connect_seconds=0.5 * factor,
            build_seconds=factor,
            first_call_seconds=factor**1.5 * (10.0 if compiled else 0.2),
            second_call_seconds=factor * 0.1,
            compiled=compiled,
        )

    return [
        _scene("compiled" if compiled else "plain", "startup", make(compiled), "batch_1") for compiled in (False, True)
    ]


def _sustained() -> list[Scene]:
    def make(mode: Mode) -> Callable[[float], Sustained]:
        def sustained(factor: float) -> Sustained:
            blocks = tuple((factor * np.linspace(1.0, 1.0 + 0.1 * factor, 20)).tolist())
            return Sustained(
                mode=mode,
                batch_size=32,
                seconds=sum(blocks),
                block_seconds=blocks,
                calls_per_block=100,
                counts_from=10,
                course=({"seconds": factor, "images_per_second": 3200 / factor},),
            )

        return sustained

    situations: tuple[tuple[Mode, At], ...] = (("inference", "fixed_batch"), ("training", "training"))
    return [_scene(f"{mode}, a long window", "sustained", make(mode), at) for mode, at in situations]


def _loading() -> list[Scene]:
    def make(factor: float) -> Loading:
        uneven = factor * (1 + 0.01 * factor * np.sin(np.arange(20)))
        return Loading(
            batch_size=32,
            data_seconds=tuple((0.01 * factor**0.5 * uneven).tolist()),
            end_to_end_seconds=tuple((0.05 * uneven).tolist()),
        )

    return [_scene("twenty batches", "loading", make, "quality")]


def _energy() -> list[Scene]:
    def make(factor: float) -> EnergyUse:
        return EnergyUse(joules=100 * factor**2, idle_watts=10.0, seconds=2 * factor, images=1000)

    return [_scene("a thousand images", "energy", make, "fixed_batch", "largest_batch")]


def _agreement() -> list[Scene]:
    def make(factor: float) -> Agreement:
        wrong, error = int(10 * (factor - 1)), 1e-5 * 10 ** (factor - 1)
        return Agreement(images=100, same_top1=100 - wrong, largest_error=error, tolerance=1e-3, real_images=True)

    return [_scene("a hundred images", "agreement", make)]


_SCENES: Mapping[Part, Callable[[], list[Scene]]] = MappingProxyType(
    {
        "predictions": _predictions,
        "images": _images,
        "architecture": _architecture,
        "training": _training,
        "timing": _timing,
        "memory": _memory,
        "startup": _startup,
        "loading": _loading,
        "sustained": _sustained,
        "energy": _energy,
        "agreement": _agreement,
    }
)
