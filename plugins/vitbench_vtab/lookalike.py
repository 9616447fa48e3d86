"""A lookalike of dSprites (Matthey et al. 2017): white shapes on black, of the same factors, drawn here.

The outlines of dSprites were not published, so that its pixels cannot be made again. These are a square, an ellipse and
a heart, in 6 sizes, 40 orientations and 32 x 32 positions: 737,280 images of 64 x 64 pixels, of which 3,000 are used.
A square looks the same after every quarter turn, and an ellipse after half a turn, so that no model can tell all
orientations; dSprites has the same. Scores are never comparable with those of dSprites.

Shapes: N images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from vitbench.specs import SplitName

from .rules import SEED, dsprites_bins
from .tasks import TRAIN, VAL

SIDE = 64
FACTORS = (3, 6, 40, 32, 32)
"""How many shapes, sizes, orientations, horizontal and vertical positions there are, as in dSprites."""
TEST = 2_000
LARGEST = 11.0
"""Half the side of the largest square, in pixels; the smallest has half of that."""
EDGE = 1 + 1e-9
"""Where a shape ends: processors differ in the last bit of a sine, which must not decide what lies on the edge."""
SPLITS: dict[SplitName, slice] = {
    "train": slice(TRAIN),
    "val": slice(TRAIN, TRAIN + VAL),
    "test": slice(TRAIN + VAL, TRAIN + VAL + TEST),
}
"""Of all images in an order that is drawn once."""
NOTE = (
    f"lookalikes of dSprites, drawn here with the same factors; {TRAIN} training, {VAL} validation and {TEST:,} test "
    "images; not comparable with dSprites"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sprites:
    """One split."""

    factors: NDArray[np.int64]
    """int64[N, 5], as `FACTORS` counts them."""
    labels: NDArray[np.int64]
    """int64[N]"""
    notes: tuple[str, ...] = (NOTE,)
    lineage: str = "lookalike"
    class_names: tuple[str, ...] = tuple(map(str, range(16)))

    def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return uint8[B, 1, 64, 64]."""
        return drawn(self.factors[index])


def open_sprites(*, factor: int, root: Path | None = None, split: SplitName, download: bool = False) -> Sprites:
    """Return one split of the task that tells the bins of a factor apart; nothing is read from `root`."""
    order = np.random.RandomState(SEED).permutation(int(np.prod(FACTORS)))[SPLITS[split]]
    factors = np.stack(np.unravel_index(order, FACTORS), axis=1).astype(np.int64)
    return Sprites(factors=factors, labels=dsprites_bins(factors[:, factor], FACTORS[factor]))


OPENERS = SimpleNamespace(location=partial(open_sprites, factor=3), orientation=partial(open_sprites, factor=2))
"""`open` of each task."""


def drawn(factors: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Draw images: int64[N, 5] -> uint8[N, 1, 64, 64], 255 where the middle of a pixel lies in the shape."""
    shape, size, turn, column, row = factors.T
    half = LARGEST * (0.5 + 0.1 * size)
    angle = 2 * np.pi * turn / FACTORS[2]
    # The middle of a shape stays so far from each edge that the largest square fits at any angle.
    margin = LARGEST * np.sqrt(2)
    x, y = (margin + at / 31 * (SIDE - 2 * margin) for at in (column, row))
    middles = np.arange(SIDE) + 0.5
    right = (middles[None, None, :] - x[:, None, None]) / half[:, None, None]
    up = (y[:, None, None] - middles[None, :, None]) / half[:, None, None]
    cos, sin = (f(angle)[:, None, None] for f in (np.cos, np.sin))
    along, across = cos * right + sin * up, cos * up - sin * right
    inside = np.zeros((len(factors), SIDE, SIDE), dtype=bool)
    for number, holds in enumerate(SHAPES):
        own = shape == number
        inside[own] = holds(along[own], across[own])
    return (inside[:, None] * np.uint8(255)).astype(np.uint8)


Inside = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]


def _square(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (np.abs(x) <= EDGE) & (np.abs(y) <= EDGE)


def _ellipse(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    return x**2 / 1.2**2 + y**2 / 0.7**2 <= EDGE


def _heart(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The curve (x^2 + y^2 - 1)^3 = x^2 y^3, in the size of the others."""
    return (x**2 + (y + 0.1) ** 2 - EDGE) ** 3 <= x**2 * (y + 0.1) ** 3


SHAPES: tuple[Inside, ...] = (_square, _ellipse, _heart)
