"""Made-up subjects for the checks of metrics: for each part that a metric may need, a good, a middling and a bad one.

The bad one is bad in all respects: wrong and sure of it, or right and unsure; slow and uneven, large, far from float32.
Of figures that metrics may divide by one another each grows by a power of its own, the part that is overhead faster,
so that a share of it or a ratio grows, too.

Shapes: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from vitbench.measuring.predictions import summarise
from vitbench.protocols import (
    Agreement,
    EnergyUse,
    Loading,
    MemoryUse,
    Startup,
    Subject,
    Timing,
    TrainingLog,
)
from vitbench.records import Mode
from vitbench.specs import Part

__all__ = ["Scene", "scenes", "shuffled"]

IMAGES = 120
INPUT_SHAPE = (3, 8, 8)
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Three subjects that differ in one part alone."""

    name: str
    best: Subject
    middle: Subject
    worst: Subject

    @property
    def subjects(self) -> tuple[Subject, Subject, Subject]:
        """The three, the best first."""
        return self.best, self.middle, self.worst


def scenes(part: Part) -> list[Scene]:
    """Return the scenes of a part: one for each situation in which a metric may give something else."""
    return _SCENES[part]()


def shuffled(subject: Subject) -> Subject:
    """Return a subject with the same predictions in another order."""
    predictions = subject.predictions
    assert predictions is not None
    order = np.random.default_rng(0).permutation(len(predictions.labels))
    of_images = [name for name in predictions.__slots__ if isinstance(getattr(predictions, name), np.ndarray)]
    moved = {name: getattr(predictions, name)[order] for name in of_images}
    return replace(subject, predictions=replace(predictions, **moved))


def _subject(num_classes: int = 10, **part: Any) -> Subject:
    return Subject(num_classes=num_classes, input_shape=INPUT_SHAPE, device="cpu", precision="float32", **part)


def _scene(name: str, part: Part, make: Callable[[float], object]) -> Scene:
    """Return a scene of parts that are made by a factor: 1 is the best, 4 the worst."""
    best, middle, worst = (_subject(10, **{str(part): make(factor)}) for factor in (1.0, 2.0, 4.0))
    return Scene(name=name, best=best, middle=middle, worst=worst)


def _predicted(num_classes: int, *, right: float, confidence: float) -> Subject:
    """Return predictions of which a share is right, all given with the same confidence."""
    labels = np.arange(IMAGES) % num_classes
    hit = np.random.default_rng(0).permutation(IMAGES) < round(right * IMAGES)
    # The likeliest class is the true one or the next; the others follow in order, a missed label last of all.
    order = (labels[:, None] + np.where(hit, 0, 1)[:, None] + np.arange(num_classes)) % num_classes
    others = np.geomspace(1, 0.99, num_classes - 1)  # a little apart, so that their order is known
    ordered = np.concatenate([[confidence], max(1 - confidence, 1e-12) * others / others.sum()])
    logits = np.empty((IMAGES, num_classes), dtype=np.float32)
    np.put_along_axis(logits, order, np.log(ordered)[None, :].astype(np.float32), axis=1)
    return _subject(
        num_classes,
        predictions=summarise(
            torch.from_numpy(logits),
            labels.astype(np.int64),
            index=np.arange(IMAGES, dtype=np.int64),
            class_names=[f"class {k}" for k in range(num_classes)],
        ),
    )


def _predictions() -> list[Scene]:
    return [
        Scene(
            name=f"{classes} classes",
            best=_predicted(classes, right=1.0, confidence=1.0),
            middle=_predicted(classes, right=0.6, confidence=0.7),
            worst=_predicted(classes, right=0.0, confidence=1.0),
        )
        for classes in (10, 2)
    ] + [
        Scene(
            name="always right, 10 classes",
            best=_predicted(10, right=1.0, confidence=1.0),
            middle=_predicted(10, right=1.0, confidence=0.8),
            worst=_predicted(10, right=1.0, confidence=0.5),
        )
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
            }
            for epoch in range(1, 6)
        )
        return TrainingLog(seconds=10 * factor, images=1000, curve=curve)

    return [_scene("five epochs", "training", make)]


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

    situations: tuple[tuple[Mode, int], ...] = (("inference", 1), ("inference", 32), ("training", 32))
    return [_scene(f"{mode}, batch {batch}", "timing", make(mode, batch)) for mode, batch in situations]


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

    modes: tuple[Mode, ...] = ("inference", "training")
    return [_scene(mode, "memory", make(mode)) for mode in modes]


def _startup() -> list[Scene]:
    def make(compiled: bool) -> Callable[[float], Startup]:
        return lambda factor: Startup(
            build_seconds=factor,
            first_call_seconds=factor**1.5 * (10.0 if compiled else 0.2),
            second_call_seconds=factor * 0.1,
            compiled=compiled,
        )

    return [_scene("compiled" if compiled else "plain", "startup", make(compiled)) for compiled in (False, True)]


def _loading() -> list[Scene]:
    def make(factor: float) -> Loading:
        uneven = factor * (1 + 0.01 * factor * np.sin(np.arange(20)))
        return Loading(
            batch_size=32,
            data_seconds=tuple((0.01 * factor**0.5 * uneven).tolist()),
            end_to_end_seconds=tuple((0.05 * uneven).tolist()),
        )

    return [_scene("twenty batches", "loading", make)]


def _energy() -> list[Scene]:
    def make(factor: float) -> EnergyUse:
        return EnergyUse(joules=100 * factor**2, idle_watts=10.0, seconds=2 * factor, images=1000)

    return [_scene("a thousand images", "energy", make)]


def _agreement() -> list[Scene]:
    def make(factor: float) -> Agreement:
        wrong, error = int(10 * (factor - 1)), 1e-5 * 10 ** (factor - 1)
        return Agreement(images=100, same_top1=100 - wrong, largest_error=error, tolerance=1e-3, real_images=True)

    return [_scene("a hundred images", "agreement", make)]


_SCENES: Mapping[Part, Callable[[], list[Scene]]] = MappingProxyType(
    {
        "predictions": _predictions,
        "architecture": _architecture,
        "training": _training,
        "timing": _timing,
        "memory": _memory,
        "startup": _startup,
        "loading": _loading,
        "energy": _energy,
        "agreement": _agreement,
    }
)
