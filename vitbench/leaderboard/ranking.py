"""Estimates to ranks: which of several models differ significantly, and so how far down or up each may stand.

A model's rank is a range: 1 + the number of models that are significantly better, to all but those that are
significantly worse. Any two models that are known on the same images are tested on these images; Holm's correction runs
over all of these pairs, since the ranks rest on all of them. Figures of several processes each are told apart by these
(vitbench/leaderboard/processes.py), with Holm's correction, too. Other pairs differ where their intervals are disjoint.

What is known is a score of each image, or the value on resamples of the images that are the same for all models: the
variance of a pair's differences then comes from the images, or from the resamples (B. Efron and R. Tibshirani, An
Introduction to the Bootstrap (1993), section 6.2: the standard error of any statistic).

M models, P paired ones among them, N images, B resamples.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import TYPE_CHECKING, Any, Literal

from vitbench.leaderboard.image_scores import Known, Outcomes, Resampled
from vitbench.leaderboard.processes import LEVEL, Processes, comparable, tell_p_values
from vitbench.statistics import crossed_margin, holm, mcnemar, mcnemar_gap, resampled_variances

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Entry", "Ranking", "Resolution", "Standing", "rank"]

ROUNDING = 1e-14
"""Of the scores' sums of squares, what may be noise of their own float32 or of sums of products."""
CHUNK = 4096
"""Images that are multiplied at once, which bounds the float64 copies."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What is known of one model's value."""

    value: float
    low: float
    """Lower end of an interval that holds all errors: the value itself where it is exact, infinite where not known."""
    high: float
    outcomes: tuple[Known, ...] = ()
    """Of each seed, all on the same images; empty where nothing is known of them."""
    processes: Processes | None = None
    """Of a figure of several processes; its interval then says nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where one of several models stands among them."""

    rank: int
    """1 + the number of models that are significantly better."""
    rank_last: int
    """All models but those that are significantly worse."""
    ties: tuple[int, ...]
    """Positions of the others that cannot be told apart from it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """What paired tests on a test set can tell."""

    gap: float | None
    """The smallest difference that is significant at Holm's first and strictest step between models which disagree as
    neighbours in this ranking do (the lower median, so that one far-off baseline does not set it); None where no
    difference would be."""
    models: int
    """P"""
    images: int
    """N"""

    @property
    def pairs(self) -> int:
        """Number of tests."""
        return math.comb(self.models, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Standings in the order of the entries."""

    standings: tuple[Standing, ...]
    resolution: Resolution | None
    """None where no two models could be paired."""


def rank(entries: Sequence[Entry], better: Literal["higher", "lower"]) -> Ranking:
    """Rank models of which some cannot be told apart."""
    import numpy as np

    sign = 1 if better == "higher" else -1
    ends = np.array([sorted((sign * entry.low, sign * entry.high)) for entry in entries]).reshape(-1, 2)
    beats = ends[:, None, 0] > ends[None, :, 1]
    paired = _pairable(entries)
    resolution = None
    if len(paired) > 1:
        sample = _Sample.of([entries[i].outcomes for i in paired])
        beats[np.ix_(paired, paired)] = _better(sample, sign)
        resolution = Resolution(gap=_gap(sample), models=len(paired), images=sample.images)
    beats |= _faster(entries, sign)
    first, last = 1 + beats.sum(axis=0), len(entries) - beats.sum(axis=1)
    alike = ~(beats | beats.T | np.eye(len(entries), dtype=bool))
    standings = [
        Standing(rank=int(first[i]), rank_last=int(last[i]), ties=tuple(np.flatnonzero(alike[i]).tolist()))
        for i in range(len(entries))
    ]
    return Ranking(standings=tuple(standings), resolution=resolution)


def _faster(entries: Sequence[Entry], sign: int) -> NDArray[np.bool_]:
    """Return bool [M, M]: whether the row's figure is told apart from the column's by their processes, and better."""
    import numpy as np

    found = np.zeros((len(entries), len(entries)), dtype=bool)
    places = [i for i, entry in enumerate(entries) if entry.processes is not None]
    figures = [entry.processes for entry in entries if entry.processes is not None]
    if len(figures) < 2:
        return found
    i, j = np.nonzero(np.triu(comparable(figures), 1))
    if not len(i):
        return found
    p_values = tell_p_values(figures)[i, j]
    different = holm(lambda level: p_values <= level, len(i), LEVEL)
    values = sign * np.array([entries[place].value for place in places])
    i, j = i[different], j[different]
    first, second = np.where(values[i] > values[j], i, j), np.where(values[i] > values[j], j, i)
    found[np.array(places)[first], np.array(places)[second]] = True
    return found


def _pairable(entries: Sequence[Entry]) -> list[int]:
    """Return the positions of those that are known in one way on the same images, of the commonest where these differ.

    A metric's new code may give scores of images where resamples were.
    """
    seen = [{(type(known), known.images) for known in entry.outcomes} for entry in entries]
    counts = Counter(next(iter(images)) for images in seen if len(images) == 1)
    if not counts:
        return []
    [(commonest, _)] = counts.most_common(1)
    return [i for i, images in enumerate(seen) if images == {commonest}]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sample:
    """All that the tests of all pairs need: means, what the images say, and what the seeds say."""

    images: int
    means: NDArray[np.float64]
    """[P], over images and seeds."""
    products: NDArray[np.float64]
    """[P, P], sums over images of products of means over seeds. Not used of resamples."""
    variances: NDArray[np.float64]
    """[P, P], over images, of the differences of means over seeds."""
    seeds: NDArray[np.int64]
    """[P]"""
    seed_variances: NDArray[np.float64]
    """[P], of the mean over images; NaN for one seed."""
    freedom: NDArray[np.float64]
    """[P], degrees of freedom of the variance over images."""
    exact: NDArray[np.bool_]
    """[P], one seed with each image right or wrong: McNemar's test applies."""

    def discordant(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the number of images that one of two models alone has right."""
        own = self.products.diagonal()
        found: NDArray[np.float64] = own[i] + own[j] - 2 * self.products[i, j]
        return found

    @classmethod
    def of(cls, known: Sequence[tuple[Known, ...]]) -> _Sample:
        import numpy as np

        over_images = [[each.value for each in own] for own in known]
        means = np.array([np.mean(values) for values in over_images])
        images = known[0][0].size
        scores = [own for own in known if isinstance(own[0], Outcomes)]
        products = _products(_over_seeds(scores)) if scores else np.zeros((len(known), len(known)))  # type: ignore[arg-type]
        return cls(
            images=images,
            means=means,
            products=products,
            variances=_over_images(products, means, images) if scores else _over_resamples(known, means),  # type: ignore[arg-type]
            seeds=np.array([len(own) for own in known]),
            seed_variances=np.array([np.var(m, ddof=1) if len(m) > 1 else math.nan for m in over_images]),
            freedom=np.array([min(each.freedom for each in own) for own in known]),
            exact=np.array(
                [len(own) == 1 and isinstance(own[0], Outcomes) and own[0].scores.dtype == np.bool_ for own in known]
            ),
        )


def _over_seeds(known: Sequence[tuple[Outcomes, ...]]) -> list[NDArray[Any]]:
    """Return each model's mean score of each image."""
    import numpy as np

    return [own[0].scores if len(own) == 1 else np.mean([each.scores for each in own], axis=0) for own in known]


def _over_images(products: NDArray[np.float64], means: NDArray[np.float64], images: int) -> NDArray[np.float64]:
    """Return [P, P], the variance over images of the differences of each pair."""
    import numpy as np

    own, apart = products.diagonal(), means[:, None] - means[None, :]
    squares = own[:, None] + own[None, :]
    centred = squares - 2 * products - images * apart**2
    # Rounding leaves anything between models that say nearly the same, and from nothing noise would be significant.
    found: NDArray[np.float64] = np.maximum(centred, ROUNDING * squares * (apart != 0)) / max(images - 1, 1)
    return found


def _over_resamples(known: Sequence[tuple[Resampled, ...]], means: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    fewest = min(len(each.replicates) for own in known for each in own)  # the first are the same draws
    replicates = np.stack([np.mean([each.replicates[:fewest] for each in own], axis=0) for own in known])
    steps = np.array([max(each.step for each in own) for own in known])
    return resampled_variances(replicates, means, steps, known[0][0].size)


def _products(scores: Sequence[NDArray[np.generic]]) -> NDArray[np.float64]:
    import numpy as np

    total = np.zeros((len(scores), len(scores)))
    for start in range(0, len(scores[0]), CHUNK):
        part = np.stack([own[start : start + CHUNK] for own in scores]).astype(np.float64)
        total += part @ part.T
    return total


def _better(sample: _Sample, sign: int) -> NDArray[np.bool_]:
    """Return bool [P, P]: whether the model of the row is significantly better than that of the column."""
    import numpy as np

    size = len(sample.means)
    i, j = np.triu_indices(size, 1)
    difference = sign * (sample.means[i] - sample.means[j])
    exact = sample.exact[i] & sample.exact[j]
    p_values = _mcnemar(sample, i[exact], j[exact])

    def significant(level: float) -> NDArray[np.bool_]:
        found = np.abs(difference) > 0
        found[exact] &= p_values <= level
        found[~exact] &= np.abs(difference[~exact]) > _margins(sample, i[~exact], j[~exact], level)
        return found

    different = holm(significant, len(i), LEVEL)
    better = np.zeros((size, size), dtype=bool)
    better[i, j] = different & (difference > 0)
    better[j, i] = different & (difference < 0)
    return better


def _mcnemar(sample: _Sample, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
    import numpy as np

    discordant, more = sample.discordant(i, j), sample.images * (sample.means[i] - sample.means[j])
    return mcnemar(np.rint((discordant + more) / 2), np.rint((discordant - more) / 2))


def _margins(sample: _Sample, i: NDArray[np.intp], j: NDArray[np.intp], level: float) -> NDArray[np.float64]:
    import numpy as np

    of_seeds = sample.seed_variances[i], sample.seed_variances[j]
    seeds = sample.seeds[i], sample.seeds[j]
    freedom = np.minimum(sample.freedom[i], sample.freedom[j])
    return crossed_margin(level, sample.variances[i, j], sample.images, of_seeds, seeds, freedom)


def _gap(sample: _Sample) -> float | None:
    """Return the smallest difference that could be resolved between neighbours; see `Resolution`."""
    import numpy as np

    level = LEVEL / math.comb(len(sample.means), 2)
    order = np.argsort(sample.means)
    i, j = order[:-1], order[1:]
    if sample.exact.all():
        discordant = median_low(np.rint(sample.discordant(i, j)).astype(int).tolist())
        gap = mcnemar_gap(discordant, level) / sample.images
        return gap if gap <= 1 else None
    gap = float(np.quantile(_margins(sample, i, j, level), 0.5, method="lower"))
    return gap if math.isfinite(gap) else None
