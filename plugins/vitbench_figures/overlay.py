"""A method's maps over the subject's pictures.

Shapes: B images, C channels, H height, W width, R rows and L columns of a map.
"""

from __future__ import annotations

import torch

from vitbench.errors import Skip, UsageError, did_you_mean
from vitbench.figures import FigureSubject, Grid, Scale, Tile

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
    if not subject.pictures:
        raise Skip("there are no images to show")
    given = [picture.pixels for picture in subject.pictures]
    inputs = subject.inputs(given)
    with torch.inference_mode():
        likeliest = subject.model(inputs).argmax(1)
    targets = likeliest if target is None else torch.full_like(likeliest, target)
    maps = explained(subject, explain, inputs, targets)
    highest = maps.amax((1, 2), keepdim=True)
    values = (maps / torch.where(highest > 0, highest, 1)).clamp(0, 1).float().numpy()
    pixels = subject.pixels(given)
    names = subject.class_names
    images = [Tile(pixels=seen, title=picture.name) for seen, picture in zip(pixels, subject.pictures, strict=True)]
    over = [
        Tile(pixels=seen, values=value, title=f"for {names[each]}")
        for seen, value, each in zip(pixels, values, targets.tolist(), strict=True)
    ]
    return Grid(
        title=trust.titled(title),
        tiles=(*images, *over),
        columns=len(images),
        row_labels=("image", "map"),
        scale=SHARE,
        note=trust.note,
    )
