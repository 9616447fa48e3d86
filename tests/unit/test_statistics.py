import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binomtest
from scipy.stats import bootstrap as scipy_bootstrap

from vitbench.statistics import RESAMPLES, Estimate, bootstrap, bootstrap_interval, pool, wilson


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 10_000))
    return draw(st.integers(0, n)), n


@given(counts())
def test_wilson_agrees_with_scipy(pair):
    successes, n = pair
    theirs = binomtest(successes, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(successes, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_is_where_the_score_test_just_rejects():
    low, high = wilson(340, 360)
    z = 1.959963984540054

    def score(p: float) -> float:
        return abs(340 / 360 - p) / math.sqrt(p * (1 - p) / 360) - z

    assert low == pytest.approx(brentq(score, 0.5, 340 / 360 - 1e-9))
    assert high == pytest.approx(brentq(score, 340 / 360 + 1e-9, 0.9999))


@pytest.mark.parametrize("n", [1, 7, 360, 10_000])
def test_wilson_is_exact_at_the_ends(n):
    assert wilson(0, n)[0] == 0.0
    assert wilson(n, n)[1] == 1.0
    assert 0 < wilson(0, n)[1] < 1
    assert 0 < wilson(n, n)[0] < 1


@given(counts())
def test_wilson_is_symmetric_and_holds_the_proportion(pair):
    successes, n = pair
    low, high = wilson(successes, n)
    mirrored_low, mirrored_high = wilson(n - successes, n)
    assert (low, high) == pytest.approx((1 - mirrored_high, 1 - mirrored_low), abs=1e-12)
    assert 0 <= low <= successes / n <= high <= 1


def test_more_confidence_is_a_wider_interval():
    assert wilson(50, 100, 0.99)[0] < wilson(50, 100, 0.95)[0] < wilson(50, 100, 0.5)[0]


@pytest.mark.parametrize(("successes", "n", "confidence"), [(1, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0)])
def test_wilson_refuses_what_is_no_proportion(successes, n, confidence):
    with pytest.raises(ValueError, match=r"must lie|needs 0"):
        wilson(successes, n, confidence)


def test_pool_keeps_the_error_of_the_images_and_that_of_the_seeds_apart():
    pooled = pool([Estimate(value=0.9, low=0.88, high=0.92), Estimate(value=0.8, low=0.77, high=0.83)])
    assert (pooled.value, pooled.low, pooled.high) == pytest.approx((0.85, 0.825, 0.875))
    assert pooled.spread == pytest.approx(0.1 / math.sqrt(2))


def test_more_seeds_that_agree_do_not_make_the_images_surer():
    assert pool([Estimate(value=0.9, low=0.88, high=0.92)] * 9) == Estimate(
        value=pytest.approx(0.9), low=pytest.approx(0.88), high=pytest.approx(0.92), spread=0.0
    )


def test_pool_has_an_interval_only_where_all_have_one_and_keeps_a_single_one():
    assert pool([Estimate(value=2.0), Estimate(value=4.0, low=3.0, high=5.0)]) == Estimate(
        value=3.0, spread=pytest.approx(math.sqrt(2))
    )
    assert pool([Estimate(value=2.0)]) == Estimate(value=2.0)


def test_resamples_are_drawn_with_replacement_and_repeat():
    counts = bootstrap(lambda drawn: np.bincount(drawn, minlength=4).astype(float), 4)
    assert counts.shape == (RESAMPLES, 4)
    assert (counts.sum(axis=1) == 4).all()
    # How often one of n is drawn is binomial(n, 1/n).
    assert counts.mean(axis=0) == pytest.approx(1, abs=0.1)
    assert counts.var() == pytest.approx(3 / 4, abs=0.05)
    assert np.array_equal(counts, bootstrap(lambda drawn: np.bincount(drawn, minlength=4).astype(float), 4))


def test_the_bootstrap_interval_of_a_mean_is_that_of_scipy():
    values = np.random.RandomState(0).exponential(size=300)
    theirs = scipy_bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    found = bootstrap_interval(lambda drawn: float(values[drawn].mean()), 300)
    assert found == pytest.approx((theirs.low, theirs.high), abs=0.15 * values.std() / math.sqrt(300))


@pytest.mark.parametrize("values", [[3.0], [1.0, 1.0, 1.0]])
def test_samples_that_are_all_alike_give_no_interval(values):
    assert bootstrap_interval(lambda drawn: float(np.mean(np.array(values)[drawn])), len(values)) is None


def test_bootstrap_intervals_cover_at_their_level():
    random = np.random.RandomState(11)
    hits = 0
    for _ in range(150):
        values = random.exponential(size=60)
        low, high = bootstrap_interval(lambda drawn, values=values: float(values[drawn].mean()), 60)
        hits += low <= 1 <= high
    # Of 500 runs 94.6 % covered; 150 are known to 2 points.
    assert 0.89 <= hits / 150 <= 0.99
