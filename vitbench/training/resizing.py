"""Pillow's resizing of uint8 images as matrix products, bit for bit, for whole batches on a GPU.

Images on a GPU that are not of a model's size would have to go to the processor and back at each batch, and its cores
would set the pace of a training. The arithmetic is Pillow's: horizontally, then vertically, each with weights in fixed
point and a result that is rounded to 0..255 (https://github.com/python-pillow/Pillow, src/libImaging/Resample.c). Which
of the two comes first where images shrink depends on their shapes and on Pillow's version; so only what a trial shows
to agree is used.

Shapes: B images, C channels, H height and W width of the images; h and w those of the result.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["agrees", "resized"]

_PRECISION_BITS = 32 - 8 - 2
"""Of the weights in fixed point."""
_CHUNK_BYTES = 1 << 28
"""Of the numbers on the way."""


def resized(images: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    """Resize images uint8[B, C, H, W] to uint8[B, C, h, w], (h, w) = size, with antialiasing where they shrink."""
    count, channels, height, width = images.shape
    out = images.new_empty((count, channels, *size))
    across = _weights_on(width, size[1], interpolation, images.device)  # [w, W]
    down = _weights_on(height, size[0], interpolation, images.device)  # [h, H]
    step = max(1, _CHUNK_BYTES // (8 * channels * max(height, size[0]) * max(width, size[1])))
    for start in range(0, count, step):
        # Whole numbers below 2**53, so that float64 is exact in whatever order it sums.
        x = images[start : start + step].double()
        x = _rounded(x @ across.T) if size[1] != width else x
        x = _rounded(down @ x) if size[0] != height else x
        out[start : start + step] = x
    return out


@lru_cache(maxsize=64)
def agrees(given: tuple[int, int], size: tuple[int, int], interpolation: str, device: torch.device) -> bool:
    """Return whether `resized` gives on a device for some sizes what Pillow does.

    The device is tried, too: a GPU may be told to compute float64 by other means (CUBLAS_EMULATE_DOUBLE_PRECISION).
    """
    image = np.random.RandomState(0).randint(0, 256, given).astype(np.uint8)
    theirs = Image.fromarray(image).resize(size[::-1], Image.Resampling[interpolation.upper()])
    ours = resized(torch.from_numpy(image)[None, None].to(device), size, interpolation)
    return bool((ours[0, 0].cpu().numpy() == np.asarray(theirs)).all())


def _rounded(sums: Tensor) -> Tensor:
    """Return fixed-point sums as whole numbers in 0..255."""
    return sums.add_(1 << (_PRECISION_BITS - 1)).mul_(2.0**-_PRECISION_BITS).floor_().clamp_(0, 255)


@lru_cache(maxsize=64)
def _weights_on(given: int, wanted: int, interpolation: str, device: torch.device) -> Tensor:
    """Return `_weights` on a device, copied once: a copy at each batch would wait for all that the device has to do."""
    return _weights(given, wanted, interpolation).to(device)


@lru_cache(maxsize=64)
def _weights(given: int, wanted: int, interpolation: str) -> Tensor:
    """Return what each pixel of a longer side takes of each given one, times 2**22: float64[wanted, given]."""
    kernel, reach = (_bilinear, 1.0) if interpolation == "bilinear" else (_bicubic, 2.0)
    scale = given / wanted
    stretch = max(scale, 1.0)  # antialiasing, where the side shrinks
    reach *= stretch
    weights = torch.zeros(wanted, given, dtype=torch.float64)
    for pixel in range(wanted):
        centre = (pixel + 0.5) * scale
        first, last = max(0, int(centre - reach + 0.5)), min(given, int(centre + reach + 0.5))
        values = [kernel((x - centre + 0.5) * (1.0 / stretch)) for x in range(first, last)]
        total = 0.0
        for value in values:  # one after the other, as Pillow does; sum() is more exact
            total += value
        for x, value in enumerate(values, start=first):
            fixed = value / total * (1 << _PRECISION_BITS)
            weights[pixel, x] = int(fixed + math.copysign(0.5, fixed))
    return weights


def _bilinear(x: float) -> float:
    return max(0.0, 1.0 - abs(x))


def _bicubic(x: float) -> float:
    """Keys' cubic convolution with a = -0.5."""
    x = abs(x)
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1
    return (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5 if x < 2.0 else 0.0
