"""A method's maps over the subject's pictures.

Shapes: B images, C channels, H height, W width, R rows and L columns of a map.
"""

from __future__ import annotations

from functools import partial

import torch

from vitbench.errors import UsageError, did_you_mean
from vitbench.figures import FigureSubject, Grid, Scale, Tile

from .layers import labelled, on_labels, shown_images
from .trust import Explain, Trust, explained

__all__ = ["class_of", "drawn"]

SHARE = Scale(label="share of the image's highest value", low=0.0, high=1.0)


def class_of(subject: FigureSubject, target: str) -> int | None:
    """Return the class that a name or a number means; None for the predicted one.

    Raises:
        UsageError: no such class.
    """
    if not target:
        return None
    if target in subject.class_names:
        return subject.class_names.index(target)
    if target.isascii() and target.isdigit() and int(target) < subject.num_classes:
        return int(target)
    hint = did_you_mean(target, subject.class_names)
    raise UsageError(
        f'no class "{target}".{hint} Classes are numbered 0 to {subject.num_classes - 1}, or called '
        f"{', '.join(subject.class_names[:3])}{' ...' if subject.num_classes > 3 else ''}"
    )


def drawn(subject: FigureSubject, explain: Explain, target: int | None, *, title: str, trust: Trust) -> Grid:
    """Return each picture, and below it the map for a class over it.

    Args:
        subject: with the pictures.
        explain: the method.
        target: the class to explain; None: the one that is predicted of each picture.
        title: of the method.
        trust: what its tests say.
    """
    inputs = subject.inputs([picture.pixels for picture in subject.pictures])
    with torch.inference_mode():
        logits = subject.model(inputs)
    targets = logits.argmax(1) if target is None else logits.new_full((len(logits),), target, dtype=torch.int64)
    maps = explained(subject, explain, inputs, targets)
    highest = maps.amax((1, 2), keepdim=True)
    values = (maps / torch.where(highest > 0, highest, 1)).clamp(0, 1).float().numpy()
    pixels = shown_images(subject)
    labels = tuple(map(partial(labelled, subject), subject.pictures, logits))
    over = [Tile(pixels=image, values=value) for image, value in zip(pixels, values, strict=True)]
    spoken = "the predicted class" if target is None else subject.class_names[target]
    return Grid(
        title=trust.titled(f"{title}: what speaks for {spoken}"),
        tiles=(*(Tile(pixels=image) for image in pixels), *over),
        columns=len(pixels),
        row_labels=("image", "map"),
        column_labels=labels,
        scale=SHARE,
        note=" ".join(filter(None, (trust.note, on_labels(labels)))),
    )
