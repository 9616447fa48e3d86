"""What lies behind a row's metrics: which classes are confused, whether probabilities are true, how latencies spread.

Reliability of probabilities: A. Niculescu-Mizil and R. Caruana, "Predicting good probabilities with supervised
learning", ICML 2005, with the bins of C. Guo et al., "On calibration of modern neural networks", ICML 2017, section 2.

Shapes: N images, S seeds, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.leaderboard.answers import Answers
from vitbench.statistics import wilson

__all__ = [
    "CALIBRATION_BINS",
    "MOST_CLASSES",
    "SHOWN_SHARE",
    "Bin",
    "Confusion",
    "Histogram",
    "Recall",
    "calibration",
    "confusion",
    "histogram",
    "recalls",
]

CALIBRATION_BINS = 15
"""Of equal width and closed on the right, as those of the metric ``ece``."""
MOST_CLASSES = 20
"""Classes of which a matrix can still be read; of more, the worst pairs are told."""
MOST_PAIRS = 15
SHOWN_SHARE = 0.99
"""Share of the samples that a histogram's bars hold: a few stalls would press the others into one bar."""
HISTOGRAM_BINS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """How often each class was taken for which, summed over seeds."""

    counts: tuple[tuple[int, int, int], ...]
    """(true class, top-1 class, images), without zeros, by class; of more than `MOST_CLASSES` classes the most frequent
    mistakes only, the worst first."""
    whole: bool
    """Whether `counts` is the whole matrix."""
    images: int
    """N * S."""
    wrong: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Recall:
    """How many of a class's images are found."""

    label: int
    recall: float
    """Mean over seeds."""
    low: float
    """95 % Wilson interval for the images of one seed: seeds share their images."""
    high: float
    images: int
    """Of one seed."""
    taken_for: int | None
    """The class that its images are most often taken for; None where all are right."""
    taken_share: float
    """How many of its images are taken for that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """The images of one range of confidence."""

    low: float
    high: float
    images: int
    """Summed over seeds; at least 1."""
    confidence: float
    """Mean."""
    accuracy: float
    accuracy_low: float
    """95 % Wilson interval for as many images as one seed has here on the average: seeds share their images."""
    accuracy_high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """How many samples fall between neighbouring edges."""

    edges: tuple[float, ...]
    """B + 1."""
    counts: tuple[int, ...]
    """B."""
    beyond: int
    """Samples above the last edge."""
    largest: float
    processes: int

    @property
    def samples(self) -> int:
        """All samples."""
        return sum(self.counts) + self.beyond


def confusion(predicted: Sequence[Answers], num_classes: int) -> Confusion:
    """Count what was taken for what, over all seeds.

    Args:
        predicted: of each seed, at least one.
        num_classes: K.
    """
    import numpy as np

    labels = np.concatenate([one.labels for one in predicted])
    classes = np.concatenate([one.classes for one in predicted])
    wrong = labels != classes
    whole = num_classes <= MOST_CLASSES
    chosen = np.ones_like(wrong) if whole else wrong
    # One number a pair: a matrix of thousands of classes would not fit into memory.
    pairs, counts = np.unique(labels[chosen] * num_classes + classes[chosen], return_counts=True)
    if not whole:
        worst = np.argsort(-counts, kind="stable")[:MOST_PAIRS]
        pairs, counts = pairs[worst], counts[worst]
    return Confusion(
        counts=tuple(
            (*divmod(pair, num_classes), count) for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True)
        ),
        whole=whole,
        images=len(labels),
        wrong=int(wrong.sum()),
    )


def recalls(predicted: Sequence[Answers], num_classes: int) -> tuple[Recall, ...]:
    """Return the recall of each class that has images, by class.

    Args:
        predicted: of each seed, at least one, on the same images.
        num_classes: K.
    """
    import numpy as np

    labels = np.concatenate([one.labels for one in predicted])
    classes = np.concatenate([one.classes for one in predicted])
    of_class = np.bincount(labels, minlength=num_classes)
    right = np.bincount(labels[labels == classes], minlength=num_classes)
    wrong = labels != classes
    pairs, counts = np.unique(labels[wrong] * num_classes + classes[wrong], return_counts=True)
    often: dict[int, tuple[int, int]] = {}
    for place in np.argsort(-counts, kind="stable").tolist():
        often.setdefault(int(pairs[place]) // num_classes, (int(pairs[place]) % num_classes, int(counts[place])))
    found = []
    for label in np.flatnonzero(of_class).tolist():
        images, share = round(of_class[label] / len(predicted)), float(right[label] / of_class[label])
        low, high = wilson(round(share * images), images)
        taken, count = often.get(label, (None, 0))
        found.append(
            Recall(
                label=label,
                recall=share,
                low=low,
                high=high,
                images=images,
                taken_for=taken,
                taken_share=count / int(of_class[label]),
            )
        )
    return tuple(found)


def calibration(predicted: Sequence[Answers]) -> tuple[Bin, ...]:
    """Return the bins of top-1 confidence that hold an image.

    Args:
        predicted: of each seed, at least one.
    """
    import numpy as np

    confidence = np.concatenate([one.confidence for one in predicted])
    right = np.concatenate([one.classes == one.labels for one in predicted])
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    place = np.searchsorted(edges[1:-1], confidence, side="left")
    images = np.bincount(place, minlength=CALIBRATION_BINS)
    correct = np.bincount(place, weights=right, minlength=CALIBRATION_BINS)
    total = np.bincount(place, weights=confidence, minlength=CALIBRATION_BINS)
    bins = []
    for i in np.flatnonzero(images).tolist():
        count, accuracy = int(images[i]), float(correct[i] / images[i])
        of_one = max(1, round(count / len(predicted)))
        low, high = wilson(round(accuracy * of_one), of_one)
        bins.append(
            Bin(
                low=float(edges[i]),
                high=float(edges[i + 1]),
                images=count,
                confidence=float(total[i] / count),
                accuracy=accuracy,
                accuracy_low=low,
                accuracy_high=high,
            )
        )
    return tuple(bins)


def histogram(processes: Sequence[Sequence[float]]) -> Histogram | None:
    """Count samples in bars of equal width from the smallest to the quantile `SHOWN_SHARE`.

    Args:
        processes: the samples of each process; the bars hold all of them together.

    Returns:
        None without samples.
    """
    import numpy as np

    samples = np.concatenate([np.asarray(one, dtype=np.float64) for one in processes]) if processes else np.empty(0)
    if not samples.size:
        return None
    low, high = float(samples.min()), float(np.quantile(samples, SHOWN_SHARE))
    shown = samples[samples <= high]
    # Equal samples are one bar of some width, and not forty of none.
    bins, end = (HISTOGRAM_BINS, high) if low < high else (1, low * 1.01)
    counts, edges = np.histogram(shown, bins=bins, range=(low, end))
    return Histogram(
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        beyond=int(samples.size - shown.size),
        largest=float(samples.max()),
        processes=len(processes),
    )
