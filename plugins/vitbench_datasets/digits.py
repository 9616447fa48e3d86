"""Handwritten digits that ship with scikit-learn: 1,797 gray images of 8x8 pixels (the test part of UCI's set).

The set has no test split of its own; the one made here is the same on every machine. On an 80/20 split a linear
model reaches about 97 %, one nearest neighbour 98 %, a support-vector machine 99 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitbench.data.splits import stratified_split

TEST_SHARE = 0.2
SPLIT_SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Digits:
    """One split of the digits."""

    pixels: NDArray[np.uint8]
    """uint8[N, 1, 8, 8]"""
    labels: NDArray[np.int64]
    """int64[N]"""
    notes: tuple[str, ...]
    class_names: tuple[str, ...] = tuple("0123456789")

    def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return uint8[B, 1, 8, 8]."""
        return self.pixels[index]


def open_digits(*, root: Path | None = None, split: Literal["train", "test"], download: bool = False) -> Digits:
    """Return one split; nothing is read from `root`."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    # 0..16 is the number of dark pixels in each 4x4 block of the scanned bitmap.
    pixels = np.round(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    train, test = stratified_split(labels, TEST_SHARE, SPLIT_SEED)
    note = f"test split made here: stratified, seed {SPLIT_SEED}, {len(train):,} training and {len(test):,} test images"
    rows = train if split == "train" else test
    return Digits(pixels=pixels[rows], labels=labels[rows], notes=(note,))
