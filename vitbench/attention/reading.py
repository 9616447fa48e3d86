"""What can be read from attention maps: rollout, how far heads look, and which tokens are patches of the image.

Abnar and Zuidema 2020 (arXiv 2005.00928) for rollout; Dosovitskiy et al. 2021 (arXiv 2010.11929), figure 7 on the
right, for the mean distance.

Shapes: B images, H heads, N tokens, of which G = rows x columns are patches; the others, such as the class token,
stand before them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vitbench.errors import UnusableError

__all__ = ["attention_distance", "patch_grid", "rollout"]


def rollout(maps: Sequence[Tensor], *, residual: float = 0.5) -> Tensor:
    """Return how much of each input token is in each output token: float32[B, N, N], rows add up to 1.

    Args:
        maps: float[B, H, N, N] of each layer, the first layer first.
        residual: the share that passes a layer by; the heads' mean is the rest.

    Raises:
        UnusableError: the layers do not have the same tokens, or there is none.
    """
    shapes = {(one.dim(), len(one), *one.shape[-2:]) for one in maps}
    if len(shapes) != 1 or maps[0].dim() != 4 or maps[0].shape[-1] != maps[0].shape[-2]:
        raise UnusableError("rollout needs the same tokens in each layer, but this model's change or have windows")
    identity = torch.eye(maps[0].shape[-1], device=maps[0].device)
    joint = identity.expand(len(maps[0]), -1, -1)
    for one in maps:
        joint = (residual * identity + (1 - residual) * one.float().mean(1)) @ joint
    return joint


def patch_grid(tokens: int, image_size: tuple[int, int], prefix: int | None = None) -> tuple[int, tuple[int, int]]:
    """Return how many tokens stand before the patches, and rows and columns of the patches.

    Args:
        tokens: N.
        image_size: height and width of the input in pixels; the grid has its shape.
        prefix: what the model says, such as timm's ``num_prefix_tokens``; None: the fewest that leave a whole grid.

    Raises:
        UnusableError: no such grid.
    """
    height, width = image_size
    for before in range(tokens) if prefix is None else (prefix,):
        patches = max(tokens - before, 0)
        rows = round((patches * height / width) ** 0.5)
        if rows and patches % rows == 0 and rows * width == patches // rows * height:
            return before, (rows, patches // rows)
    raise UnusableError(f"{tokens} tokens are not a grid of patches of a {height}x{width} image")


def attention_distance(weights: Tensor, grid: tuple[int, int], *, patch: float = 1.0) -> Tensor:
    """Return how far each head looks on average: float32[B, H], in the unit of `patch`.

    A token that looks at no patch at all is left out; NaN where all do so.

    Args:
        weights: float[B, H, N, N]; the last G tokens are the patches. What goes to other tokens is left out, and the
            rest of each row adds up to 1.
        grid: rows and columns.
        patch: side of a patch.
    """
    rows, columns = grid
    among = weights[..., -rows * columns :, -rows * columns :].float()
    among = among / among.sum(-1, keepdim=True)
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).to(among)
    return patch * (among * torch.cdist(places, places)).sum(-1).nanmean(-1)
