"""In which forms a dataset is cached: what models are judged on in their input's size, what they learn from larger.

A model that wants inputs of (h, w) is judged on images of that size, each resized once and cut out as its `Preprocess`
says (`vitbench.data.geometry`). Images that are all of one size and have fewer pixels than that are cached as they are,
for all uses, and come into the model's size at each batch: to enlarge them first would only multiply their bytes (CIFAR
at 224 pixels is 9 GB). A model that follows the data gets images of one size as they are, up to a shorter side of 224,
and of mixed sizes squares.

Images that have to shrink, photographs, have a second form to learn from, with more pixels than the input: a random
crop of a share of the area, resized to the input, would be blurred if it were cut out of an image that had already
shrunk to it. The shorter side is the power of two that leaves at least the customary margin of 8/7 (256 pixels for an
input of 224, and so for all from 113 to 224), but no more than the photographs have. So inputs of about one size share
a form; what a model learns from depends on no other model of the run; and all such forms of a dataset together take at
most 4/3 of the largest: 196,608 bytes for each training image in colour, for inputs up to 224, where the input has
150,528. The form to be judged on then has of the training split only the images that are held out for validation.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import __version__ as PILLOW_VERSION

from vitbench.data.geometry import covering_size, filling, placing
from vitbench.data.splits import limited, validation_rows
from vitbench.printable import short_size
from vitbench.specs import CropMode

__all__ = ["Form", "Forms", "Geometry", "WantedSize", "forms_of", "held_rows", "held_splits"]

Part = Literal["all", "train", "eval"]

FOLLOWED_SIDE = 224
"""Largest shorter side for a model that follows the data: the field's usual input."""
_GRID = 16
"""What divides the sides of resized images for such a model: the usual patch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedSize:
    """What one model wants of the images."""

    image_size: tuple[int, int] | None
    """Height and width of the model's input in pixels; None follows the data."""
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    crop_fraction: float = 1.0
    """The share of the resized image's side that the model's input keeps."""
    crop_mode: CropMode = "center"
    fill: tuple[float, ...] = ()
    """What ``border`` lays around an image, per channel, scaled to 0..1; empty: black."""


class Geometry(msgspec.Struct, frozen=True):
    """The shapes of all images of a dataset."""

    channels: int
    uniform: tuple[int, int] | None
    """Their height and width, where all are of one size."""
    short_side: int
    """Median of the shorter sides."""
    bits: int = 8
    """How many bits the images of 16 bits use, where there are any; all are scaled from these to 8."""


class Form(NamedTuple):
    """One shape in which a dataset is cached."""

    channels: int
    height: int
    width: int
    interpolation: str
    """The filter that made it; empty for images as they are, of which the next three say nothing."""
    crop_fraction: float = 1.0
    crop_mode: str = "center"
    fill: tuple[int, ...] = ()
    """What each channel has around images that do not fill it."""
    part: Part = "all"
    """Which images it has: all of them; ``train``, the training split alone, to learn from; ``eval``, all that are not
    learnt from."""
    train_images: int | None = None
    """How many training images are used, of which ``eval`` has those that are held out for validation; None: all."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.channels, self.height, self.width

    @property
    def suffix(self) -> str:
        """Name of its folder, after the fingerprint that settles the channels; another Pillow may resize otherwise."""
        words = [str(short_size((self.height, self.width)))]
        if self.interpolation:
            words += [f"crop{self.crop_fraction:.12g}"] * (self.crop_fraction != 1)
            words += [self.crop_mode] * (self.crop_mode != "center")
            words += ["on" + "".join(f"{value:02x}" for value in self.fill)] * any(self.fill)
            words += [self.interpolation, f"pillow{PILLOW_VERSION}"]
        if self.part != "all":
            words.append(self.part if self.train_images is None else f"{self.part}{self.train_images}")
        return "-".join(words)


class Forms(NamedTuple):
    """What one model reads."""

    evaluation: Form
    """What it is judged on, and what it chooses by."""
    training: Form | None
    """What it learns from; None: the same."""


def forms_of(
    side: WantedSize,
    geometry: Geometry,
    splits: Collection[str],
    *,
    train_images: int | None,
    apart: bool = True,
    crops: bool = True,
) -> Forms:
    """Return the forms of a dataset for a model.

    Args:
        side: what the model wants.
        geometry: of the images.
        splits: names of the splits that there are.
        train_images: how many training images are used; None: all.
        apart: whether it is known before all images are read which are held out for validation; where it is not, the
            form to be judged on has all images.
    """
    frame = _target(side, geometry)
    whole = _form(side, geometry, frame, side.crop_fraction if side.image_size is not None else 1.0)
    larger = _larger(frame, geometry)
    if not whole.interpolation or larger == frame or "train" not in splits or not crops:
        return Forms(whole, None)
    training = _form(side, geometry, larger, 1.0)._replace(part="train")
    if not apart:
        return Forms(whole, training)
    return Forms(whole._replace(part="eval", train_images=None if "val" in splits else train_images), training)


def held_splits(form: Form, splits: Collection[str]) -> tuple[str, ...]:
    """Return which of a dataset's splits a form has; of a training split perhaps some rows alone (`held_rows`)."""
    if form.part == "train":
        return ("train",)
    return tuple(name for name in splits if not (form.part == "eval" and name == "train" and "val" in splits))


def held_rows(form: Form, split: str, labels: NDArray[np.int64], limit: int | float | None) -> NDArray[np.int64]:
    """Return the rows of a split that a form has, ascending; the others are empty.

    Args:
        form: the form.
        split: one of `held_splits`.
        labels: int64[N], of the whole split.
        limit: as `limited` takes it.
    """
    if form.part == "eval" and split == "train":
        return validation_rows(labels, limit=limit, train_images=form.train_images)
    return limited(labels, limit)


def _larger(frame: tuple[int, int], geometry: Geometry) -> tuple[int, int]:
    """Return the size in which images are kept to learn from for an input; the input's where they have no more."""
    short = min(frame)
    if geometry.short_side <= short:
        return frame
    least = -(-short * 8 // 7)
    # Of mixed sizes the median is guessed at first: rounded up, it is seldom wrong, so that one pass does.
    theirs = geometry.short_side if geometry.uniform else -(-geometry.short_side // _GRID) * _GRID
    kept = min(1 << (least - 1).bit_length(), theirs)
    return round(frame[0] * kept / short), round(frame[1] * kept / short)


def _form(side: WantedSize, geometry: Geometry, frame: tuple[int, int], crop_fraction: float) -> Form:
    """Return the form of all images in a frame, or as they are."""
    uniform = geometry.uniform
    if uniform is not None:
        as_it_is = placing(uniform, frame, crop_fraction=crop_fraction, crop_mode=side.crop_mode) == (frame, 0, 0)
        # The mean of a training split, which a border has at each batch, is not known yet: there it is black.
        bordered = side.crop_mode == "border" and not side.fill
        if (math.prod(uniform) < math.prod(frame) and not bordered) or (as_it_is and uniform == frame):
            return Form(geometry.channels, *uniform, "")
    fill = filling(side.crop_mode, side.fill or (0.0,), geometry.channels)
    return Form(geometry.channels, *frame, side.interpolation, crop_fraction, side.crop_mode, fill)


def _target(side: WantedSize, geometry: Geometry) -> tuple[int, int]:
    """Return the size of a model's input."""
    uniform = geometry.uniform
    if side.image_size is not None:
        height, width = side.image_size
    elif uniform is None:
        height = width = max(_GRID, min(FOLLOWED_SIDE, geometry.short_side) // _GRID * _GRID)
    elif min(uniform) <= FOLLOWED_SIDE:
        height, width = uniform
    else:
        covering = covering_size(uniform, (FOLLOWED_SIDE, FOLLOWED_SIDE))
        height, width = (each // _GRID * _GRID for each in covering)
    return height, width
