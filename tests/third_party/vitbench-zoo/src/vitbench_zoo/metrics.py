"""Metrics of predictions, of images, and of the network itself."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vitbench import ConfusionScore, ImageScores, Measurement, SampleScore
from vitbench.protocols import Subject


def worst_class(subject: Subject) -> Iterator[ConfusionScore]:
    """Yield the least share of right answers over the classes."""
    yield ConfusionScore(name="worst_class", score=least_recall)


def least_recall(confusion: NDArray[np.int64]) -> float:
    """Return the least recall of int64 [K, K], of the classes that have images."""
    images = confusion.sum(axis=1)
    seen = images > 0
    return float((confusion.diagonal()[seen] / images[seen]).min())


def squared_miss(subject: Subject) -> Iterator[ImageScores]:
    """Yield the Brier score (G. W. Brier, Monthly Weather Review 78, 1950), from 0 to 2."""
    predictions = subject.predictions
    miss = predictions.probabilities()
    miss[np.arange(len(miss)), predictions.labels] -= 1
    yield ImageScores(name="squared_miss", values=(miss**2).sum(axis=1))


def auroc_first(subject: Subject) -> Iterator[SampleScore]:
    """Yield the chance that an image of the first class gets more of its probability than another one, ties half."""
    predictions = subject.predictions
    # Places in the order of all images are found once; a sample then only counts who stands where.
    _, place = np.unique(predictions.probabilities()[:, 0], return_inverse=True)
    first = predictions.labels == 0

    def score(index: NDArray[np.intp]) -> float:
        places, own = place[index], first[index]
        of_first = np.bincount(places[own], minlength=len(place))
        of_others = np.bincount(places[~own], minlength=len(place))
        pairs = of_first.sum() * of_others.sum()
        if pairs == 0:
            return float("nan")
        below = of_others.cumsum() - of_others
        return float((of_first * (below + of_others / 2)).sum() / pairs)

    yield SampleScore(name="auroc_first", score=score)


def dark_top1(subject: Subject) -> Iterator[SampleScore]:
    """Yield the share of right answers on images that are no brighter than the median image."""
    predictions, images = subject.predictions, subject.images
    brightness = np.array([images.images[row].mean() for row in images.index])
    dark = brightness <= np.median(brightness)
    right = predictions.top_classes[:, 0] == predictions.labels

    def score(index: NDArray[np.intp]) -> float:
        own = right[index][dark[index]]
        return float(own.mean()) if len(own) else float("nan")

    yield SampleScore(name="dark_top1", score=score)


def layers(subject: Subject) -> Iterator[Measurement]:
    """Yield how many modules have parameters of their own."""
    modules = subject.architecture().modules()
    yield Measurement(name="layers", value=sum(1 for module in modules if any(True for _ in module.parameters(False))))
