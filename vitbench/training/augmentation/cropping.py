"""Crops and horizontal flips of a batch, each image with its own.

Shapes: B images, C channels, H height and W width of the images; h and w those of the result.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor

from vitbench.training.draws import Draws
from vitbench.training.setup import sent

__all__ = ["augment", "mirrored", "padded_crop", "random_boxes", "resized_crop"]

_TRIES = 10
"""How often a box is drawn before it is taken from the centre; as torchvision does."""
_BY_MATRICES = "cuda"
"""Devices that resize images by themselves; they need float64."""
_CHUNK_BYTES = 1 << 28
"""Of the numbers on the way."""
_WEIGHT = 1 << 16
"""Sum of the weights of a pixel, which are whole numbers."""


def augment(images: Tensor, allowed: Collection[str], generator: torch.Generator) -> Tensor:
    """Return images of the same shape [B, C, H, W] and type, each cropped and flipped at random where allowed.

    For recipes that keep a generator; `Augmentation` needs none. A crop shifts the image by up to an eighth of its
    height and width (at least one pixel) in each direction; borders are reflected.
    The generator must live on the images' device.
    """
    if not allowed:
        return images
    down = right = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    if "crop" in allowed:
        down, right = (
            torch.randint(-pad, pad + 1, (len(images),), generator=generator, device=images.device)
            for pad in map(_padding, images.shape[-2:])
        )
    flip = None
    if "flip" in allowed:
        flip = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return _moved(images, down, right, flip)


def padded_crop(images: Tensor, draws: Draws, flip: Tensor | None = None) -> Tensor:
    """Return images [B, C, H, W] moved by up to an eighth of each side, borders reflected, and mirrored where `flip`.

    Args:
        images: of any type.
        draws: on the CPU.
        flip: bool[B], on the CPU; None: none is mirrored.
    """
    pads = map(_padding, images.shape[-2:])
    down, right = (
        draws.integers(f"crop {side}", -pad, pad + 1) for side, pad in zip(("down", "right"), pads, strict=True)
    )
    device = images.device
    return _moved(images, sent(down, device), sent(right, device), None if flip is None else sent(flip, device))


def mirrored(images: Tensor, flip: Tensor) -> Tensor:
    """Return images [B, C, H, W] of which some, bool[B] on the CPU, are mirrored left to right."""
    rows = sent(flip.nonzero()[:, 0], images.device)
    return images.index_copy(0, rows, images.index_select(0, rows).flip(3))


def random_boxes(
    draws: Draws, purpose: str, size: tuple[int, int], *, scale: tuple[float, float], ratio: tuple[float, float]
) -> Tensor:
    """Return int64[B, 4]: top, left, height and width of a random box in each image, as torchvision draws them.

    The area is uniform, the shape log-uniform. After ten boxes that do not fit, the largest is taken from the centre.

    Args:
        draws: on the CPU, as the boxes are.
        purpose: what the boxes are for.
        size: height and width of the images.
        scale: least and largest area, as shares of the image's.
        ratio: least and largest width over height.
    """
    height, width = size
    area = draws.uniform(f"{purpose} area", _TRIES).double() * (scale[1] - scale[0]) + scale[0]
    low, high = map(math.log, ratio)
    shape = torch.exp(draws.uniform(f"{purpose} shape", _TRIES).double() * (high - low) + low)
    heights = torch.sqrt(area * height * width / shape).round().long()  # [B, tries]
    widths = torch.sqrt(area * height * width * shape).round().long()
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
    first = fits.int().argmax(1, keepdim=True)
    central = _central(size, ratio)
    found = fits.any(1)
    heights = torch.where(found, heights.gather(1, first)[:, 0], central[0])
    widths = torch.where(found, widths.gather(1, first)[:, 0], central[1])
    where = draws.uniform(f"{purpose} place", 2).double()
    top = torch.where(found, (where[:, 0] * (height - heights + 1)).long(), (height - heights) // 2)
    left = torch.where(found, (where[:, 1] * (width - widths + 1)).long(), (width - widths) // 2)
    return torch.stack([top, left, heights, widths], 1)


def resized_crop(images: Tensor, boxes: Tensor, size: tuple[int, int], flip: Tensor | None = None) -> Tensor:
    """Return boxes cut out of images uint8[B, C, H, W] and resized: uint8[B, C, h, w], (h, w) = size.

    Bilinear, with antialiasing where an image shrinks.

    Args:
        images: to cut out of.
        boxes: int64[B, 4] on the CPU, as `random_boxes` returns them.
        size: (h, w).
        flip: bool[B], on the CPU, which results are mirrored left to right; None: none.
    """
    device = images.device
    if device.type == _BY_MATRICES:
        out = _resized_by_matrices(images, sent(boxes, device), size)
    else:
        out = _resized_one_by_one(images.cpu(), boxes, size).to(device)
    return out if flip is None else mirrored(out, flip)


def _resized_one_by_one(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Do what torchvision does; faster on a CPU than matrix products are, even for images of 32 pixels."""
    out = images.new_empty((*images.shape[:2], *size))
    for row, (top, left, height, width) in enumerate(boxes.tolist()):
        box = images[row : row + 1, :, top : top + height, left : left + width]
        out[row] = F.interpolate(box, size, mode="bilinear", antialias=True)[0]
    return out


def _resized_by_matrices(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Do so for all images at once, within two levels: horizontally, then vertically, rounded after each."""
    count, channels, height, width = images.shape
    out = images.new_empty((count, channels, *size))
    step = max(1, _CHUNK_BYTES // (8 * channels * max(height, size[0]) * max(width, size[1])))
    for start in range(0, count, step):
        top, left, rows, columns = boxes[start : start + step].T[:, :, None, None]  # each [b, 1, 1]
        # Whole numbers below 2**53, so that float64 is exact, and the same for any number of images at a time.
        x = images[start : start + step].double()
        x = _rounded(x @ _weights(left, columns, width, size[1]).transpose(1, 2)[:, None])
        out[start : start + step] = _rounded(_weights(top, rows, height, size[0])[:, None] @ x)
    return out


def _weights(start: Tensor, length: Tensor, given: int, wanted: int) -> Tensor:
    """Return what each pixel of a result takes of each pixel of an image: whole numbers, float64[b, wanted, given].

    A triangle around the pixel's centre, as wide as two pixels of the result or of the image, whichever are larger;
    only pixels within the box count, which begins at `start` and is as long as `length`, int64[b, 1, 1].
    """
    pixel, result = (torch.arange(side, device=start.device) for side in (given, wanted))
    step = length.double() / wanted
    centre = start + (result[:, None] + 0.5) * step  # [b, wanted, 1]
    weights = (1 - (pixel + 0.5 - centre).abs() / step.clamp(min=1)).clamp_(min=0)
    weights *= (pixel >= start) & (pixel < start + length)
    return (weights / weights.sum(2, keepdim=True)).mul_(_WEIGHT).round_()


def _rounded(sums: Tensor) -> Tensor:
    """Return whole levels for sums of levels that were weighted by whole numbers."""
    return sums.add_(_WEIGHT / 2).mul_(1 / _WEIGHT).floor_()


def _central(size: tuple[int, int], ratio: tuple[float, float]) -> tuple[int, int]:
    """Return height and width of the largest box in an image whose shape is within limits."""
    height, width = size
    return min(height, round(width / ratio[0])), min(width, round(height * ratio[1]))


def _padding(side: int) -> int:
    return max(1, side // 8)


def _moved(images: Tensor, down: Tensor, right: Tensor, flip: Tensor | None) -> Tensor:
    """Return images [B, C, H, W] that show what lay below and right of each pixel: int64[B], reflected; mirrored."""
    count, channels, height, width = images.shape
    rows = _reflected(torch.arange(height, device=images.device) + down[:, None], height)  # [B, H]
    columns = _reflected(torch.arange(width, device=images.device) + right[:, None], width)  # [B, W]
    if flip is not None:
        columns = torch.where(flip[:, None], columns.flip(1), columns)
    # Whole rows first, by memcpy: five times as fast on a CPU as one look-up of all pixels.
    planes = torch.arange(count * channels, device=images.device).view(count, channels, 1) * height
    moved = images.reshape(-1, width).index_select(0, (planes + rows[:, None]).view(-1))
    moved = moved.view(count, channels * height, width)
    return moved.gather(2, columns[:, None].expand_as(moved)).view_as(images)


def _reflected(index: Tensor, side: int) -> Tensor:
    """Return pixel numbers in 0..side - 1 for those up to a side away, as two mirrors at the outer pixels show them."""
    last = side - 1
    return last - (last - index.abs()).abs()
