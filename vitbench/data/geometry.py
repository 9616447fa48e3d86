"""Which images fit which model: how an image of one size comes into a model's input, and which channels become which.

Sizes are (height, width). The rules are timm's, so that weights see what they were trained and judged on:
``timm.data.transforms_factory.transforms_imagenet_eval``, with torchvision's Resize and CenterCrop.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["LUMINANCE", "Placing", "channels_come_last", "channels_fit", "covering_size", "filling", "placing"]

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray (ITU-R BT.601, as Pillow's mode L)."""


class Placing(NamedTuple):
    """How an image comes into a frame, the model's input: it is resized once, then cut out or surrounded."""

    size: tuple[int, int]
    """What the image is resized to."""
    top: int
    """Row of the resized image at the frame's top; negative where the frame has rows above the image."""
    left: int
    """Its column at the frame's left."""


def placing(
    size: tuple[int, int], frame: tuple[int, int], *, crop_fraction: float = 1.0, crop_mode: str = "center"
) -> Placing:
    """Return how an image of some size comes into a frame.

    Args:
        size: of the image.
        frame: the model's input.
        crop_fraction: the frame's side over that of what the image is resized to; above 1 leaves a margin.
        crop_mode: ``center`` keeps the shape and covers, ``border`` keeps the shape and shows all, ``squash`` does not
            keep the shape.
    """
    target = max(1, math.floor(frame[0] / crop_fraction)), max(1, math.floor(frame[1] / crop_fraction))
    if crop_mode == "squash":
        resized = target
    elif crop_mode == "center" and target[0] == target[1]:
        resized = covering_size(size, target)
    else:  # timm's ResizeKeepRatio, which rounds where torchvision's Resize rounds down
        ratios = size[0] / target[0], size[1] / target[1]
        ratio = max(ratios) if crop_mode == "border" else min(ratios)
        resized = max(1, round(size[0] / ratio)), max(1, round(size[1] / ratio))
    return Placing(resized, _start(resized[0], frame[0]), _start(resized[1], frame[1]))


def _start(given: int, wanted: int) -> int:
    return -((wanted - given) // 2) if given < wanted else round((given - wanted) / 2)  # as torchvision rounds


def covering_size(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Return the size to resize an image to, so that it keeps its shape and just covers the target; rounded down."""
    (height, width), (least_height, least_width) = size, target
    if least_height * width >= least_width * height:
        return least_height, width * least_height // height
    return height * least_width // width, least_width


def filling(crop_mode: str, mean: tuple[float, ...], channels: int) -> tuple[int, ...]:
    """Return the value, 0..255, of each channel around an image that does not fill its frame.

    It is black, or with the crop mode ``border`` the mean of the weights' images.
    """
    if crop_mode != "border":
        return (0,) * channels
    if len(mean) == 3 and channels == 1:
        mean = (sum(weight * value for weight, value in zip(LUMINANCE, mean, strict=True)),)
    elif len(mean) != channels:
        mean = (sum(mean) / len(mean),) * channels
    return tuple(round(255 * value) for value in mean)


def channels_fit(given: int, wanted: int) -> bool:
    """Whether images become an input: as they are, gray repeated, or colour as its luminance."""
    return given in (1, wanted) or (given, wanted) == (3, 1)


def channels_come_last(shape: tuple[int, ...]) -> bool:
    """Whether an image is likelier [H, W, C] than [C, H, W]: at most four columns, and more channels than columns."""
    return len(shape) == 3 and shape[2] <= 4 and shape[0] > shape[2]
