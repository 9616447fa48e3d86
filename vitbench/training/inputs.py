"""From cached uint8 images to a model's input: the one function for training, validation and test.

A model that is trained on one preprocessing and tested on another loses points that no one can see, so there is
exactly one road, and its parameters (`Preprocess`) are data that travel with the result.

Shapes: B images, C cached channels, H height and W width of cached images; h and w those of the model's input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vitbench.data.fitting import fitted
from vitbench.data.geometry import LUMINANCE, channels_fit, filling, placing
from vitbench.protocols import Split
from vitbench.specs import Preprocess
from vitbench.training.resizing import agrees, resized

__all__ = ["convert", "preprocess", "statistics"]

_CHUNK_BYTES = 1 << 24
_MOST_THREADS = 16  # more would wait for the interpreter lock
_BY_MATRICES = "cuda"
"""Devices that resize images by themselves; they need float64."""
_SMALLEST_STD = 1 / 255
"""One gray level: a channel that never changes is centred, not blown up."""


def preprocess(images: Tensor, how: Preprocess, *, image_size: tuple[int, int], in_channels: int) -> Tensor:
    """Turn cached images uint8[B, C, H, W] into a model's input float32[B, in_channels, h, w], (h, w) = image_size.

    Images of this size are ready. Others are resized once, by Pillow, and their centre is cut out or a border is laid
    around them, as `how` says: with the values of a configuration of timm's the pixels are those that timm's own
    pipeline gives. Gray is repeated to all channels, colour becomes luminance where the model takes one. Then each
    channel is normalised; one mean serves all channels, three become their luminance for a gray input.

    Raises:
        ValueError: the images, or the values of `how`, have channels that become no such input.
    """
    if images.shape[-2:] != image_size:
        images = _fitted(images, how, image_size)
    return _normalised(images.float().div_(255), how, in_channels)


def convert(
    inputs: Tensor, given: Preprocess, wanted: Preprocess, *, image_size: tuple[int, int], in_channels: int
) -> Tensor:
    """Turn a model's input float32[B, C, H, W] into that of another model, float32[B, in_channels, h, w].

    Args:
        inputs: as `preprocess` makes them.
        given: how they were made.
        wanted: how those of the other model are made; no more of them is cut away.
        image_size: (h, w).
        in_channels: of the other model.

    Raises:
        ValueError: as `preprocess` does.
    """
    channels = inputs.shape[1]
    mean, std = _per_channel(given.mean, channels), _per_channel(given.std, channels)
    x = torch.stack([inputs[:, c] * std[c] + mean[c] for c in range(channels)], dim=1)
    return _normalised(_covering(x, wanted, image_size), wanted, in_channels)


def _normalised(x: Tensor, how: Preprocess, in_channels: int) -> Tensor:
    """Turn images float32[B, C, h, w] in 0..1, which it may change, into a model's input."""
    if not channels_fit(x.shape[1], in_channels):
        raise ValueError(f"images of {x.shape[1]} channels cannot become an input of {in_channels}")
    if x.shape[1] == 3 and in_channels == 1:
        x = torch.stack([weight * x[:, c] for c, weight in enumerate(LUMINANCE)]).sum(0).unsqueeze(1)
    if x.shape[1] != in_channels:
        x = x.repeat(1, in_channels, 1, 1)
    mean, std = _per_channel(how.mean, in_channels), _per_channel(how.std, in_channels)
    for c in range(in_channels):  # scalars, since a tensor of three numbers would stall a GPU at every batch
        x[:, c].sub_(mean[c]).div_(std[c])
    return x


def statistics(split: Split) -> Preprocess:
    """Return the normalisation that gives a split's pixels mean 0 and standard deviation 1 in each channel.

    Exact: the counts of the 256 values, taken in chunks over all images. A channel's standard deviation is at
    least one gray level, so that a constant channel can be normalised.
    """
    num_channels = split.images.shape[1]
    counts = np.zeros((num_channels, 256), dtype=np.int64)
    rows = max(1, _CHUNK_BYTES // math.prod(split.images.shape[1:]))
    for start in range(0, len(split), rows):
        chunk = split.images[split.index[start : start + rows]]
        for c in range(num_channels):
            counts[c] += np.bincount(chunk[:, c].ravel(), minlength=256)
    values = np.arange(256, dtype=np.float64) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(axis=1)
    std = np.maximum(np.sqrt(variance), _SMALLEST_STD)
    return Preprocess(mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def _fitted(images: Tensor, how: Preprocess, image_size: tuple[int, int]) -> Tensor:
    """Return images uint8[B, C, H, W], of any device, in the size of a model's input: uint8[B, C, h, w]."""
    given = (images.shape[-2], images.shape[-1])
    size, top, left = placing(given, image_size, crop_fraction=how.crop_fraction, crop_mode=how.crop_mode)
    if (
        images.device.type == _BY_MATRICES
        and top >= 0 <= left
        and agrees(given, size, how.interpolation, images.device)
    ):
        whole = resized(images, size, how.interpolation)
        return whole[..., top : top + image_size[0], left : left + image_size[1]].contiguous()
    fill = filling(how.crop_mode, how.fill or how.mean, images.shape[1])
    fit = partial(
        fitted,
        frame=image_size,
        interpolation=how.interpolation,
        crop_fraction=how.crop_fraction,
        crop_mode=how.crop_mode,
        fill=fill,
    )
    # Channels last, as Pillow has them: their order changes faster on the device.
    out = np.empty((len(images), *image_size, images.shape[1]), np.uint8)
    with ThreadPoolExecutor(min(torch.get_num_threads(), _MOST_THREADS)) as pool:  # Pillow resizes in parallel
        for row, image in enumerate(pool.map(fit, images.cpu().numpy())):
            out[row] = image.transpose(1, 2, 0)
    return torch.from_numpy(out).to(images.device).permute(0, 3, 1, 2).contiguous()


def _covering(x: Tensor, how: Preprocess, image_size: tuple[int, int]) -> Tensor:
    """Return images float[B, C, H, W] of 0..1 at another size (h, w): resized to cover it, their centre cut out."""
    given = (x.shape[-2], x.shape[-1])
    if given == image_size:
        return x
    size, top, left = placing(given, image_size)
    if size != given:
        x = F.interpolate(x, size=size, mode=how.interpolation, antialias=True, align_corners=False)
        x = x.clamp_(0, 1)  # bicubic overshoots at edges
    return x[..., top : top + image_size[0], left : left + image_size[1]].contiguous()


def _per_channel(values: Sequence[float], in_channels: int) -> tuple[float, ...]:
    if len(values) == in_channels:
        return tuple(values)
    if not channels_fit(len(values), in_channels):
        raise ValueError(f"{len(values)} values of mean and std cannot normalise {in_channels} channels")
    if in_channels == 1:
        return (sum(weight * value for weight, value in zip(LUMINANCE, values, strict=True)),)
    return tuple(values) * in_channels
