"""Stripes that lie, stand or do both, under noise: a dataset that is drawn and needs no files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SIDE = 8
SIZES = {"train": 300, "test": 150}


@dataclass(frozen=True)
class Stripes:
    """Labels int64 ``[N]`` and images uint8 ``[N, 1, 8, 8]``, as vitbench asks for."""

    labels: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    class_names: tuple[str, ...] = ("lying", "standing", "both")

    def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return some images, uint8 ``[B, 1, 8, 8]``."""
        return self.pixels[index]


def open_split(*, root: Path | None, split: Literal["train", "test"], download: bool) -> Stripes:
    """Draw a split; the same split is the same images each time."""
    rng = np.random.default_rng(list(SIZES).index(split))
    labels = np.arange(SIZES[split]) % 3
    rows, columns = np.indices((SIDE, SIDE))
    phase = rng.integers(2, size=(len(labels), 1, 1))
    lying, standing = (rows + phase) % 2, (columns + phase) % 2
    which = labels[:, None, None]
    stripes = np.where(which == 0, lying, np.where(which == 1, standing, lying & standing))
    noisy = 64 + 128 * stripes + rng.normal(0, 40, size=stripes.shape)
    return Stripes(labels=labels.astype(np.int64), pixels=noisy.clip(0, 255).astype(np.uint8)[:, None])
