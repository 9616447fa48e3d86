"""Metrics on predictions: accuracy, log-likelihood, calibration, F1.

Sums run over the whole test split, never over means of batches. N images, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vitbench import Measurement, Skip
from vitbench.protocols import Predictions, Subject
from vitbench.statistics import wilson

CALIBRATION_BINS = 15
"""As in Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599)."""


def top1(subject: Subject) -> Iterator[Measurement]:
    """Give the share of images whose likeliest class is the true one, with Wilson's 95 % interval."""
    predictions = _predictions(subject)
    yield _proportion("top1", predictions.top_classes[:, 0] == predictions.labels)


def top5(subject: Subject) -> Iterator[Measurement]:
    """Give the share of images whose true class is among the five likeliest, with Wilson's 95 % interval.

    Raises:
        Skip: there are at most five classes, so that each answer would be right.
    """
    predictions = _predictions(subject)
    if predictions.num_classes <= 5:
        raise Skip(f"top5 says nothing of {predictions.num_classes} classes: the five likeliest hold them all")
    yield _proportion("top5", (predictions.top_classes[:, :5] == predictions.labels[:, None]).any(axis=1))


def nll(subject: Subject) -> Iterator[Measurement]:
    """Give the mean over images of ``-ln p(true class)``; ``ln K`` for a model that knows nothing."""
    logs = _predictions(subject).true_log_probability
    yield Measurement(name="nll", value=abs(float(logs.mean(dtype=np.float64))), n=len(logs))


def ece(subject: Subject) -> Iterator[Measurement]:
    """Give the expected calibration error: ``sum over bins of |accuracy - mean confidence| * images / N``.

    Confidence is the probability of the likeliest class; the bins are equal parts of 0..1, closed on the right.
    """
    predictions = _predictions(subject)
    confidence = predictions.top_probabilities[:, 0].astype(np.float64)
    right = predictions.top_classes[:, 0] == predictions.labels
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    bins = np.searchsorted(edges[1:-1], confidence, side="left")
    # |accuracy - confidence| * images is the absolute sum of the differences in the bin.
    gaps = np.bincount(bins, weights=right - confidence, minlength=CALIBRATION_BINS)
    yield Measurement(name="ece", value=float(np.abs(gaps).sum() / len(right)), n=len(right))


def macro_f1(subject: Subject) -> Iterator[Measurement]:
    """Give the mean F1, ``2 TP / (2 TP + FP + FN)``, of the classes that occur among the labels or the predictions.

    A class that occurs in neither has no F1 and does not count; scikit-learn and torchmetrics do the same.
    """
    predictions = _predictions(subject)
    labels, predicted = predictions.labels, predictions.top_classes[:, 0]
    classes = predictions.num_classes
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    # 2 TP + FP + FN: how often it is the label plus how often it is predicted.
    occurrences = np.bincount(labels, minlength=classes) + np.bincount(predicted, minlength=classes)
    present = occurrences > 0
    yield Measurement(name="macro_f1", value=float((2 * hits[present] / occurrences[present]).mean()), n=len(labels))


def _predictions(subject: Subject) -> Predictions:
    if subject.predictions is None:
        raise Skip("there are no predictions")
    return subject.predictions


def _proportion(name: str, right: NDArray[np.bool_]) -> Measurement:
    low, high = wilson(int(right.sum()), len(right))
    return Measurement(name=name, value=float(right.mean()), low=low, high=high, n=len(right))
