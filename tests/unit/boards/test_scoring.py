"""Scores of values: their intervals, and what chance may and may not tell apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t

from vitbench.boards.resampling import DatasetSample, unknown_sample
from vitbench.boards.scoring import Scorer, Values, standings


def sample(replicates: NDArray[np.float64], name: str, *, freedom: float = 1e9) -> DatasetSample:
    models = len(replicates)
    return DatasetSample(
        images=1000,
        digest=name,
        known=np.ones(models, dtype=bool),
        replicates=replicates,
        steps=np.zeros(models),
        freedom=np.full(models, freedom),
    )


def values(
    means: list[list[float]],
    samples: tuple[DatasetSample, ...],
    seed_variances: list[list[float]] | None = None,
    seeds: int = 1,
) -> Values:
    shown = np.array(means)
    return Values(
        values=shown,
        low=shown - 0.1,
        high=shown + 0.2,
        seeds=np.full(shown.shape, seeds),
        seed_variances=np.full(shown.shape, math.nan) if seed_variances is None else np.array(seed_variances),
        samples=samples,
    )


def exact(sd: list[float]) -> NDArray[np.float64]:
    """Return resamples of models of exactly these standard errors that have nothing to do with one another."""
    random = np.random.default_rng(3).standard_normal((1000, len(sd)))
    whitened = np.linalg.qr(random - random.mean(axis=0))[0] * math.sqrt(999)
    return np.array(sd)[:, None] * whitened.T


def test_errors_of_datasets_add_up_with_their_weights() -> None:
    samples = sample(exact([0.03, 0.01]), "a"), sample(exact([0.04, 0.01]), "b")
    scorer = Scorer(values([[0.8, 0.6], [0.5, 0.5]], samples), np.array([0.25, 0.75]))
    first = scorer.estimates()[0]
    assert first.high is not None
    assert first.value == pytest.approx(0.65)
    assert first.high - first.value == pytest.approx(1.96 * math.hypot(0.25 * 0.03, 0.75 * 0.04), rel=1e-3)
    pairs = scorer.pairs()
    error = math.sqrt(0.25**2 * (0.03**2 + 0.01**2) + 0.75**2 * (0.04**2 + 0.01**2))
    assert pairs.margin[0] == pytest.approx(1.96 * error, rel=1e-3)
    assert pairs.p_values[0] == pytest.approx(2 * t.sf(0.15 / error, 1e9), rel=1e-3)


def test_few_degrees_of_freedom_of_one_dataset_widen_the_interval() -> None:
    samples = sample(exact([0.03, 0.03]), "a", freedom=3), sample(exact([0.03, 0.03]), "b")
    scorer = Scorer(values([[0.8, 0.6], [0.5, 0.5]], samples), np.array([0.5, 0.5]))
    first = scorer.estimates()[0]
    assert first.high is not None
    # Satterthwaite: (1 + 1)^2 / (1 / 3) = 12 degrees.
    assert first.high - first.value == pytest.approx(t.ppf(0.975, 12) * 0.03 / math.sqrt(2), rel=1e-3)


def test_seeds_count_on_each_dataset_and_pool_their_freedom() -> None:
    samples = sample(exact([1e-9, 1e-9]), "a"), sample(exact([1e-9, 1e-9]), "b")
    scorer = Scorer(
        values([[0.8, 0.6], [0.5, 0.5]], samples, [[4e-4, 4e-4], [0.0, 0.0]], seeds=3), np.array([0.5, 0.5])
    )
    first, second = scorer.estimates()
    assert first.high is not None
    assert second.high is not None
    assert first.high - first.value == pytest.approx(t.ppf(0.975, 4) * math.sqrt(2 * 0.25 * 4e-4 / 3), rel=1e-3)
    assert second.high - second.value < 1e-6


def test_lower_is_better_where_the_metric_says_so_and_bounds_hold() -> None:
    samples = sample(exact([0.05, 0.05]), "a"), sample(exact([0.05, 0.05]), "b")
    given = values([[0.99, 0.98], [0.3, 0.3]], samples)
    scorer = Scorer(given, np.array([0.5, 0.5]), sign=-1, bounds=(0.0, 1.0))
    assert scorer.estimates()[0].high == 1.0
    assert [each.rank for each in standings(scorer.pairs(), 2)] == [2, 1]


def test_of_unknown_images_the_intervals_of_the_values_decide() -> None:
    """Ends 0.1 below and 0.2 above on each of two datasets: of the mean 0.0707 and 0.1414."""
    given = values([[0.9, 0.9], [0.7, 0.7], [0.65, 0.65]], (unknown_sample(3), unknown_sample(3)))
    scorer = Scorer(given, np.array([0.5, 0.5]))
    first = scorer.estimates()[0]
    assert (first.low, first.high) == (pytest.approx(0.9 - 0.0707, abs=1e-4), pytest.approx(0.9 + 0.1414, abs=1e-4))
    pairs = scorer.pairs()
    assert pairs.different.tolist() == [False, True, False]  # apart by 0.2, 0.25 and 0.05; 0.2121 is needed
    assert np.isnan(pairs.p_values).all()


def test_holm_runs_over_all_pairs() -> None:
    """A difference of 2.2 standard errors is significant of one pair, and not among the three of three models."""
    error = 0.01 * math.sqrt(2)
    for others, told in ((1, True), (2, False)):
        samples = tuple(sample(exact([0.01] * (1 + others)), name) for name in "ab")
        means = [[0.5 + 2.2 * error / math.sqrt(2)] * 2, *[[0.5, 0.5]] * others]
        pairs = Scorer(values(means, samples), np.array([0.5, 0.5])).pairs()
        assert pairs.different.any() == told
