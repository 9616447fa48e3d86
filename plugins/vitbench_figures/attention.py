"""Where each layer and head looks: attention weights of the class token, laid over the image.

Dosovitskiy et al. 2021 (arXiv 2010.11929), section 4.5; maps of single heads as in Caron et al. 2021 (arXiv
2104.14294), figure 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitbench import Measurement, Skip
from vitbench.figures import Figure, FigureSubject, Grid, Scale, Tile

from .layers import (
    Layer,
    Look,
    check_head,
    chosen,
    labelled,
    listed,
    look,
    on_image,
    on_labels,
    reads_class_token,
    shown_images,
    whose_look,
)
from .trust import judged

BRIGHTEST = 0.98
"""The share of values up to which colours tell them apart; a few patches have many times the attention of others."""


def draw(subject: FigureSubject, *, layer: int, head: int, images: int) -> Iterator[Figure | Measurement]:
    """Give a grid for each layer: the images, the mean of the heads over them, and each head. The last is tested.

    Args:
        subject: the model and the images.
        layer: from 1; 0: all.
        head: from 1; 0: all.
        images: test images that the tests use; 0: no tests.

    Raises:
        Skip: no layer's weights are a map of the image.
        UsageError: there is no such layer or head.
    """
    class_token = reads_class_token(subject.model)
    maps: dict[int, list[NDArray[np.float32]]] = {}  # by layer, of each image [H, rows, columns]
    labels = []
    for picture in subject.pictures:
        seen = look(subject, subject.inputs([picture.pixels]))
        shown = _shown(seen, layer, head)
        labels.append(labelled(subject, picture, seen.logits))
        for each in shown:
            # Of M keys uniform attention gives each 1 / M.
            values = on_image(each.weights, each, class_token=class_token) * each.weights.shape[-1]
            maps.setdefault(each.number, []).append(values.float().cpu().numpy())
    pixels = shown_images(subject)
    rows = {number: _rows(several, head) for number, several in maps.items()}
    every = np.concatenate([np.ravel(values) for several in rows.values() for _, row in several for values in row])
    scale = Scale(label="attention (1: uniform)", low=0.0, high=max(float(np.quantile(every, BRIGHTEST)), 1e-6))
    brighter = [f"Values above {scale.high:.2g} are shown in its colour."] if every.max() > scale.high else []
    last = shown[-1]
    trust = judged(
        subject,
        partial(_maps, number=last.number, head=head, class_token=class_token),
        images=images,
        knows_classes=False,
    )
    yield from trust.measurements
    for each in shown:
        whose, why = whose_look(each, class_token=class_token)
        module = f"Module: {each.module}." if each.module else ""
        notes = [module, why, on_labels(labels), *brighter, *_left_out(seen)]
        title = f"Attention of {whose} to each patch"
        if each is last:
            title = trust.titled(title)
            notes.append(f"As a map of what the prediction relies on ({rows[each.number][0][0]}): {trust.note}")
        tiles = [Tile(pixels=image) for image in pixels]
        for number, (_, values) in enumerate(rows[each.number]):
            over = pixels if number == 0 else [None] * len(pixels)
            shares = [np.minimum(value, scale.high) for value in values]
            tiles += [Tile(pixels=image, values=share) for image, share in zip(over, shares, strict=True)]
        yield Grid(
            title=title,
            tiles=tuple(tiles),
            columns=len(pixels),
            row_labels=("image", *(name for name, _ in rows[each.number])),
            column_labels=tuple(labels),
            scale=scale,
            note=" ".join(filter(None, notes)),
            step=f"layer {each.number}",
        )
    yield from trust.pictures


def _maps(
    subject: FigureSubject, inputs: Tensor, targets: Tensor, *, number: int, head: int, class_token: bool
) -> Tensor:
    """Return the maps of images, float[B, rows, columns], as tests take them: the same for every class."""
    found = []
    for image in inputs:
        layer = look(subject, image[None]).layers[number - 1]
        maps = on_image(layer.weights, layer, class_token=class_token)
        found.append(maps[head - 1] if head else maps.mean(0))
    return torch.stack(found)


def _shown(seen: Look, layer: int, head: int) -> list[Layer]:
    """Return the layers to draw."""
    asked = chosen(seen.layers, layer)
    shown = [each for each in asked if not each.lack]
    if not shown:
        raise Skip(f"the attention of {asked[0].name} cannot be shown as a map of the image: it {asked[0].lack}")
    check_head(shown, head)
    return shown


def _rows(maps: Sequence[NDArray[np.float32]], head: int) -> list[tuple[str, list[NDArray[np.float32]]]]:
    """Return the rows of a layer's grid: their names and values for each image."""
    if head:
        return [(f"head {head}", [each[head - 1] for each in maps])]
    mean = ("mean of heads", [each.mean(0) for each in maps])
    return [mean, *((f"head {one + 1}", [each[one] for each in maps]) for one in range(len(maps[0])))]


def _left_out(seen: Look) -> Iterator[str]:
    """Say what of the model's attention is not shown."""
    for lack in dict.fromkeys(layer.lack for layer in seen.layers if layer.lack):
        numbers = [layer.number for layer in seen.layers if layer.lack == lack]
        several = f"layers {listed(numbers)}, each of which" if len(numbers) > 1 else f"layer {numbers[0]}, which"
        yield f"Not shown: {several} {lack}."
    for names, why in ((seen.watched.over_channels, "over channels"), (seen.watched.uncalled, "without a map")):
        if names:
            more = f" and {len(names) - 1} more" if names[1:] else ""
            yield f"Not shown: attention {why} ({names[0]}{more})."
    modules = {layer.module for layer in seen.layers}
    if len(modules) != len(seen.layers) and modules != {""}:
        yield f"{len(seen.layers)} maps come from {len(modules)} attention modules."
