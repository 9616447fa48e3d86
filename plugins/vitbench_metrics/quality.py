"""Metrics on predictions: accuracy, log-likelihood, calibration, balanced accuracy, F1, Brier score, AUROC.

They give scores of images, or functions of the confusion matrix, of which vitbench makes value, interval and paired
tests. Sums run over the whole test split, never over means of batches. N images, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vitbench import Measurement, Skip
from vitbench.protocols import ConfusionScore, ImageScores, Predictions, Subject
from vitbench.statistics import bootstrap

CALIBRATION_BINS = 15
"""As in Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599)."""


def top1(subject: Subject) -> Iterator[ImageScores]:
    """Give whether each image's likeliest class is the true one; the mean is the accuracy."""
    predictions = _predictions(subject)
    yield ImageScores(name="top1", values=predictions.top_classes[:, 0] == predictions.labels)


def top5(subject: Subject) -> Iterator[ImageScores]:
    """Give whether each image's true class is among the five likeliest.

    Raises:
        Skip: there are at most five classes, so that each answer would be right.
    """
    predictions = _predictions(subject)
    if predictions.num_classes <= 5:
        raise Skip(f"top5 is meaningless for {predictions.num_classes} classes: the top five include them all")
    right = (predictions.top_classes[:, :5] == predictions.labels[:, None]).any(axis=1)
    yield ImageScores(name="top5", values=right)


def nll(subject: Subject) -> Iterator[ImageScores]:
    """Give ``-ln p(true class)`` of each image; ``ln K`` for a model that knows nothing."""
    yield ImageScores(name="nll", values=-_predictions(subject).true_log_probability)


def brier(subject: Subject) -> Iterator[ImageScores]:
    """Give ``sum over classes of (p - y)^2`` of each image, where y is 1 for the true class, else 0; 0 to 2.

    G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78 (1950),
    equation 2: the sum over all classes. For two classes it is twice what is often called by this name.

    Raises:
        Skip: the logits were too many to be kept whole.
    """
    predictions = _predictions(subject)
    errors = predictions.probabilities()
    errors[np.arange(len(errors)), predictions.labels] -= 1
    yield ImageScores(name="brier", values=np.square(errors, out=errors).sum(axis=1))


def auroc(subject: Subject) -> Iterator[ImageScores]:
    """Give the area under the ROC curve of each class against the others, averaged over the classes, image by image.

    The area of a class is the chance that an image of it has a larger probability of it than an image of another class
    has; ties count one half. A class without images has none and does not count; nor does one that all images are of.

    Its influence on the mean area makes a score of each image. Their mean is the mean area, and their variance that of
    E. DeLong, D. DeLong and D. Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 44 (1988), in the form of X. Sun and W. Xu, "Fast implementation of DeLong's
    algorithm", IEEE Signal Processing Letters 21 (2014), which sorts once and resamples nothing.

    Raises:
        Skip: the logits were too many to be kept whole, or all images are of one class.
    """
    predictions = _predictions(subject)
    probabilities, labels = predictions.probabilities(), predictions.labels
    counts = np.bincount(labels, minlength=predictions.num_classes)
    classes = np.flatnonzero((counts > 0) & (counts < len(labels)))
    if not classes.size:
        raise Skip("auroc compares the images of one class with those of others, but all images are of one class")
    scores = np.zeros(len(labels))
    for label in classes:
        scores += _area_scores(probabilities[:, label], labels == label)
    yield ImageScores(name="auroc", values=scores / len(classes))


def _area_scores(probability: NDArray[np.float64], own: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return what each image says of one class's area, float64[N]; their mean is the area.

    Args:
        probability: of the class, ``[N]``.
        own: whether an image is of it, ``[N]``.
    """
    of_class, of_others = np.sort(probability[own]), np.sort(probability[~own])
    chance = np.empty(len(own))  # that the image is ordered rightly with one of the other side
    chance[own] = _share_below(of_others, probability[own])
    chance[~own] = 1 - _share_below(of_class, probability[~own])
    area = chance[own].mean()
    counts = np.where(own, len(of_class), len(of_others))
    # DeLong's variances of each side divide by one less than its number of images.
    few = np.sqrt(counts / np.maximum(counts - 1, 1))
    scores: NDArray[np.float64] = area + (chance - area) * few * len(own) / counts
    return scores


def _share_below(ordered: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of some ordered numbers that lies below each value, equal ones as one half."""
    below, up_to = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    share: NDArray[np.float64] = (below + up_to) / (2 * len(ordered))
    return share


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
    low, high = _ece_interval(own, bootstrap(gaps, len(right)), len(right)) or (None, None)
    yield Measurement(name="ece", value=value, low=low, high=high, n=len(right))


def _ece_interval(gaps: NDArray[np.float64], resampled: NDArray[np.float64], images: int) -> tuple[float, float] | None:
    """Return an interval of at least 95 % for the ECE that endless images would give.

    The noise of the bins adds up and never cancels, so that the value is too large, and its resamples are larger still:
    their quantiles, mirrored at the value or not, are no interval. Two inequalities are. With the true gaps g and the
    noise e, ``sum |g| >= sum |g + e| - sum |e|``: the low end is the value less the noise of all bins. And
    ``sum |g| <= sum |g + e| - sum sign(g) * e``, where the noise does cancel: the high end takes it with the signs of
    the gaps that were seen, and one image more, since resamples know nothing of errors as rare as that.

    In simulations of eight models and 50 to 500 images the truth lies above it in 0 to 2.5 % of cases. A ninth is
    always sure and wrong once in 70 images, of which 200 may show none: 5 %. It lies below the low end in 3 to 5 %
    where the model is calibrated, and hardly ever elsewhere.

    Args:
        gaps: signed, ``[CALIBRATION_BINS]``.
        resampled: the same of each resample, ``[RESAMPLES, CALIBRATION_BINS]``.
        images: N.
    """
    value = float(np.abs(gaps).sum())
    noise = resampled - gaps
    of_all = float(np.quantile(np.abs(noise).sum(axis=1), 0.975))
    if of_all == 0:
        return None
    fallen = float(np.quantile(noise @ np.sign(gaps), 0.025))
    return max(0.0, value - of_all), min(1.0, value + max(0.0, -fallen) + 1 / images)


def macro_f1(subject: Subject) -> Iterator[ConfusionScore]:
    """Give the mean F1, ``2 TP / (2 TP + FP + FN)``, of the classes that occur among the labels or the predictions.

    A class that occurs in neither has no F1 and does not count; scikit-learn and torchmetrics do the same.
    """
    _predictions(subject)
    yield ConfusionScore(name="macro_f1", score=_mean_f1)


def _mean_f1(confusion: NDArray[np.int64]) -> float:
    # 2 TP + FP + FN: how often a class is the label plus how often it is predicted.
    occurrences = confusion.sum(axis=1) + confusion.sum(axis=0)
    present = occurrences > 0
    return float((2 * confusion.diagonal()[present] / occurrences[present]).mean())


def balanced_accuracy(subject: Subject) -> Iterator[ConfusionScore]:
    """Give the mean recall, ``TP / (TP + FN)``, of the classes that have images: chance is 1 / K however many each has.

    As scikit-learn's ``balanced_accuracy_score``.
    """
    _predictions(subject)
    yield ConfusionScore(name="balanced_accuracy", score=_mean_recall)


def _mean_recall(confusion: NDArray[np.int64]) -> float:
    images = confusion.sum(axis=1)
    present = images > 0
    return float((confusion.diagonal()[present] / images[present]).mean())


def _predictions(subject: Subject) -> Predictions:
    if subject.predictions is None:
        raise Skip("there are no predictions")
    return subject.predictions
