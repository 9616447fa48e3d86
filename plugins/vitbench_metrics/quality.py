"""Metrics on predictions: accuracy, log-likelihood, calibration, F1.

Sums run over the whole test split, never over means of batches. Intervals are of 95 % and hold the error of the images,
not that of another training: Wilson's for proportions, a bootstrap over images for the others. N images, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vitbench import Measurement, Skip
from vitbench.protocols import Predictions, Subject
from vitbench.statistics import bootstrap, bootstrap_interval, wilson

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
    logs = _predictions(subject).true_log_probability.astype(np.float64)

    def mean(drawn: NDArray[np.intp]) -> float:
        return abs(float(logs[drawn].mean()))

    yield _figure("nll", abs(float(logs.mean())), bootstrap_interval(mean, len(logs)), len(logs))


def ece(subject: Subject) -> Iterator[Measurement]:
    """Give the expected calibration error: ``sum over bins of |accuracy - mean confidence| * images / N``.

    Confidence is the probability of the likeliest class; the bins are equal parts of 0..1, closed on the right.
    """
    predictions = _predictions(subject)
    confidence = predictions.top_probabilities[:, 0].astype(np.float64)
    right = predictions.top_classes[:, 0] == predictions.labels
    surplus = right - confidence
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    bins = np.searchsorted(edges[1:-1], confidence, side="left")

    def gaps(drawn: NDArray[np.intp]) -> NDArray[np.float64]:
        # |accuracy - confidence| * images is the absolute sum of the differences in the bin.
        return np.bincount(bins[drawn], weights=surplus[drawn], minlength=CALIBRATION_BINS) / len(drawn)

    own = gaps(np.arange(len(right)))
    value = float(np.abs(own).sum())
    yield _figure("ece", value, _ece_interval(own, bootstrap(gaps, len(right))), len(right))


def _ece_interval(gaps: NDArray[np.float64], resampled: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return an interval of about 95 % for the ECE that endless images would give.

    The noise of the bins adds up and never cancels, so that the value is too large, and its resamples are larger still.
    By the triangle inequality the true one is at least the value less the noise of all bins, which is the low end; the
    high end is the resamples' mirrored at the value (Efron and Tibshirani, section 13.4).

    Args:
        gaps: signed, ``[CALIBRATION_BINS]``.
        resampled: the same of each resample, ``[RESAMPLES, CALIBRATION_BINS]``
    """
    value = float(np.abs(gaps).sum())
    noise = float(np.quantile(np.abs(resampled - gaps).sum(axis=1), 0.975))
    if noise == 0:
        return None
    smallest = float(np.quantile(np.abs(resampled).sum(axis=1), 0.025))
    return max(0.0, value - noise), min(1.0, value + max(0.0, value - smallest))


def macro_f1(subject: Subject) -> Iterator[Measurement]:
    """Give the mean F1, ``2 TP / (2 TP + FP + FN)``, of the classes that occur among the labels or the predictions.

    A class that occurs in neither has no F1 and does not count; scikit-learn and torchmetrics do the same.
    """
    predictions = _predictions(subject)
    labels, predicted = predictions.labels, predictions.top_classes[:, 0]

    def mean_f1(drawn: NDArray[np.intp]) -> float:
        return _mean_f1(labels[drawn], predicted[drawn], predictions.num_classes)

    value = _mean_f1(labels, predicted, predictions.num_classes)
    yield _figure("macro_f1", value, bootstrap_interval(mean_f1, len(labels)), len(labels))


def _mean_f1(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> float:
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    # 2 TP + FP + FN: how often it is the label plus how often it is predicted.
    occurrences = np.bincount(labels, minlength=classes) + np.bincount(predicted, minlength=classes)
    present = occurrences > 0
    return float((2 * hits[present] / occurrences[present]).mean())


def _predictions(subject: Subject) -> Predictions:
    if subject.predictions is None:
        raise Skip("there are no predictions")
    return subject.predictions


def _proportion(name: str, right: NDArray[np.bool_]) -> Measurement:
    return _figure(name, float(right.mean()), wilson(int(right.sum()), len(right)), len(right))


def _figure(name: str, value: float, interval: tuple[float, float] | None, n: int) -> Measurement:
    low, high = interval or (None, None)
    return Measurement(name=name, value=value, low=low, high=high, n=n)
