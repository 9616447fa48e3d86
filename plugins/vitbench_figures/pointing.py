"""The pointing game on mosaics: four test images in a square, and a map of one image's class has to point at it.

Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016 (arXiv 1608.00507) for the game: a hit is a
map whose highest value lies in the right place; Böhle, Fritz and Schiele, "Convolutional dynamic alignment networks",
CVPR 2021 (arXiv 2104.00032), section 4.2, for mosaics. A map that knows no class hits a quarter. Only classes that are
among the model's two most probable count: where it does not see the image, no map can show where.

Shapes: M mosaics, C channels, H height and W width of an image, R rows and L columns of a map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitbench.errors import Skip
from vitbench.figures import FigureSubject

__all__ = ["Pointed", "pointing"]

TILES = 4
BATCH = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Pointed:
    """How a method did in the game."""

    hits: int
    counted: int
    """Classes of a mosaic's images that were among the model's two most probable."""
    mosaics: int


def pointing(
    subject: FigureSubject,
    explain: Callable[[FigureSubject, Tensor, Tensor], Tensor],
    mosaics: int,
    random: np.random.Generator,
) -> Pointed:
    """Play the game.

    Args:
        subject: whose images are drawn.
        explain: the method, as `vitbench_figures.trust.judged` takes it.
        mosaics: M.
        random: draws the images.

    Raises:
        Skip: the model takes no images of twice the side, or the images are of fewer than four classes.
    """
    rows = _four_classes(subject.images.labels, mosaics, random)
    channels, height, width = subject.input_shape
    large = replace(
        subject, model=subject.resized(2 * height, 2 * width), input_shape=(channels, 2 * height, 2 * width)
    )
    hits = counted = 0
    for start in range(0, mosaics, BATCH):
        some = rows[start : start + BATCH]
        images = subject.inputs([subject.images.images[row] for row in subject.images.index[some.ravel()]])
        tiles = images.view(len(some), 2, 2, *subject.input_shape)  # [M, 2, 2, C, H, W]
        inputs = tiles.permute(0, 3, 1, 4, 2, 5).reshape(len(some), channels, 2 * height, 2 * width)
        labels = torch.from_numpy(subject.images.labels[some]).to(inputs.device)  # [M, 4]
        with torch.inference_mode():
            likeliest = large.model(inputs).topk(2).indices  # [M, 2]
        for place in range(2):
            is_there = labels == likeliest[:, place, None]
            seen = is_there.any(1)
            if seen.any():
                maps = explain(large, inputs[seen], likeliest[seen, place])
                hits += int((_quadrant(maps) == is_there[seen].int().argmax(1).cpu()).sum())
                counted += int(seen.sum())
    return Pointed(hits=hits, counted=counted, mosaics=mosaics)


def _four_classes(labels: NDArray[np.int64], mosaics: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return positions of images of four different classes for each mosaic, int64[M, 4]."""
    classes = np.unique(labels)
    if len(classes) < TILES:
        raise Skip(f"a mosaic needs images of {TILES} classes, but the images are of {len(classes)}")
    return np.array(
        [
            [random.choice(np.flatnonzero(labels == each)) for each in random.choice(classes, TILES, replace=False)]
            for _ in range(mosaics)
        ]
    )


def _quadrant(maps: Tensor) -> Tensor:
    """Return in which quarter the highest value of each map lies, row by row: int64[B]."""
    _, rows, columns = maps.shape
    highest = maps.flatten(1).argmax(1).cpu()
    row, column = highest // columns, highest % columns
    return (2 * row + 1 >= rows).long() * 2 + (2 * column + 1 >= columns).long()
