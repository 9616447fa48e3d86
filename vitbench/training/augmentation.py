"""Random crop and horizontal flip of a whole batch at once, on its device.

The standard augmentation of CIFAR (He et al. 2015, arXiv 1512.03385, section 4.2: pad by 4 of 32 pixels, crop,
flip), with reflected borders, as one gather: each output pixel looks up the input pixel that it shows.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

__all__ = ["augment"]


def augment(images: Tensor, allowed: Collection[str], generator: torch.Generator) -> Tensor:
    """Return images of the same shape [B, C, H, W] and type, each cropped and flipped at random where allowed.

    A crop moves the image by up to an eighth of its height and of its width (one pixel at least) each way; borders are
    reflected.
    The generator must live on the images' device.
    """
    if not allowed:
        return images
    count, channels, height, width = images.shape
    rows = torch.arange(height, device=images.device).expand(count, -1)  # [B, H]
    columns = torch.arange(width, device=images.device).expand(count, -1)  # [B, W]
    if "crop" in allowed:
        rows, columns = _shifted(rows, generator), _shifted(columns, generator)
    if "flip" in allowed:
        flip = torch.rand(count, 1, generator=generator, device=images.device) < 0.5
        columns = torch.where(flip, columns.flip(1), columns)
    image = torch.arange(count, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[:, None, None]
    return images[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _shifted(index: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each row of pixel numbers [B, S] by a number of its own, reflecting at 0 and S - 1."""
    count, side = index.shape
    pad = max(1, side // 8)
    shift = torch.randint(-pad, pad + 1, (count, 1), generator=generator, device=index.device)
    last = side - 1
    return last - (last - (index + shift).abs()).abs()
