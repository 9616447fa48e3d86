"""Small splits and runs for the tests of training pieces, recipes and baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from vitbench.protocols import Budget, FitRun, Split, TrainVal
from vitbench.specs import Preprocess


def split(images: np.ndarray, labels: np.ndarray) -> Split:
    """A split of all images, reached through a permuted index, as a real one is."""
    order = np.random.default_rng(3).permutation(len(images))
    stored = np.empty_like(images)
    stored[order] = images
    return Split(images=stored, index=order.astype(np.int64), labels=labels.astype(np.int64))


def bars(count: int, *, side: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gray images with noise, uint8[N, 1, S, S], of two classes: a bright row or a bright column in the middle."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 80, (count, 1, side, side), dtype=np.uint8)
    images[labels == 0, :, side // 2, :] += 150
    images[labels == 1, :, :, side // 2] += 150
    return images, labels


def train_val(train: Split, val: Split, *, num_classes: int = 2, **changes: Any) -> TrainVal:
    fields: dict[str, Any] = {
        "train": train,
        "val": val,
        "class_names": tuple(f"class {k}" for k in range(num_classes)),
        "image_size": train.images.shape[-2:],
        "in_channels": train.images.shape[1],
        "preprocess": Preprocess(mean=(0.3,), std=(0.2,)),
    }
    return TrainVal(**(fields | changes))


def bars_data(**changes: Any) -> TrainVal:
    return train_val(split(*bars(96)), split(*bars(32, seed=1)), **changes)


def run(options: Mapping[str, Any] | None = None, *, log: Callable[..., None] | None = None, **changes: Any) -> FitRun:
    fields: dict[str, Any] = {
        "device": torch.device("cpu"),
        "precision": "float32",
        "seed": 0,
        "budget": Budget(),
        "options": dict(options or {}),
        "log": log or (lambda **_: None),
    }
    return FitRun(**(fields | changes))
