"""Intervals and tests: what may be said of figures that rest on a sample. N images, B resamples.

Wilson's score interval: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
JASA 22 (1927), equation 4; Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", Statistical
Science 16 (2001), recommend it for its coverage near 0 and 1, where the normal interval has none.

Bootstrap: B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13, percentile intervals.

Two models on the same images: Q. McNemar, "Note on the sampling error of the difference between correlated proportions
or percentages", Psychometrika 12 (1947), in its exact form. Several seeds: A. B. Owen, "The pigeonhole bootstrap",
Annals of Applied Statistics 1 (2007): seeds and images are resampled apart from one another, and the squared errors add
up; S. K. Banerjee, "Approximate confidence interval for linear functions of means of k populations when the population
variances are not equal", Sankhya 22 (1960): how to add errors of which some are badly known. Many pairs: S. Holm, "A
simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979).

Two figures of a few processes each: B. L. Welch, "The generalization of 'Student's' problem when several different
population variances are involved", Biometrika 34 (1947).

Interval of a ratio of speeds: T. Kalibera and R. Jones, "Rigorous benchmarking in reasonable time", ISMM 2013: where
samples are nested, the figures of the highest level, here of pairs of processes, are what the interval rests on.
Looking again after each pair: S. J. Pocock, "Group sequential methods in the design and analysis of clinical trials",
Biometrika 64 (1977): the same, higher level at each look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Estimate",
    "Finding",
    "bootstrap",
    "bootstrap_interval",
    "crossed_margin",
    "draws",
    "freedom_of",
    "holm",
    "judge",
    "mcnemar",
    "mcnemar_gap",
    "percentiles",
    "pool",
    "process_mean",
    "process_ratio",
    "ratio_interval",
    "resampled_variances",
    "seed_error",
    "welch_p_values",
    "wilson",
]

Finding = Literal["faster", "slower", "same", "not resolved"]
"""What a ratio of speeds shows; see `judge`."""

LOOK_CONFIDENCE = 0.988
"""Level of each of up to eight looks (after 3 to 10 pairs of processes), for 95 % over all of them. Simulated at a true
difference of exactly the threshold, the worst case: the interval at which the looks end misses the truth in 5 % of
cases, half of them on the side that is called different. At 95 % for each look it would be 17 %."""
RESAMPLES = 1000
"""Ends of a 95 % percentile interval then vary by about a tenth of the standard error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A value with its interval."""

    value: float
    """The figure."""
    low: float | None = None
    """Lower end of its interval; None: not known."""
    high: float | None = None
    """Its upper end."""
    spread: float | None = None
    """Standard deviation over repetitions; None for a single one."""


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided Wilson score interval of a proportion; low is exactly 0 at 0 successes, high 1 at n.

    Args:
        successes: how many of the n.
        n: at least 1.
        confidence: the level, above 0 and below 1.

    Raises:
        ValueError: n is not positive, successes lie outside 0..n, or confidence outside (0, 1).
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"a proportion needs 0 <= successes <= n and n >= 1, not {successes} of {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    from scipy.special import ndtri

    z = float(ndtri(0.5 + confidence / 2))
    proportion = successes / n
    shrink = 1 + z * z / n
    centre = (proportion + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(proportion * (1 - proportion) / n + z * z / (4 * n * n))
    # At the ends the formula gives 0 and 1 up to rounding only.
    return (0.0 if successes == 0 else centre - half, 1.0 if successes == n else centre + half)


def pool(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of repetitions on one sample, such as seeds on one test set, with its two errors apart.

    `low` and `high` are the means of theirs: the error of the sample, which all repetitions share, so that more of them
    do not make it smaller. `spread` is the standard deviation from one repetition to another.
    """
    if len(estimates) == 1:
        return estimates[0]
    values = [e.value for e in estimates]
    lows = [e.low for e in estimates if e.low is not None]
    highs = [e.high for e in estimates if e.high is not None]
    complete = len(lows) == len(highs) == len(values)
    return Estimate(
        value=fmean(values),
        low=fmean(lows) if complete else None,
        high=fmean(highs) if complete else None,
        spread=stdev(values),
    )


def draws(n: int) -> Iterator[NDArray[np.intp]]:
    """Yield `RESAMPLES` samples of n things with replacement: intp ``[n]``, the same at each call."""
    import numpy as np

    random = np.random.default_rng(0)
    for _ in range(RESAMPLES):
        yield random.integers(n, size=n)


def bootstrap(statistic: Callable[[NDArray[np.intp]], float | NDArray[np.float64]], n: int) -> NDArray[np.float64]:
    """Return a statistic of 1000 resamples of n things, each drawn from these n with replacement.

    The draws are the same at each call.

    Args:
        statistic: takes intp ``[n]``, the positions of the things that were drawn; gives a number or an array.
        n: at least 1.

    Returns:
        float64 ``[1000, ...]``
    """
    import numpy as np

    return np.array([statistic(drawn) for drawn in draws(n)], dtype=np.float64)


def bootstrap_interval(statistic: Callable[[NDArray[np.intp]], float], n: int) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of a statistic of n things; see `bootstrap` and `percentiles`."""
    return percentiles(bootstrap(statistic, n))


def percentiles(replicates: ArrayLike) -> tuple[float, float] | None:
    """Return the 95 % percentile interval that a statistic's values on resamples give.

    Returns:
        Low and high; None where all samples give the same, as with one image or a model that is always right: these
        say nothing about the spread, and an interval of no width would be wrong.
    """
    import numpy as np

    low, high = np.quantile(np.asarray(replicates, dtype=np.float64), [0.025, 0.975])
    return (float(low), float(high)) if low < high else None


def mcnemar(only_first: ArrayLike, only_second: ArrayLike) -> NDArray[np.float64]:
    """Return the two-sided p-values of McNemar's exact test: a binomial test of 1/2.

    Args:
        only_first: images that only the first model classifies correctly; a count, or an array of any shape.
        only_second: images that only the second model classifies correctly; the same shape.

    Returns:
        float64 of that shape; 1 if no image tells the two apart.
    """
    import numpy as np
    from scipy.special import bdtr

    first, second = (np.asarray(count, dtype=np.int64) for count in (only_first, only_second))
    tail: NDArray[np.float64] = bdtr(np.minimum(first, second).astype(np.float64), first + second, 0.5)
    return np.minimum(1.0, 2 * tail)


def mcnemar_gap(discordant: int, level: float) -> int:
    """Return the smallest difference, in images, that `mcnemar` calls significant at a given level.

    Args:
        discordant: images that one of the two models alone has right; where these are too few for any difference to be
            significant, the fewest that suffice stand in for them, all on one side.
        level: the largest p-value that counts.
    """
    import numpy as np

    total = max(discordant, _fewest(level))
    minority = np.arange(total // 2 + 1)
    return total - 2 * int(np.flatnonzero(mcnemar(total - minority, minority) <= level)[-1])


def crossed_margin(
    level: float,
    image_variance: ArrayLike,
    images: int,
    seed_variances: tuple[ArrayLike, ArrayLike],
    seeds: tuple[ArrayLike, ArrayLike],
    image_freedom: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Return the largest difference of two models' means, over the same images and own seeds, that chance explains.

    The squared error is that of the images plus that of both models' seeds, as in a bootstrap over seeds and images
    together, except for its noise. (What is due to one seed and one image is in both: counted twice, in the
    bootstrap three times, so that the margin is rather too wide.) The quantiles of a bootstrap of two or three seeds
    would be far too narrow: each error is taken with a quantile of its own, Student's t, for the seeds with Welch's
    degrees of freedom. The level of the sum is then at least the one asked for (Banerjee). All arguments but `level`
    and `images` are numbers or arrays of one shape.

    Args:
        level: probability that a difference due to chance alone lies beyond the margin.
        image_variance: variance over images of the paired differences of means over seeds.
        images: N; infinite margins where these are too few for the level, even if all took one side.
        seed_variances: of each model, the variance over seeds of its mean over images; NaN for one seed, which is
            taken to vary as the other model's do, and as not varying where both have one.
        seeds: of each model, their number.
        image_freedom: degrees of freedom of `image_variance`; None: N - 1.
    """
    import numpy as np
    from scipy.special import stdtrit

    variances = np.asarray(image_variance, dtype=np.float64)
    if images < _fewest(level):
        return np.full_like(variances, math.inf)
    squared, freedom = seed_error(seed_variances, seeds)
    known = images - 1 if image_freedom is None else np.asarray(image_freedom, dtype=np.float64)
    of_images = stdtrit(known, 1 - level / 2) ** 2 * variances / images
    of_seeds = stdtrit(freedom, 1 - level / 2) ** 2 * squared
    margin: NDArray[np.float64] = np.sqrt(of_images + of_seeds)
    return margin


def freedom_of(scores: ArrayLike) -> float:
    """Return the degrees of freedom of the variance of N scores, estimated from their kurtosis: at most N - 1.

    If a few images account for most of the variance, as the six of a rare class do in an area under its ROC curve, it
    is known only as well as from these few, and Student's t with N - 1 degrees of freedom finds differences in noise.
    """
    import numpy as np

    values: NDArray[np.float64] = np.asarray(scores, dtype=np.float64)
    squares = (values - values.mean()) ** 2
    variance = float(squares.mean())
    if variance == 0:
        return len(values) - 1.0
    excess = float(((squares / variance) ** 2).mean()) - 1  # kurtosis less one: 2 of a normal distribution
    return min(len(values) - 1.0, 2 * len(values) / max(excess, 1e-9))


def resampled_variances(
    replicates: NDArray[np.float64], values: NDArray[np.float64], steps: NDArray[np.float64], images: int
) -> NDArray[np.float64]:
    """Return the variance over images that each two models' values on the same resamples speak of, float64 ``[P, P]``.

    That is N times the variance of their differences, so that `crossed_margin` takes it as that of a mean over images.
    A bootstrap can't show what no image of the sample shows: models that are always right, always wrong, or wrong on
    all of a class's few images have no spread in it, and there would be certainty from nothing. So the standard error
    of a difference is no less than what another answer for one image would change, nor than 1/sqrt(N) of the
    difference, which is that of N images of which each shows the whole of it, give or take as much.

    Args:
        replicates: float64 ``[P, B]``, of P models; NaN where a resample has no value.
        values: float64 ``[P]``, on all images.
        steps: float64 ``[P]``, the most that another answer for one image changes each of them.
        images: N.

    Returns:
        Infinity everywhere where fewer than half of the resamples have a value for all of the models.
    """
    import numpy as np

    known = replicates[:, ~np.isnan(replicates).any(axis=0)]
    count = known.shape[1]
    if count < max(2, replicates.shape[1] / 2):
        return np.full((len(values), len(values)), math.inf)
    centred = known - known.mean(axis=1, keepdims=True)
    products = centred @ centred.T / (count - 1)
    own = products.diagonal()
    # Rounding leaves a little less than nothing between models that say the same.
    spread = np.maximum(own[:, None] + own[None, :] - 2 * products, 0)
    least = np.maximum(steps[:, None], steps[None, :]) ** 2
    found: NDArray[np.float64] = np.maximum(
        images * np.maximum(spread, least), (values[:, None] - values[None, :]) ** 2
    )
    return found


def seed_error(
    seed_variances: tuple[ArrayLike, ArrayLike], seeds: tuple[ArrayLike, ArrayLike]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the squared error that two models' seeds cause in a difference, and its degrees of freedom (Welch)."""
    import numpy as np

    first, second = (np.asarray(variance, dtype=np.float64) for variance in seed_variances)
    n_first, n_second = (np.asarray(number, dtype=np.float64) for number in seeds)
    alone = np.isnan(first) | np.isnan(second)
    a = np.nan_to_num(np.where(np.isnan(first), second, first) / n_first)
    b = np.nan_to_num(np.where(np.isnan(second), first, second) / n_second)
    with np.errstate(divide="ignore", invalid="ignore"):
        welch = (a + b) ** 2 / (a**2 / (n_first - 1) + b**2 / (n_second - 1))
    # Two errors that rest on one model's seeds are no better known than these.
    freedom = np.where(alone, np.maximum(n_first, n_second) - 1, welch)
    return a + b, np.maximum(np.nan_to_num(freedom, nan=1.0), 1.0)


def _fewest(level: float) -> int:
    """Return how many images, all on one side, a test of signs needs at some level."""
    return math.ceil(math.log2(2 / level))


def holm(significant: Callable[[float], NDArray[np.bool_]], count: int, level: float = 0.05) -> NDArray[np.bool_]:
    """Return which of several hypotheses are rejected, with a chance of `level` that any of these is true.

    Args:
        significant: says which are rejected at some level, each by itself; bool ``[count]``.
        count: number of hypotheses.
        level: for all of them together.
    """
    rejected = significant(level / count)
    while not rejected.all():
        more = significant(level / (count - int(rejected.sum())))
        if more.sum() == rejected.sum():
            break
        rejected = more
    return rejected


def process_mean(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Return the geometric mean of a figure over processes, with the interval of Student's t over the logarithms.

    Args:
        values: of each process, all positive, two at least.
        confidence: that the interval holds the mean over all processes that there could be.
    """
    from scipy.special import stdtrit

    logs = [math.log(value) for value in values]
    centre = fmean(logs)
    half = float(stdtrit(len(logs) - 1, (1 + confidence) / 2)) * stdev(logs, centre) / math.sqrt(len(logs))
    return Estimate(value=math.exp(centre), low=math.exp(centre - half), high=math.exp(centre + half))


def process_ratio(
    first: Sequence[float],
    second: Sequence[float],
    level: float = 0.05,
    beside: tuple[float, float] = (0.0, math.inf),
) -> Estimate:
    """Return the ratio of the second value to the first, each over several processes, with its interval.

    It is Student's t over the logarithms, with Welch's degrees of freedom.

    Args:
        first: the base's value in each of its processes, all positive, two at least.
        second: of what is judged.
        level: chance that the interval does not hold the true ratio.
        beside: a further variance of the ratio's logarithm, and its degrees of freedom, as of `welch_p_values`.
    """
    import numpy as np
    from scipy.special import stdtrit

    logs = [np.log(np.asarray(own, dtype=np.float64)) for own in (first, second)]
    centre = float(logs[1].mean() - logs[0].mean())
    squared, freedom = _with_variance(
        *seed_error((logs[0].var(ddof=1), logs[1].var(ddof=1)), (len(first), len(second))), *beside
    )
    half = float(stdtrit(freedom, 1 - level / 2) * np.sqrt(squared))
    return Estimate(value=math.exp(centre), low=math.exp(centre - half), high=math.exp(centre + half))


def welch_p_values(
    difference: ArrayLike,
    variances: tuple[ArrayLike, ArrayLike],
    counts: tuple[ArrayLike, ArrayLike],
    margin: float = 0.0,
    beside: tuple[ArrayLike, ArrayLike] = (0.0, math.inf),
) -> NDArray[np.float64]:
    """Return the two-sided p-values of Welch's t-test: that two means differ by no more than a margin.

    A p-value is at most a given level if the interval of that level lies entirely beyond the margin.

    Args:
        difference: of two means; a number, or an array of any shape.
        variances: of each of the two, over its sample; the same shape.
        counts: of each, the size of its sample; two at least.
        margin: the difference that does not matter; not negative.
        beside: a further variance of the difference, known from elsewhere, and its degrees of freedom (Satterthwaite).
    """
    import numpy as np
    from scipy.special import stdtr

    squared, freedom = _with_variance(*seed_error(variances, counts), *beside)
    beyond = np.abs(np.asarray(difference, dtype=np.float64)) - margin
    with np.errstate(divide="ignore", invalid="ignore"):
        found: NDArray[np.float64] = 2 * stdtr(freedom, -beyond / np.sqrt(squared))
    return np.where(beyond > 0, found, 1.0)


def _with_variance(
    squared: ArrayLike, freedom: ArrayLike, more: ArrayLike, its_freedom: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add a variance to a squared error; return the sum and its degrees of freedom.

    F. E. Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics 2 (1946).
    """
    import numpy as np

    first, second = np.asarray(squared, dtype=np.float64), np.asarray(more, dtype=np.float64)
    total = first + second
    with np.errstate(divide="ignore", invalid="ignore"):
        found = total**2 / (first**2 / np.asarray(freedom) + second**2 / np.asarray(its_freedom))
    return total, np.where(second > 0, np.nan_to_num(found, nan=1.0), np.asarray(freedom))


def ratio_interval(groups: Sequence[Sequence[float]]) -> Estimate:
    """Return a ratio and its 95 % interval, which stays valid however often one looks, up to ten groups.

    Each group gives one figure, the median of its log ratios, which a burst of noise in less than half of them does
    not move. The interval is Student's t over these figures. It makes no assumption on the samples within a group,
    which follow one another in time, and holds what a process's own memory layout does to its speed; a pooled
    interval would hold neither.

    Args:
        groups: natural logarithms of ratios, one sequence for each independent repetition (pair of processes).

    Raises:
        ValueError: fewer than two groups, too few to estimate a spread.
    """
    if len(groups) < 2:
        raise ValueError(f"an interval needs at least two groups, not {len(groups)}")
    from scipy.special import stdtrit

    figures = [median(group) for group in groups]
    centre = fmean(figures)
    quantile = float(stdtrit(len(figures) - 1, 0.5 + LOOK_CONFIDENCE / 2))
    half = quantile * stdev(figures, centre) / math.sqrt(len(figures))
    return Estimate(value=math.exp(centre), low=math.exp(centre - half), high=math.exp(centre + half))


def judge(ratio: Estimate, threshold: float) -> Finding:
    """Return what a ratio of speeds, the second's to the first's, shows about the second.

    It is different if the whole interval lies beyond the threshold, and the same if the whole interval lies within it.
    A threshold of 0.03 means 0.97 downwards and 1/0.97 upwards, so exchanging the two mirrors the answer.

    Args:
        ratio: with its interval.
        threshold: the share of the faster one's speed that does not matter.

    Raises:
        ValueError: the threshold lies outside 0..1, or there is no interval.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"the threshold must lie between 0 and 1, not {threshold}")
    if ratio.low is None or ratio.high is None:
        raise ValueError("a ratio without an interval cannot be judged")
    lowest = 1 - threshold
    highest = 1 / lowest
    if ratio.high < lowest:
        return "slower"
    if ratio.low > highest:
        return "faster"
    return "same" if lowest < ratio.low and ratio.high < highest else "not resolved"
