"""Scores of images to measurements: a value, its interval, and what comparing two models on the same images needs.

The resamples of N images are the same for all models, so that scores of two models may be paired resample by resample:
B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13 (percentile intervals).

N images, K classes, B resamples.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitbench.array_files import load_arrays, write_arrays
from vitbench.errors import Skip, reason_of
from vitbench.protocols import ConfusionScore, ImageScores, Predictions, SampleScore
from vitbench.records import Measurement, Verdict
from vitbench.statistics import RESAMPLES, draws, percentiles, wilson

__all__ = ["Kept", "Score", "Scored", "load_scores", "save_scores", "scored"]

Score = ImageScores | ConfusionScore | SampleScore
Kept = dict[str, NDArray[Any]]
"""Arrays behind one measurement: ``scores`` bool[N] or float64[N]; or ``value`` float64, ``replicates`` float64[B], NaN
where a resample has none, and ``step`` float64, the most that one image's answer can change."""

SECONDS = 60.0
"""What the resamples of one score may take."""
FEWEST = 100
"""Resamples that an interval needs."""
UNDEFINED = 0.05
"""Share of the resamples that may have no value."""
LARGEST_MATRIX = 5000
"""Classes whose confusion matrix is made, which takes 200 MB then."""
STEPPED = 32
"""Classes, the rarest, of which one answer is changed on trial."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """What was made of a score."""

    measurement: Measurement
    kept: Kept


def scored(given: Score, predictions: Predictions, unit: str) -> Scored:
    """Return the measurement that a score makes, and what is kept for comparing models.

    Args:
        given: by a metric.
        predictions: that it was made of.
        unit: of the measurement; the interval of a fraction is cut to 0..1.

    Raises:
        TypeError, ValueError: the score is of another form.
        Skip: there are too many classes for a confusion matrix.
        Exception: whatever a metric's function raises on all images.
    """
    if isinstance(given, ImageScores):
        found = _of_images(given, len(predictions.labels))
    elif isinstance(given, ConfusionScore):
        found = _of_confusion(given, predictions)
    else:
        found = _of_samples(given.name, given.score, len(predictions.labels))
    one = found.measurement
    if unit != "fraction" or one.value is None or one.low is None or one.high is None or not 0 <= one.value <= 1:
        return found
    measurement = Measurement(
        name=one.name, value=one.value, low=max(0.0, one.low), high=min(1.0, one.high), n=one.n, verdict=one.verdict
    )
    return Scored(measurement=measurement, kept=found.kept)


def _of_images(given: ImageScores, n: int) -> Scored:
    values = np.asarray(given.values)
    if values.shape != (n,):
        raise ValueError(f"the scores of {given.name} have shape {values.shape}; ({n},) is needed, one for each image")
    if values.dtype == np.bool_:
        low, high = wilson(int(values.sum()), n)
        measurement = Measurement(name=given.name, value=float(values.mean()), low=low, high=high, n=n)
        return Scored(measurement=measurement, kept={"scores": values})
    if values.dtype.kind not in "fiu":
        raise TypeError(f"the scores of {given.name} are {values.dtype}; bool or float is needed")
    numbers = values.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise ValueError(f"the score of {given.name} for image {bad[0]} is {numbers[bad[0]]}, as are {bad.size} of {n}")
    value = float(numbers.mean()) + 0.0  # no negative zero
    interval = percentiles([numbers[drawn].mean() for drawn in draws(n)])
    measurement = _with(Measurement(name=given.name, value=value, n=n), interval, Verdict())
    return Scored(measurement=measurement, kept={"scores": numbers})


def _of_confusion(given: ConfusionScore, predictions: Predictions) -> Scored:
    classes = predictions.num_classes
    if classes > LARGEST_MATRIX:
        raise Skip(f"the confusion matrix of {classes} classes is too large: at most {LARGEST_MATRIX} have one")
    cells = predictions.labels * classes + predictions.top_classes[:, 0]

    def score(drawn: NDArray[np.intp]) -> float:
        return given.score(np.bincount(cells[drawn], minlength=classes * classes).reshape(classes, classes))

    found = _of_samples(given.name, score, len(cells))
    if found.kept:
        confusion = np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
        found.kept["step"] = np.float64(_step(given.score, confusion))  # type: ignore[assignment]
    return found


def _step(score: Callable[[NDArray[np.int64]], float], confusion: NDArray[np.int64]) -> float:
    """Return the most that another answer for one image changes a score, of the rarest classes that there are.

    A class with five images that are all missed has no spread in any resample, and yet the next five might not be.
    """
    value, largest = float(score(confusion.copy())), 0.0
    counts = confusion.sum(axis=1)
    rarest = [k for k in np.argsort(counts, kind="stable") if counts[k]][:STEPPED]
    for label in rarest:
        wrong = confusion[label].copy()
        wrong[label] = -1
        missed = int(wrong.argmax())  # the class that it is taken for most often
        for source, target in ((label, missed), (missed, label)):
            if confusion[label, source] and source != target:
                changed = confusion.copy()
                changed[label, source] -= 1
                changed[label, target] += 1
                try:
                    step = abs(float(score(changed)) - value)
                except Exception:  # as a resample that it is not defined on
                    continue
                largest = max(largest, step if math.isfinite(step) else 0.0)
    return largest


def _of_samples(name: str, score: Callable[[NDArray[np.intp]], float], n: int) -> Scored:
    started = time.monotonic()
    value = float(score(np.arange(n)))
    seconds = time.monotonic() - started
    measurement = Measurement(name=name, value=value, n=n)
    if not math.isfinite(value):
        return Scored(measurement=measurement, kept={})
    replicates, reason = _replicates(score, n, seconds)
    if not reason and np.isnan(replicates).mean() > UNDEFINED:
        reason = f"no interval: {np.isnan(replicates).mean():.0%} of the resamples of the images have no value"
    if reason:
        verdict = Verdict(level="warn", reasons=(reason,))
        return Scored(measurement=_with(measurement, None, verdict), kept={})
    verdict = Verdict()
    if len(replicates) < RESAMPLES:
        fewer = f"its interval rests on {len(replicates)} resamples of the images, which took {SECONDS:g} s"
        verdict = Verdict(reasons=(f"{fewer}; {RESAMPLES} are usual",))
    interval = percentiles(replicates[~np.isnan(replicates)])
    if interval is not None:  # a bias, as of a smallest of several, may leave the value outside
        interval = min(interval[0], value), max(interval[1], value)
    kept = {"value": np.float64(value), "replicates": replicates, "step": np.float64(0.0)}
    return Scored(measurement=_with(measurement, interval, verdict), kept=kept)  # type: ignore[arg-type]


def _with(one: Measurement, interval: tuple[float, float] | None, verdict: Verdict) -> Measurement:
    low, high = interval or (None, None)
    return Measurement(name=one.name, value=one.value, low=low, high=high, n=one.n, verdict=verdict)


def _replicates(score: Callable[[NDArray[np.intp]], float], n: int, seconds: float) -> tuple[NDArray[np.float64], str]:
    """Return a score's values on the resamples, float64[B] with NaN for what is not finite; or why there are none.

    Args:
        score: of intp[N].
        n: N.
        seconds: that one value took.
    """
    found: list[float] = []
    nothing = np.empty(0)
    if seconds * FEWEST > SECONDS:
        return nothing, f"no interval: one value takes {seconds:.1f} s, and an interval at least {FEWEST}"
    started = time.monotonic()
    for drawn in draws(n):
        try:
            value = float(score(drawn))
        except Exception as error:
            said = f"no interval: it failed on a resample of the images, which may lack a class: {reason_of(error)}"
            return nothing, said
        found.append(value if math.isfinite(value) else math.nan)
        if time.monotonic() - started > SECONDS:
            break
    if len(found) < FEWEST <= RESAMPLES:
        return nothing, f"no interval: {len(found)} resamples took {SECONDS:g} s, and it needs at least {FEWEST}"
    return np.array(found), ""


def save_scores(path: Path, scores: Mapping[str, Kept], predictions: Predictions) -> None:
    """Write what is kept of measurements, by their names, with a digest of the images that they are of.

    Raises:
        StoreError: the file cannot be written.
    """
    images = hashlib.sha256(predictions.labels.tobytes() + predictions.index.tobytes()).hexdigest()
    arrays: dict[str, Any] = {"images": np.array(images), "count": np.int64(len(predictions.labels))}
    for name, kept in scores.items():
        arrays |= {f"{name}/{part}": array for part, array in kept.items()}
    write_arrays(path, arrays)


def load_scores(path: Path) -> dict[str, Kept]:
    """Read what `save_scores` wrote.

    Raises:
        StoreError: the file is missing or damaged.
    """

    def taken(file: Any) -> dict[str, Kept]:
        found: dict[str, Kept] = {}
        for name, _, part in (member.rpartition("/") for member in file.files):
            if name:
                found.setdefault(name, {})[part] = file[f"{name}/{part}"]
        return found

    return load_arrays(path, taken)
