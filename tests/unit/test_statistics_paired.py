"""Two models on the same images: McNemar's test, the margin of seeds and images together, Holm's correction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, t, ttest_ind, ttest_rel

from vitbench.statistics import crossed_margin, holm, mcnemar, mcnemar_gap

NO_SEEDS = (math.nan, math.nan), (1, 1)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_binomial_test_of_one_half(b, c):
    expected = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert float(mcnemar(b, c)) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(b, c) == mcnemar(c, b)


def test_mcnemar_takes_arrays_of_any_shape():
    found = mcnemar([[5, 0], [9, 1]], [[0, 0], [1, 9]])
    assert found == pytest.approx(np.array([[2 / 32, 1], [22 / 1024, 22 / 1024]]))


def test_predictions_that_are_the_same_are_never_different():
    assert mcnemar(0, 0) == 1
    assert mcnemar(7, 7) == 1


@given(st.integers(0, 400), st.sampled_from([0.05, 0.01, 0.05 / 45, 1e-9, 0.25]))
def test_the_gap_is_the_least_that_is_significant(discordant, level):
    gap = mcnemar_gap(discordant, level)
    total = max(discordant, gap)
    assert (total - gap) % 2 == 0
    assert mcnemar((total + gap) // 2, (total - gap) // 2) <= level
    if total == discordant and gap > 1:
        assert mcnemar((total + gap) // 2 - 1, (total - gap) // 2 + 1) > level
    if gap > discordant:
        assert mcnemar(gap - 1, 0) > level, "fewer images would have been enough"


@pytest.mark.parametrize(("discordant", "gap"), [(0, 6), (5, 6), (6, 6), (7, 7), (9, 7), (100, 22)])
def test_known_gaps_at_five_percent(discordant, gap):
    assert mcnemar_gap(discordant, 0.05) == gap


def test_one_seed_each_is_the_paired_t_test():
    random = np.random.RandomState(0)
    first, second = random.normal(size=50), random.normal(0.3, size=50)
    p = ttest_rel(first, second).pvalue
    difference = abs(float((first - second).mean()))
    # At a level of its own p-value, a difference lies on the margin.
    assert crossed_margin(p, (first - second).var(ddof=1), 50, *NO_SEEDS) == pytest.approx(difference)


def test_seeds_alone_are_welchs_t_test():
    first, second = np.array([0.90, 0.92, 0.91]), np.array([0.88, 0.93])
    p = ttest_ind(first, second, equal_var=False).pvalue
    margin = crossed_margin(p, 0.0, 10_000, (first.var(ddof=1), second.var(ddof=1)), (3, 2))
    assert margin == pytest.approx(abs(first.mean() - second.mean()))


def test_the_error_of_the_images_and_that_of_the_seeds_add_up():
    of_images = float(crossed_margin(0.05, 0.09, 900, *NO_SEEDS))
    of_seeds = float(crossed_margin(0.05, 0.0, 900, (4e-4, 1e-4), (3, 3)))
    both = float(crossed_margin(0.05, 0.09, 900, (4e-4, 1e-4), (3, 3)))
    assert both == pytest.approx(math.hypot(of_images, of_seeds))
    assert of_images == pytest.approx(t.ppf(0.975, 899) * 0.01)


def test_a_single_seed_is_taken_to_vary_as_the_other_models_do():
    found = crossed_margin(0.05, 0.0, 900, (math.nan, 4e-4), (1, 4))
    assert found == pytest.approx(t.ppf(0.975, 3) * 0.02 * math.sqrt(1 + 1 / 4))
    assert found == crossed_margin(0.05, 0.0, 900, (4e-4, math.nan), (4, 1))


def test_models_whose_seeds_all_agree_have_the_error_of_the_images_alone():
    assert crossed_margin(0.05, 0.09, 900, (0.0, 0.0), (3, 3)) == crossed_margin(0.05, 0.09, 900, *NO_SEEDS)


def test_margins_come_in_arrays():
    variances = np.array([0.0, 0.09]), (np.array([math.nan, 1e-4]), np.array([1e-4, math.nan]))
    found = crossed_margin(0.01, variances[0], 400, variances[1], (np.array([1, 3]), np.array([2, 1])))
    assert found[0] == pytest.approx(float(crossed_margin(0.01, 0.0, 400, (math.nan, 1e-4), (1, 2))))
    assert found[1] == pytest.approx(float(crossed_margin(0.01, 0.09, 400, (1e-4, math.nan), (3, 1))))


@pytest.mark.parametrize(("images", "finite"), [(1, False), (5, False), (6, True)])
def test_few_images_show_nothing_even_if_all_take_one_side(images, finite):
    """2 * 0.5**6 is the first power below 5 %."""
    assert math.isfinite(crossed_margin(0.05, 0.0, images, *NO_SEEDS)) is finite
    assert bool(mcnemar(images, 0) <= 0.05) is finite


def test_its_error_is_that_of_a_bootstrap_over_seeds_and_images_together():
    """With many seeds and images, where the bootstrap's own bias is gone and the quantiles are those of the normal."""
    random = np.random.RandomState(1)
    seeds, images = 40, 400
    easy = random.normal(size=images)
    first, second = (
        slope * easy + 0.1 * random.normal(size=(seeds, 1)) + 0.3 * random.normal(size=(seeds, images))
        for slope in (1.0, 0.5)
    )
    resampled = []
    for _ in range(3000):
        drawn = random.randint(images, size=images)
        one, other = (model[random.randint(seeds, size=seeds)].mean(axis=0) for model in (first, second))
        resampled.append((one[drawn] - other[drawn]).mean())
    spreads = tuple(model.mean(axis=1).var(ddof=1) for model in (first, second))
    paired = (first.mean(axis=0) - second.mean(axis=0)).var(ddof=1)
    margin = float(crossed_margin(0.05, paired, images, spreads, (seeds, seeds)))
    assert margin == pytest.approx(1.96 * np.std(resampled), rel=0.06)
    assert 1.96 * np.std(resampled) > 1.1 * math.sqrt(paired / images) * 1.96, "the seeds must matter here"


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=12), st.sampled_from([0.05, 0.2]))
def test_holm_steps_down_through_the_sorted_p_values(p_values, level):
    found = holm(lambda each: np.array(p_values) <= each, len(p_values), level)
    expected = np.zeros(len(p_values), dtype=bool)
    for step, i in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[i] > level / (len(p_values) - step):
            break
        expected[i] = True
    assert found.tolist() == expected.tolist()


def test_holm_is_milder_than_bonferroni_and_stricter_than_nothing():
    found = holm(lambda each: np.array([0.01, 0.02, 0.04, 0.2]) <= each, 4)
    assert found.tolist() == [True, False, False, False]
    found = holm(lambda each: np.array([0.012, 0.016, 0.02, 0.04]) <= each, 4)
    assert found.all(), "only the first is below 0.05 / 4"
