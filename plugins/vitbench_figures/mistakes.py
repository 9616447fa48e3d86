"""The most confident mistakes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vitbench import Skip
from vitbench.figures import FigureSubject, Grid, Tile

from .confusion import of_test
from .layers import as_tile


def draw(subject: FigureSubject, *, images: int) -> Iterator[Grid]:
    """Give the images that the model was surest of and wrong.

    Args:
        subject: the predictions and their images.
        images: how many.

    Raises:
        Skip: there are no predictions, or no mistakes.
    """
    predictions = of_test(subject)
    names, said = predictions.class_names, predictions.top_classes[:, 0]
    wrong = np.flatnonzero(said != predictions.labels)
    if not wrong.size:
        raise Skip(f"no mistakes: all {len(said)} images are classified correctly")
    confidence = predictions.top_probabilities[:, 0]
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:images]
    tiles = tuple(
        Tile(
            pixels=as_tile(subject.images.images[subject.images.index[row]]),
            title=f"{names[predictions.labels[row]]}, taken for {names[said[row]]}, {confidence[row]:.1%}",
        )
        for row in worst.tolist()
    )
    yield Grid(
        title="Most confident mistakes",
        tiles=tiles,
        columns=min(4, len(tiles)),
        note=f"{len(tiles)} of {len(wrong)} mistakes in {len(said)} images; the percentage is the wrong class's "
        "probability.",
    )
