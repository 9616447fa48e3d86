"""What the images of one dataset say of all models: values on bootstrap resamples that are the same for all of them.

Paired bootstrap: B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 6: the spread of a
statistic over resamples is its standard error. The resamples of different datasets are independent of one another.

M models, N images, B resamples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitbench.leaderboard.image_scores import Known, Outcomes, Resampled
from vitbench.records import digest
from vitbench.statistics import RESAMPLES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DatasetSample", "resampled_means", "sample_of", "unknown_sample", "variances"]

COUNTED = 2**22
"""Counts of images that are held at once, 16 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSample:
    """The models of one dataset on the same resamples of its images."""

    images: int
    """N; 0 where nothing is known of single images."""
    digest: str
    """Of the images: datasets of one digest are judged on the same ones, and resampled together."""
    known: NDArray[np.bool_]
    """[M]; what the others have below says nothing."""
    replicates: NDArray[np.float64]
    """[M, B], each model's value on the resamples; NaN where one has none."""
    steps: NDArray[np.float64]
    """[M], the most that another answer for one image would change the value."""
    freedom: NDArray[np.float64]
    """[M], degrees of freedom of the variance over images."""


def sample_of(knowns: Sequence[tuple[Known, ...]], fingerprint: str = "") -> DatasetSample:
    """Resample the images of a dataset for all models at once.

    Args:
        knowns: of each model, of each of its seeds; empty where nothing is known of its images. Models that are known
            in another way, or on other images, than most are taken for unknown.
        fingerprint: of the dataset: what is known of the images are their labels and places, which two may share.
    """
    import numpy as np

    kinds = [{(type(each), each.images) for each in own} for own in knowns]
    counts = Counter(next(iter(kind)) for kind in kinds if len(kind) == 1)
    if not counts:
        return unknown_sample(len(knowns))
    [(commonest, _)] = counts.most_common(1)
    known = np.array([kind == {commonest} for kind in kinds])
    sample = [own for own, kind in zip(knowns, kinds, strict=True) if kind == {commonest}]
    steps, freedom = np.zeros(len(knowns)), np.ones(len(knowns))
    images = digest((fingerprint, sample[0][0].images))
    drawn, steps[known] = _replicates(sample, int(images[:16], 16))
    replicates = np.zeros((len(knowns), drawn.shape[1]))
    replicates[known] = drawn
    freedom[known] = [min([each.freedom for each in seeds] + [drawn.shape[1] - 1.0]) for seeds in sample]
    return DatasetSample(
        images=sample[0][0].size,
        digest=images,
        known=known,
        replicates=replicates,
        steps=steps,
        freedom=freedom,
    )


def unknown_sample(models: int) -> DatasetSample:
    """Return what says nothing of the images of a dataset."""
    import numpy as np

    nothing = np.zeros(models)
    return DatasetSample(
        images=0,
        digest="",
        known=nothing.astype(bool),
        replicates=np.zeros((models, RESAMPLES)),
        steps=nothing,
        freedom=nothing + 1,
    )


def variances(
    replicates: NDArray[np.float64], steps: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the squared errors of the differences of each two models' values, [M, M], and of the values, [M].

    No image of a sample may show what the next one would, as of models that are always right: none is taken for
    smaller than another answer for one image would make it. Resamples without a value for all models are left out;
    where these are most, nothing is known.

    Args:
        replicates: float64 ``[M, B]``.
        steps: float64 ``[M]``.
    """
    import numpy as np

    whole = replicates[:, ~np.isnan(replicates).any(axis=0)]
    size, count = whole.shape
    if count < max(2, replicates.shape[1] / 2):
        return np.full((size, size), np.inf), np.full(size, np.inf)
    centred = whole - whole.mean(axis=1, keepdims=True)
    products = centred @ centred.T / (count - 1)
    own = products.diagonal()
    least = np.maximum(steps[:, None], steps[None, :]) ** 2
    return np.maximum(own[:, None] + own[None, :] - 2 * products, least), np.maximum(own, steps**2)


def resampled_means(scores: NDArray[np.floating[Any]], seed: int) -> NDArray[np.float64]:
    """Return the means of M models' scores over B samples of the N images, float64 ``[M, B]``.

    Each sample is of N images, drawn with replacement, the same for all models: how often each image was drawn
    multiplies the scores.

    Args:
        scores: float ``[M, N]``.
        seed: of the draws.
    """
    import numpy as np

    size = scores.shape[1]
    means = scores.mean(axis=1, dtype=np.float64)
    centred = (scores - means[:, None]).astype(np.float32)  # so that float32 rounds the spread, not the mean
    random = np.random.default_rng(seed)
    found = np.empty((len(scores), RESAMPLES))
    at_once = max(1, COUNTED // size)
    for start in range(0, RESAMPLES, at_once):
        drawn = range(start, min(start + at_once, RESAMPLES))
        counts = np.empty((len(drawn), size), dtype=np.float32)
        for row in counts:
            row[:] = np.bincount(random.integers(size, size=size), minlength=size)
        found[:, drawn.start : drawn.stop] = centred @ counts.T
    result: NDArray[np.float64] = found / size + means[:, None]
    return result


def _replicates(sample: Sequence[tuple[Known, ...]], seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each model's value on the resamples, [M, B], and the most that one image's answer can change it, [M]."""
    import numpy as np

    scores = [[each for each in own if isinstance(each, Outcomes)] for own in sample]
    if scores[0]:
        means = np.stack([np.mean([each.scores for each in own], axis=0, dtype=np.float32) for own in scores])
        steps = [max(float(np.ptp(each.scores.astype(np.float32))) for each in own) or 1.0 for own in scores]
        return resampled_means(means, seed), np.array(steps) / means.shape[1]
    replicates = [[each for each in own if isinstance(each, Resampled)] for own in sample]
    fewest = min(len(each.replicates) for own in replicates for each in own)  # the first are the same draws
    found = np.stack([np.mean([each.replicates[:fewest] for each in own], axis=0) for own in replicates])
    # All datasets of N images have the same stored draws.
    found = found[:, np.random.default_rng(seed).permutation(fewest)]
    return found, np.array([max(each.step for each in own) for own in replicates])
