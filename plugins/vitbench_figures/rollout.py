"""How attention flows through all layers: rollout.

Abnar and Zuidema 2020 (arXiv 2005.00928): the heads' mean and the residual, each one half, multiplied up the layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from vitbench import Measurement, Skip
from vitbench.attention import rollout
from vitbench.errors import UnusableError
from vitbench.figures import Figure, FigureSubject, Grid, Scale, Tile

from .layers import (
    Look,
    chosen,
    labelled,
    look,
    on_image,
    on_labels,
    reads_class_token,
    shown_images,
    whole,
    whose_look,
)
from .trust import judged

CLASS_BLIND = "Rollout does not depend on the class: it shows where attention went, not what supports the prediction."


def draw(subject: FigureSubject, *, layer: int, images: int) -> Iterator[Figure | Measurement]:
    """Give the images, below them how much of each patch reaches what the head reads, and what tests say of it.

    Args:
        subject: the model and the images.
        layer: up to which the attention is followed, from 1; 0: to the last.
        images: test images that the tests use; 0: no tests.

    Raises:
        Skip: the layers' tokens are not all the same.
        UsageError: there is no such layer.
    """
    class_token = reads_class_token(subject.model)
    values, labels = [], []
    for picture in subject.pictures:
        seen = look(subject, subject.inputs([picture.pixels]))
        flow, (whose, why) = _flow(seen, layer, class_token=class_token)
        values.append(flow)
        labels.append(labelled(subject, picture, seen.logits))
    method = partial(_maps, layer=layer, class_token=class_token)
    trust = judged(subject, method, images=images, knows_classes=False)
    yield from trust.measurements
    pixels = shown_images(subject)
    over = [Tile(pixels=image, values=value) for image, value in zip(pixels, values, strict=True)]
    yield Grid(
        title=trust.titled(f"Attention rollout of {whose}" + (f", up to layer {layer}" if layer else "")),
        tiles=(*(Tile(pixels=image) for image in pixels), *over),
        columns=len(pixels),
        row_labels=("image", "rollout"),
        column_labels=tuple(labels),
        scale=Scale.of(np.stack(values), "rollout (1: uniform)"),
        note=" ".join(filter(None, (trust.note, CLASS_BLIND, why, on_labels(labels)))),
    )
    yield from trust.pictures


def _maps(subject: FigureSubject, inputs: Tensor, targets: Tensor, *, layer: int, class_token: bool) -> Tensor:
    """Return the maps of images, float[B, rows, columns], as tests take them: the same for every class."""
    flows = (_flow(look(subject, image[None]), layer, class_token=class_token)[0] for image in inputs)
    return torch.from_numpy(np.stack([*flows]))


def _flow(
    seen: Look, layer: int, *, class_token: bool
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float32]], tuple[str, str]]:
    """Return the share of each patch in what the head reads, [rows, columns], and whose look it is."""
    layers = whole(seen, "rollout")
    chosen(layers, layer)
    layers = layers[: layer or None]
    among = [each for each in layers if not each.is_pool]
    if not among:
        raise Skip("rollout needs attention between patches, but this model has only its pool's")
    try:
        joint = rollout([each.weights[None] for each in among])  # [1, N, N]
    except UnusableError as error:
        raise Skip(str(error)) from error
    last = layers[-1]
    if last.is_pool:
        if last.weights.shape[-1] != joint.shape[-1] or last.number != len(among) + 1:
            raise Skip("rollout needs the same tokens in each layer, but this model's pool has different ones")
        joint = last.weights.mean(0, keepdim=True) @ joint  # [1, 1, N]
    prefix, grid = among[0].prefix, among[0].grid
    top = replace(last, weights=joint, prefix=prefix, grid=grid)
    share = on_image(joint, top, class_token=class_token)[0] * joint.shape[-1]
    return share.float().cpu().numpy(), whose_look(top, class_token=class_token)
