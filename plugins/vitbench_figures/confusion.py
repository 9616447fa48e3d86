"""Which classes are mistaken for which."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vitbench import Skip
from vitbench.figures import FigureSubject, Matrix, Scale
from vitbench.protocols import Predictions

MOST_CLASSES = 20


def draw(subject: FigureSubject) -> Iterator[Matrix]:
    """Give the share of each class's images that were taken for each class.

    Of more than `MOST_CLASSES`, those of the most frequent confusions are shown, and the others as one.

    Raises:
        Skip: there are no predictions.
    """
    predictions = of_test(subject)
    names = predictions.class_names
    # Counted by pair: of many classes no matrix is made.
    pairs, counts = np.unique(np.stack([predictions.labels, predictions.top_classes[:, 0]]), axis=1, return_counts=True)
    shown = _shown(pairs, counts, len(names))
    place = np.full(len(names), len(shown))
    place[shown] = np.arange(len(shown))
    of_images = np.zeros((len(shown) + 1, len(shown) + 1))
    np.add.at(of_images, (place[pairs[0]], place[pairs[1]]), counts)
    whole = len(shown) == len(names)
    of_images = of_images[: len(shown), : len(shown) + (not whole)]
    seen = of_images.sum(axis=1) > 0
    shares = of_images[seen] / of_images[seen].sum(axis=1, keepdims=True)
    rows = [names[each] for each, has_images in zip(shown, seen, strict=True) if has_images]
    notes = [] if whole else [f"The {len(shown)} of {len(names)} classes with the most frequent confusions."]
    if not seen.all():
        notes.append("Classes without images have no row.")
    yield Matrix(
        title="Confusion",
        values=shares.astype(np.float32),
        row_labels=tuple(rows),
        column_labels=(*(names[each] for each in shown), *(() if whole else ("others",))),
        rows="true class",
        columns="predicted class",
        scale=Scale(label="share of the true class's images", low=0.0, high=1.0),
        note=" ".join(notes),
    )


def _shown(pairs: NDArray[np.int64], counts: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return the classes to show, in their order."""
    if classes <= MOST_CLASSES:
        return np.arange(classes)
    wrong = np.flatnonzero(pairs[0] != pairs[1])
    often = pairs[:, wrong[np.argsort(-counts[wrong], kind="stable")]]
    chosen: dict[int, None] = {}
    for true, said in often.T.tolist():
        if len(chosen.keys() | {true, said}) <= MOST_CLASSES:
            chosen |= {true: None, said: None}
    if len(chosen) < 2:  # no confusions: the first classes
        return np.arange(MOST_CLASSES)
    return np.sort(np.fromiter(chosen, np.int64))


def of_test(subject: FigureSubject) -> Predictions:
    """Return what the model said of each image.

    Raises:
        Skip: that is not stored.
    """
    if subject.predictions is None:
        raise Skip("there are no predictions")
    return subject.predictions
