"""Values on several datasets to scores, and scores to ranks: which models differ significantly over these datasets.

A score is a weighted sum of values, so its squared error is the weighted sum of theirs: the images of each dataset by a
paired bootstrap (vitbench/boards/resampling.py), and the seeds of each model on each dataset. Both errors are taken
with Student's t of their own, with Satterthwaite's degrees of freedom over the datasets, and added up as
`vitbench.statistics.crossed_margin` does (Banerjee). Holm's correction runs over all pairs, since ranks rest on all.

F. E. Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics 2 (1946). Intervals
where nothing is known of single images, from those of the values: G. Y. Zou and A. Donner, "Construction of confidence
limits about effect measures: a general approach", Statistics in Medicine 27 (2008).

M models, D datasets.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitbench.boards.board import Score
from vitbench.boards.resampling import DatasetSample, variances
from vitbench.leaderboard.ranking import Standing
from vitbench.statistics import Estimate, holm, seed_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LEVEL", "Pairs", "Scorer", "Values", "score_weights", "standings"]

LEVEL = 0.05
_SMALLEST_P = 1e-12
"""Smaller p-values are not told from it."""


def score_weights(groups: Sequence[str], score: Score) -> NDArray[np.float64]:
    """Return what each dataset's value counts in a score, float64 ``[D]``, of sum 1.

    Args:
        groups: the group of each dataset; of a mean of groups all have one.
        score: a mean of groups counts each group alike, however many datasets it has.
    """
    import numpy as np

    sizes = Counter(groups)
    if score == "mean":
        return np.full(len(groups), 1 / len(groups))
    return np.array([1 / (len(sizes) * sizes[group]) for group in groups])


@dataclass(frozen=True, kw_only=True, slots=True)
class Values:
    """What M models have on D datasets, no value missing."""

    values: NDArray[np.float64]
    """[M, D], the mean over seeds."""
    low: NDArray[np.float64]
    """[M, D], lower ends of the intervals over images; NaN where not known."""
    high: NDArray[np.float64]
    seeds: NDArray[np.int64]
    """[M, D], their number."""
    seed_variances: NDArray[np.float64]
    """[M, D], from seed to seed; NaN for one."""
    samples: tuple[DatasetSample, ...]
    """D"""

    def on(self, places: NDArray[np.intp]) -> Values:
        """Return those of some of the datasets."""
        arrays = {name: getattr(self, name)[:, places] for name in ("values", "low", "high", "seeds", "seed_variances")}
        return Values(**arrays, samples=tuple(self.samples[place] for place in places))


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Each two of M models, the first before the second: i < j."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    difference: NDArray[np.float64]
    """The first's score less the second's, in the direction that is better."""
    margin: NDArray[np.float64]
    """Half of the width of its own 95 % interval; NaN where images cannot be paired."""
    p_values: NDArray[np.float64]
    """Each by itself; NaN likewise."""
    different: NDArray[np.bool_]
    """After Holm's correction; where images cannot be paired: whether the intervals are disjoint."""


class Scorer:
    """Scores, intervals and tests of some values under some weights.

    Args:
        values: of all models.
        weights: [D]; 0 leaves a dataset out.
        sign: 1 where higher is better, -1 where lower is.
        bounds: between which any score lies; infinite where nothing says.
    """

    def __init__(
        self,
        values: Values,
        weights: NDArray[np.float64],
        *,
        sign: int = 1,
        bounds: tuple[float, float] = (-math.inf, math.inf),
    ) -> None:
        import numpy as np

        used = np.flatnonzero(weights)
        self._values, self._weights = values.on(used), weights[used]
        self._sign, self._bounds = sign, bounds
        self.scores: NDArray[np.float64] = self._values.values @ self._weights
        self._images = [self._together(digest) for digest in dict.fromkeys(s.digest for s in self._values.samples)]
        self._known = np.logical_and.reduce([sample.known for sample in self._values.samples])

    def estimates(self) -> list[Estimate]:
        """Return the scores with their 95 % intervals; without one where nothing is known of the error."""
        import numpy as np

        below, above = self._half_widths()
        low = np.maximum(self.scores - below, self._bounds[0])
        high = np.minimum(self.scores + above, self._bounds[1])
        sure = np.isfinite(below) & np.isfinite(above)
        return [
            Estimate(
                value=float(score), low=float(low[i]) if sure[i] else None, high=float(high[i]) if sure[i] else None
            )
            for i, score in enumerate(self.scores)
        ]

    def pairs(self) -> Pairs:
        """Test each two models."""
        import numpy as np

        i, j = np.triu_indices(len(self.scores), 1)
        difference = self._sign * (self.scores[i] - self.scores[j])
        errors = self._pair_errors(i, j)
        paired = self._known[i] & self._known[j]
        below, above = self._half_widths()
        down, up = (below, above) if self._sign > 0 else (above, below)
        # A pair whose images are not the same differs where the intervals are disjoint.
        reach = np.where(difference > 0, down[i] + up[j], up[i] + down[j])
        apart = ~paired & (np.abs(difference) > np.nan_to_num(reach, nan=np.inf))
        different = apart.copy()
        tested = np.flatnonzero(paired)
        size = np.abs(difference[tested])
        own = errors.of(tested)
        different[tested] = holm(lambda level: size > own.margin(level), len(tested), LEVEL) if len(tested) else False
        margin, p_values = np.full(len(i), np.nan), np.full(len(i), np.nan)
        margin[tested], p_values[tested] = own.margin(LEVEL), own.p_values(size)
        return Pairs(first=i, second=j, difference=difference, margin=margin, p_values=p_values, different=different)

    def _together(self, digest: str) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return what the images of one digest add to the squared errors: of pairs, of scores; and the freedom.

        A model's answers for one image on two datasets, as of one task with more training images, go up and down
        together: resamples of both are drawn together.
        """
        import numpy as np

        parts = [(s, w) for s, w in zip(self._values.samples, self._weights, strict=True) if s.digest == digest]
        fewest = min(sample.replicates.shape[1] for sample, _ in parts)  # the first are the same draws
        replicates = np.sum([weight * sample.replicates[:, :fewest] for sample, weight in parts], axis=0)
        steps = np.sum([weight * sample.steps for sample, weight in parts], axis=0)
        return *variances(replicates, steps), np.min([sample.freedom for sample, _ in parts], axis=0)

    def _half_widths(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how far below and above each score its interval reaches, [M] each; NaN where not known."""
        import numpy as np

        v, weights = self._values, self._weights
        seeds = _combined(np.nan_to_num(v.seed_variances) / v.seeds * weights**2, np.maximum(v.seeds - 1.0, 1.0))
        images = _combined(
            np.stack([alone for _, alone, _ in self._images], axis=1),
            np.stack([freedom for *_, freedom in self._images], axis=1),
        )
        of_images = _Errors(images, seeds).margin(LEVEL)
        of_seeds = _Errors((np.zeros_like(images[0]), images[1]), seeds).margin(LEVEL)
        below, above = (
            np.hypot(np.sqrt((((ends - v.values) * weights) ** 2).sum(axis=1)), of_seeds) for ends in (v.low, v.high)
        )
        return np.where(self._known, of_images, below), np.where(self._known, of_images, above)

    def _pair_errors(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> _Errors:
        import numpy as np

        v, weights = self._values, self._weights
        images = np.stack([pairs[i, j] for pairs, *_ in self._images], axis=1)
        freedom = np.stack([np.minimum(freedom[i], freedom[j]) for *_, freedom in self._images], axis=1)
        squared, of_seeds = seed_error((v.seed_variances[i], v.seed_variances[j]), (v.seeds[i], v.seeds[j]))
        return _Errors(_combined(images, freedom), _combined(squared * weights**2, of_seeds))


@dataclass(frozen=True, slots=True)
class _Errors:
    """Squared errors of the images and of the seeds, each with its degrees of freedom: of P scores or differences."""

    images: tuple[NDArray[np.float64], NDArray[np.float64]]
    seeds: tuple[NDArray[np.float64], NDArray[np.float64]]

    def of(self, places: NDArray[np.intp]) -> _Errors:
        """Return those of some of them."""
        return _Errors(
            images=(self.images[0][places], self.images[1][places]),
            seeds=(self.seeds[0][places], self.seeds[1][places]),
        )

    def margin(self, level: Any) -> NDArray[np.float64]:
        """Return what chance does not exceed but at some level, a number or one of each."""
        import numpy as np
        from scipy.special import stdtrit

        parts = [stdtrit(freedom, 1 - level / 2) ** 2 * squared for squared, freedom in (self.images, self.seeds)]
        found: NDArray[np.float64] = np.sqrt(parts[0] + parts[1])
        return found

    def p_values(self, differences: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the least levels at which differences lie beyond the margin, by bisection of their logarithms."""
        import numpy as np

        low, high = np.full(len(differences), math.log(_SMALLEST_P)), np.zeros(len(differences))
        for _ in range(40):
            middle = (low + high) / 2
            beyond = differences > self.margin(np.exp(middle))
            low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
        return np.exp(high)


def _combined(
    squared: NDArray[np.float64], freedom: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add squared errors of D datasets, [P, D]; return the sums and their degrees of freedom, [P] (Satterthwaite)."""
    import numpy as np

    total = squared.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = total**2 / (squared**2 / freedom).sum(axis=1)
    return total, np.maximum(np.nan_to_num(found, nan=1.0, posinf=1.0), 1.0)


def standings(pairs: Pairs, models: int) -> list[Standing]:
    """Return the ranges of ranks that the significant differences leave."""
    import numpy as np

    beats = np.zeros((models, models), dtype=bool)
    beats[pairs.first, pairs.second] = pairs.different & (pairs.difference > 0)
    beats[pairs.second, pairs.first] = pairs.different & (pairs.difference < 0)
    first, last = 1 + beats.sum(axis=0), models - beats.sum(axis=1)
    alike = ~(beats | beats.T | np.eye(models, dtype=bool))
    return [
        Standing(rank=int(first[i]), rank_last=int(last[i]), ties=tuple(np.flatnonzero(alike[i]).tolist()))
        for i in range(models)
    ]
