"""The figure `reconstruction`: images, what a model saw of them in pretraining, and what it predicted of the rest.

It is drawn with the encoder that pretraining left, not with the one that learned the labels afterwards.

Shapes: B images, C channels, H height and W width of the input, n patches, m of them masked, P outputs for each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vitbench import Measurement, Skip
from vitbench.figures import FigureSubject, Grid, Tile
from vitbench.statistics import bootstrap_interval
from vitbench.training import Draws, TokenLayout, derived_seed, preprocess, token_layout

from .masking import (
    COLOUR_LEVELS,
    NO_NORMALISATION,
    Corruption,
    colour_codes,
    colours_of,
    corruption,
    denormalised,
    image_of,
    normalised_pixels,
    patches_of,
    pixels_of,
)
from .reconstruction import COLOURS, COUNT, ENCODER, KEPT, Reconstruction

BATCH = 64
GRAY = 128

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """Some images and what is predicted of them."""

    pixels: Tensor
    """uint8[B, C, H, W]"""
    hidden: Corruption
    predicted: Tensor
    """float32[B, m, P]"""
    goals: Tensor
    """What is to be predicted: the classes int64[B, m], or the normalised pixels float32[B, m, P]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pretrained:
    """A model as its pretraining left it, with its images."""

    subject: FigureSubject
    net: Reconstruction
    layout: TokenLayout
    count: int
    """m."""
    colours: bool

    @classmethod
    def of(cls, subject: FigureSubject) -> Pretrained:
        """Return what was kept of a pretraining.

        Raises:
            Skip: nothing was.
        """
        beside, encoder = dict(subject.kept.get(KEPT, {})), subject.kept.get(ENCODER, {})
        if not encoder or not {COUNT, COLOURS} <= beside.keys():
            raise Skip("it was not pretrained by masked-patches, or nothing of that was stored")
        count, colours = int(beside.pop(COUNT)), bool(beside.pop(COLOURS))
        channels, *size = subject.input_shape
        model = subject.fresh(0)
        layout = token_layout(model, image_size=(size[0], size[1]), in_channels=channels)
        net = Reconstruction.of_kept(model, layout, beside)
        net.load_state_dict({**beside, **{f"model.{name}": tensor for name, tensor in encoder.items()}})
        return cls(subject=subject, net=net.to(subject.device).eval(), layout=layout, count=count, colours=colours)

    @torch.inference_mode()
    def look(self, images: Sequence[Pixels]) -> Look:
        """Mask images, each uint8[C, H, W], the same patches each time, and predict what is masked."""
        grid, (channels, *size) = self.layout.grid, self.subject.input_shape
        inputs = self.subject.inputs(images)
        shown = preprocess(
            torch.from_numpy(self.subject.pixels(images)).to(inputs.device),
            NO_NORMALISATION,
            image_size=(size[0], size[1]),
            in_channels=channels,
        )
        pixels = pixels_of(shown, NO_NORMALISATION)
        draws = Draws(derived_seed(0, "reconstruction"), 0, torch.arange(len(images), device=inputs.device))
        hidden = corruption(draws, patches=math.prod(grid), count=self.count)
        parts = zip(inputs.split(BATCH), *(part.split(BATCH) for part in hidden), strict=True)
        predicted = torch.cat([self.net(*each).float() for each in parts])
        if self.colours:
            goals = colour_codes(pixels, grid).take_along_dim(hidden.masked, dim=1)
        else:
            goals = normalised_pixels(pixels, grid).take_along_dim(hidden.masked[:, :, None], dim=1)
        return Look(pixels=pixels, hidden=hidden, predicted=predicted, goals=goals)

    def losses(self, look: Look) -> Tensor:
        """Return the loss of each image, float32[B]."""
        if self.colours:
            return F.cross_entropy(look.predicted.transpose(1, 2), look.goals, reduction="none").mean(1)
        return (look.predicted - look.goals).square().mean((1, 2))


def draw(subject: FigureSubject, *, images: int) -> Iterator[Grid | Measurement]:
    """Give the pictures of the subject, masked and reconstructed, and how good reconstructions are.

    Args:
        subject: with what `masked-patches` kept.
        images: how many of those that the model is judged on to measure that on; 0: none.

    Raises:
        Skip: the model was not pretrained so.
    """
    found = Pretrained.of(subject)
    measured = _measured(found, min(images, len(subject.images)))
    yield from measured
    yield _grid(found, found.look([picture.pixels for picture in subject.pictures]), _in_words(measured))


def _measured(found: Pretrained, count: int) -> list[Measurement]:
    """Return how well masked patches of some images of the subject are predicted, beside what knowing nothing gives."""
    if not count:
        return []
    split = found.subject.images
    rows = np.random.default_rng(0).permutation(len(split))[:count]
    look = found.look([split.images[row] for row in split.index[rows]])
    loss = _mean("masked_loss", found.losses(look), better="lower")
    if not found.colours:
        return [loss, _mean("masked_guess_loss", look.goals.square().mean((1, 2)))]
    right = (look.predicted.argmax(2) == look.goals).float().mean(1)
    commonest = look.goals.flatten().mode().values
    guess = Measurement(
        name="masked_guess_loss", value=math.log(look.predicted.shape[2]), unit="1", better="neither", n=count
    )
    return [
        _mean("masked_accuracy", right, unit="fraction", better="higher"),
        _mean("masked_majority", (look.goals == commonest).float().mean(1), unit="fraction"),
        loss,
        guess,
    ]


def _mean(name: str, values: Tensor, *, unit: str = "1", better: str = "neither") -> Measurement:
    """Return the mean over images, float32[B], with its 95 % interval."""
    each = values.double().cpu().numpy()
    low, high = bootstrap_interval(lambda drawn: float(each[drawn].mean()), len(each)) or (None, None)
    return Measurement(
        name=name,
        value=float(each.mean()),
        unit=unit,
        better=better,  # type: ignore[arg-type]
        low=low,
        high=high,
        n=len(each),
        samples=(tuple(each.tolist()),),
    )


def _in_words(measured: Sequence[Measurement]) -> str:
    """Return what was measured as a sentence."""
    if not measured:
        return ""
    by, count = {one.name: one for one in measured}, measured[0].n
    if "masked_accuracy" in by:
        right, most = by["masked_accuracy"], by["masked_majority"].value
        between = "" if right.low is None else f" ({right.low:.1%} to {right.high:.1%})"
        return (
            f"On {count} unseen images {right.value:.1%}{between} of the masked patches are right; always "
            f"predicting the most common colour would be right in {most:.1%}."
        )
    loss, guess = by["masked_loss"], by["masked_guess_loss"].value
    between = "" if loss.low is None else f" ({loss.low:.3f} to {loss.high:.3f})"
    return f"The error on {count} unseen images is {loss.value:.3f}{between}; that of the mean alone is {guess:.3f}."


def _grid(found: Pretrained, look: Look, measured: str) -> Grid:
    """Return a column for each picture: it, what is left of it, what is predicted, and what to compare that with."""
    grid, hidden = found.layout.grid, look.hidden
    patches = patches_of(look.pixels, grid)  # [B, n, C, p * q]
    if found.colours:
        said = look.predicted.argmax(2)
        shown = colours_of(said, patches.shape[2])[:, :, :, None]
        titles = [f"{right} of {found.count} right" for right in (said == look.goals).sum(1).tolist()]
        compared = "mean colours", colours_of(colour_codes(look.pixels, grid), patches.shape[2])[:, :, :, None]
    else:
        shown = denormalised(look.predicted, hidden.masked, look.pixels, grid).unflatten(2, patches.shape[2:])
        titles = [f"error {loss:.2f}" for loss in found.losses(look).tolist()]
        means = patches.float().mean((2, 3), keepdim=True).round().to(torch.uint8)  # a prediction of 0
        compared = "mean alone", _with(patches, hidden.masked, means.take_along_dim(_over(hidden.masked), dim=1))
    rows = {
        "image": patches,
        "masked": _left(found, patches, hidden),
        "predicted": _with(patches, hidden.masked, shown),
        compared[0]: compared[1].expand_as(patches),
    }
    above = {"image": [picture.name for picture in found.subject.pictures], "predicted": titles}
    size = (look.pixels.shape[2], look.pixels.shape[3])
    return Grid(
        title="Masked patches, as predicted when pretraining ended",
        tiles=tuple(
            Tile(pixels=_as_tile(image), title=title)
            for row, each in rows.items()
            for image, title in zip(
                image_of(each, grid, size).cpu().numpy(), above.get(row) or [""] * len(each), strict=True
            )
        ),
        columns=len(patches),
        row_labels=tuple(rows),
        note=" ".join(filter(None, (_how(found), measured))),
    )


def _left(found: Pretrained, patches: Tensor, hidden: Corruption) -> Tensor:
    """Return the patches that the model gets, ``[B, n, C, p * q]``: gray where it sees none."""
    if found.net.decoder is None:
        return patches.take_along_dim(_over(hidden.source), dim=1).masked_fill(_over(hidden.token), GRAY)
    return _with(patches, hidden.masked, torch.full_like(patches[:, : found.count], GRAY))


def _with(patches: Tensor, masked: Tensor, others: Tensor) -> Tensor:
    """Return patches ``[B, n, C, p * q]`` with others, ``[B, m, ...]``, in place of the masked ones."""
    shape = (*masked.shape, *patches.shape[2:])
    return patches.scatter(1, _over(masked).expand(shape), others.expand(shape))


def _over(places: Tensor) -> Tensor:
    """Return ``[B, k]`` as ``[B, k, 1, 1]``: for all channels and pixels of a patch."""
    return places[:, :, None, None]


def _how(found: Pretrained) -> str:
    """Return in words what was masked and what is predicted."""
    shares = f"{found.count} of {math.prod(found.layout.grid)} patches are masked"
    hidden = f"{shares}, here in gray: the model gets only the others."
    if found.net.decoder is None:
        hidden = f"{shares}: most are gray, some are another patch of the image, some are unchanged."
    if found.colours:
        return f"{hidden} The model predicts the mean colour of each, in {COLOUR_LEVELS} levels per channel."
    return (
        f"{hidden} It predicts their normalised pixels; mean and contrast of each patch are the image's own, "
        "so compare the last row, which shows only the means."
    )


def _as_tile(image: Pixels) -> Pixels:
    """Return an image of one or three channels: of others the first three, or the first."""
    return image[: 3 if len(image) >= 3 else 1]
