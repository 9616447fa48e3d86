"""Two models on the same images: how far they are apart, how sure that is, and what would say more. N images.

Interval of the difference of two shares that are right: T. Tango, "Equivalence test and confidence interval for the
difference in proportions for the paired-sample design", Statistics in Medicine 17 (1998). Several seeds, and scores
that are not right or wrong: `vitbench.statistics.crossed_margin`; values on resamples: `resampled_variances`
there.

Images that a larger test set would need: R. J. Connor, "Sample size for testing differences in proportions for the
paired-sample design", Biometrics 43 (1987).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from vitbench.leaderboard.image_scores import Known, Outcomes, Resampled
from vitbench.statistics import crossed_margin, mcnemar, mcnemar_gap, resampled_variances

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LEVEL", "POWER", "Disagreement", "PairedDifference", "images_needed", "paired_difference", "tango"]

LEVEL = 0.05
"""Chance of calling two models different that are not."""
POWER = 0.8
"""Chance that as many images as `images_needed` says show a difference that is there."""
_SMALLEST_P = 1e-12
"""Smaller p-values are not told from it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Disagreement:
    """Where two models' answers differ: positions of images in the test set."""

    first: tuple[int, ...]
    """Images that the first alone has right; of several seeds: that it has right in a larger share of its own."""
    second: tuple[int, ...]
    agreement: float
    """Share of the images that both have right, or both wrong, equally often."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedDifference:
    """The second model's mean score less the first's, on the same images."""

    value: float
    low: float | None
    """Lower end of the 95 % interval; None where the images are too few for any, or show no spread at all."""
    high: float | None
    p_value: float
    """Two-sided: McNemar's exact test for one seed each and answers that are right or wrong, else Student's t."""
    images: int
    seeds: tuple[int, int]
    alike: bool
    """Whether each image, or each resample, has the same score from both, of several seeds in the mean."""
    variance: float
    """Over images, of the differences of the mean scores."""
    seed_variances: tuple[float, float]
    """Of each model, over seeds, of the mean score; NaN for one seed."""
    freedom: float
    """Degrees of freedom of `variance`."""
    split: Disagreement | None
    """None where scores are not right or wrong."""
    level: float = LEVEL
    """The largest p-value that counts: less than `LEVEL` among several pairs that are judged together."""

    @property
    def resolvable(self) -> float | None:
        """The least difference that these images and seeds would call significant; None where none would be."""
        if self.seeds == (1, 1) and self.split is not None:
            gap = mcnemar_gap(len(self.split.first) + len(self.split.second), self.level) / self.images
            return gap if gap <= 1 else None
        margin = self._margin(self.variance, self.level)
        return margin if 0 < margin < math.inf else None  # an interval of no width would be wrong

    @property
    def of_seeds(self) -> float | None:
        """What of `resolvable` is due to the seeds, which more images would not reduce; None for one seed each."""
        return None if self.seeds == (1, 1) or self.resolvable is None else self._margin(0.0, self.level)

    @property
    def needed(self) -> int | None:
        """Images that would show a true difference of `value` in four of five cases; None for several seeds."""
        if self.seeds != (1, 1) or not self.value or not (self.split or self.variance):
            return None
        # Of right and wrong: if there were no difference, as often unlike.
        null_variance = self.variance + (self.value**2 if self.split else 0)
        return images_needed(self.value, null_variance, self.variance, self.level)

    def interval(self, level: float) -> tuple[float, float] | None:
        """Return the interval that misses the true difference with a chance of `level`; None where `low` is."""
        if self.low is None:
            return None
        if self.seeds == (1, 1) and self.split is not None:
            return tango(len(self.split.first), len(self.split.second), self.images, level)
        margin = self._margin(self.variance, level)
        return self.value - margin, self.value + margin

    def _margin(self, variance: float, level: float) -> float:
        """Return the difference that chance does not exceed, given the variance over images."""
        known = self.seed_variances, self.seeds, self.freedom
        return float(crossed_margin(level, variance, self.images, *known))


def paired_difference(first: Sequence[Known], second: Sequence[Known]) -> PairedDifference | None:
    """Compare two models, each with what is known of one or more seeds.

    Returns:
        None where there is nothing of either, or not all is of one kind and of the same images.
    """
    if not first or not second or len({(type(each), each.images) for each in (*first, *second)}) > 1:
        return None
    one, other = ([each for each in own if isinstance(each, Outcomes)] for own in (first, second))
    if not one:
        return _of_resamples(
            *([each for each in own if isinstance(each, Resampled)] for own in (first, second)),
        )
    scores, others = _over_seeds(one), _over_seeds(other)
    split = _split(scores, others) if all(each.scores.dtype == bool for each in (*one, *other)) else None
    if split is not None and len(one) == len(other) == 1:
        return _of_shares(split, len(scores))
    differences = others - scores
    variance = float(differences.var(ddof=1)) if len(differences) > 1 else 0.0
    return _of_means(float(differences.mean()), variance, one, other, alike=not differences.any(), split=split)


def _of_resamples(first: Sequence[Resampled], second: Sequence[Resampled]) -> PairedDifference:
    """Compare two models by their values on the same resamples of the images."""
    import numpy as np

    both = (first, second)
    fewest = min(len(each.replicates) for own in both for each in own)  # the first are the same draws
    replicates = np.stack([np.mean([each.replicates[:fewest] for each in own], axis=0) for own in both])
    values = np.array([np.mean([each.value for each in own]) for own in both])
    steps = np.array([max(each.step for each in own) for own in both])
    variance = float(resampled_variances(replicates, values, steps, first[0].size)[0, 1])
    alike = bool(values[0] == values[1]) and np.array_equal(replicates[0], replicates[1], equal_nan=True)
    return _of_means(float(values[1] - values[0]), variance, first, second, alike=alike, split=None)


def _split(first: NDArray[np.float64], second: NDArray[np.float64]) -> Disagreement:
    import numpy as np

    ahead, behind = np.flatnonzero(first > second), np.flatnonzero(second > first)
    agreement = 1 - (len(ahead) + len(behind)) / len(first)
    return Disagreement(first=tuple(ahead.tolist()), second=tuple(behind.tolist()), agreement=agreement)


def _of_shares(split: Disagreement, images: int) -> PairedDifference:
    """Compare two models of one seed each, whose answers are right or wrong."""
    only_first, only_second = len(split.first), len(split.second)
    low, high = tango(only_first, only_second, images)
    value, discordant = (only_second - only_first) / images, (only_first + only_second) / images
    return PairedDifference(
        value=value,
        low=low,
        high=high,
        p_value=float(mcnemar(only_first, only_second)),
        images=images,
        seeds=(1, 1),
        alike=not discordant,
        variance=discordant - value**2,
        seed_variances=(math.nan, math.nan),
        freedom=images - 1.0,
        split=split,
    )


def _of_means(
    value: float,
    variance: float,
    first: Sequence[Known],
    second: Sequence[Known],
    *,
    alike: bool,
    split: Disagreement | None,
) -> PairedDifference:
    """Compare two models by Student's t, with the errors of images and of seeds."""
    images, seeds = first[0].size, (len(first), len(second))
    of_seeds = _seed_variance(first), _seed_variance(second)
    freedom = min(each.freedom for each in (*first, *second))

    def margin(level: float) -> float:
        return float(crossed_margin(level, variance, images, of_seeds, seeds, freedom))

    widest = margin(LEVEL)
    known = 0 < widest < math.inf  # an interval of no width would be wrong
    return PairedDifference(
        value=value,
        low=value - widest if known else None,
        high=value + widest if known else None,
        p_value=_p_value(abs(value), margin),
        images=images,
        seeds=seeds,
        alike=alike,
        variance=variance,
        seed_variances=of_seeds,
        freedom=freedom,
        split=split,
    )


def _over_seeds(outcomes: Sequence[Outcomes]) -> NDArray[np.float64]:
    """Return the mean score of each image."""
    import numpy as np

    return np.stack([each.scores for each in outcomes]).mean(axis=0, dtype=np.float64)  # type: ignore[no-any-return]


def _seed_variance(known: Sequence[Known]) -> float:
    """Return the variance over seeds of the value; NaN for one seed."""
    import numpy as np

    return float(np.var([each.value for each in known], ddof=1)) if len(known) > 1 else math.nan


def _p_value(difference: float, margin: Callable[[float], float]) -> float:
    """Return the least level at which a difference lies beyond the margin, by bisection of its logarithm."""
    low, high = math.log(_SMALLEST_P), 0.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if difference > margin(math.exp(middle)) else (middle, high)
    return math.exp(high)


def tango(only_first: int, only_second: int, images: int, level: float = LEVEL) -> tuple[float, float]:
    """Return Tango's score interval of the second's share of right images less the first's.

    It holds all differences that a score test does not reject. McNemar's exact test is a little stricter than this
    test is at 0, so a p-value just above the level may go with an interval that just leaves 0 out.

    Args:
        only_first: images that the first alone has right.
        only_second: images that the second alone has right.
        images: all of them, at least 1.
        level: chance that the interval does not hold the true difference.
    """
    z = NormalDist().inv_cdf(1 - level / 2)
    value = (only_second - only_first) / images

    def score(difference: float) -> float:
        """Return how many standard errors, under this true difference, the observed one lies above it."""
        # The chance that the first alone is right, at its likeliest under this difference.
        b = (2 * images - only_second + only_first) * difference - only_first - only_second
        c = only_first * difference * (difference - 1)
        chance = (math.sqrt(max(b * b - 8 * images * c, 0.0)) - b) / (4 * images)
        variance = images * (2 * chance + difference * (1 - difference))
        above = images * (value - difference)
        return above / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, above)

    return _crossing(score, z, -1.0, value), _crossing(score, -z, value, 1.0)


def _crossing(score: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Return where a falling function takes a value, by bisection."""
    if low == high:  # 0 images wrong of one, all wrong of the other: the end of what is possible
        return low
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if score(middle) > wanted else (low, middle)
    return (low + high) / 2


def images_needed(difference: float, null_variance: float, variance: float, level: float = LEVEL) -> int:
    """Return how many images show a true difference with a chance of `POWER`.

    Args:
        difference: of the mean scores, not 0.
        null_variance: variance of an image's difference of scores if there were no difference: for right and wrong,
            the share of images on which the two disagree.
        variance: variance of an image's difference of scores.
        level: the largest p-value that counts.
    """
    of_level, of_power = NormalDist().inv_cdf(1 - level / 2), NormalDist().inv_cdf(POWER)
    return math.ceil(((of_level * math.sqrt(null_variance) + of_power * math.sqrt(variance)) / difference) ** 2)
