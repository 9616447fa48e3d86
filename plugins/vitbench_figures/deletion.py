"""Deletion: how fast a model loses its answer as the places that a map marks are covered, beside two controls.

Petsiuk, Das and Saenko, "RISE", BMVC 2018 (arXiv 1806.07421), section 4.2: the area under the curve of the probability
over the share that is covered; a low one is good. Places are covered in squares of the map's own cells, for all orders
alike, since single pixels covered at random wreck an image sooner than squares. The fill is 0, the mean colour that the
model's normalisation subtracts. Insertion is not taken: with one fill it is deletion that begins with the least.

Shapes: B images, C channels, H height, W width, R rows and L columns of a map, G = R x L cells, S steps.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["area", "cells", "deletion", "distance_from_fill", "shares"]

MOST_CELLS = 16
"""Rows or columns of a map at most: finer ones are averaged."""
MOST_STEPS = 16


def cells(maps: Tensor) -> Tensor:
    """Return maps float[B, R, L] with no more rows and columns than are covered one by one."""
    rows, columns = (min(side, MOST_CELLS) for side in maps.shape[-2:])
    return F.adaptive_avg_pool2d(maps[:, None], (rows, columns))[:, 0]


def distance_from_fill(inputs: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return how far the pixels of each cell are from the fill colour on average: float[B, R, L].

    Args:
        inputs: float[B, C, H, W], normalised.
        grid: R and L.
    """
    return F.adaptive_avg_pool2d(inputs.square().sum(1, keepdim=True).sqrt(), grid)[:, 0]


def shares(grid: tuple[int, int]) -> NDArray[np.float64]:
    """Return the shares of the cells that are covered at each step, from 0 to 1: float64[S + 1]."""
    count = grid[0] * grid[1]
    steps = min(MOST_STEPS, count)
    return np.round(np.arange(steps + 1) * count / steps) / count


def deletion(model: nn.Module, inputs: Tensor, targets: Tensor, maps: Tensor, random: np.random.Generator) -> Tensor:
    """Return the probability of a class as the cells of a map are covered, the highest first: float64[B, S + 1].

    Args:
        model: gives logits.
        inputs: float[B, C, H, W].
        targets: int64[B].
        maps: float[B, R, L]. Of equal values any may go first: a map with the same value everywhere is the control.
        random: draws which.
    """
    grid = (maps.shape[-2], maps.shape[-1])
    values = maps.flatten(1).cpu().double().numpy()
    order = np.lexsort((random.random(values.shape), -values))
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(order.shape[1])[None], axis=1)  # when each cell goes
    ranks = torch.from_numpy(rank).to(inputs.device).view(-1, 1, *grid)
    found = []
    with torch.inference_mode():
        for share in shares(grid):
            kept = (ranks >= round(share * order.shape[1])).to(inputs.dtype)
            covered = inputs * F.interpolate(kept, inputs.shape[-2:], mode="nearest-exact")
            probabilities = model(covered).cpu().double().softmax(-1)
            found.append(probabilities.gather(1, targets[:, None].cpu())[:, 0])
    return torch.stack(found, 1)


def area(curves: NDArray[np.float64], covered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the areas under curves float64[B, S + 1] over the shares that are covered: float64[B]."""
    found: NDArray[np.float64] = np.trapezoid(curves, covered, axis=1)
    return found
