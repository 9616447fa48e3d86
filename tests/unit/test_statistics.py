"""Intervals of one figure; two models on the same images (McNemar, margins, Holm); the ratio of two speeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, t, ttest_1samp, ttest_ind, ttest_rel
from scipy.stats import bootstrap as scipy_bootstrap

from vitbench.statistics import (
    RESAMPLES,
    Estimate,
    bootstrap,
    bootstrap_interval,
    crossed_margin,
    draws,
    freedom_of,
    holm,
    judge,
    mcnemar,
    mcnemar_gap,
    pool,
    process_ratio,
    ratio_interval,
    resampled_variances,
    welch_p_values,
    wilson,
)

NO_SEEDS = (math.nan, math.nan), (1, 1)
LOGS = st.floats(-1, 1)


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 10_000))
    return draw(st.integers(0, n)), n


@given(counts(), st.sampled_from([0.95, 0.5, 0.99]))
def test_wilson_agrees_with_scipy_and_holds_the_proportion(pair, confidence):
    successes, n = pair
    theirs = binomtest(successes, n).proportion_ci(confidence_level=confidence, method="wilson")
    low, high = wilson(successes, n, confidence)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= low <= successes / n <= high <= 1
    if confidence == 0.95:
        assert wilson(successes, n) == (low, high)


@pytest.mark.parametrize("n", [1, 360])
def test_wilson_is_exact_at_the_ends(n):
    assert wilson(0, n)[0] == 0.0
    assert wilson(n, n)[1] == 1.0
    assert 0 < wilson(0, n)[1] < 1
    assert 0 < wilson(n, n)[0] < 1


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


@pytest.mark.simulation
def test_bootstrap_intervals_cover_at_their_level():
    random = np.random.RandomState(11)
    hits = 0
    for _ in range(150):
        values = random.exponential(size=60)
        low, high = bootstrap_interval(lambda drawn, values=values: float(values[drawn].mean()), 60)
        hits += low <= 1 <= high
    # Of 500 runs 94.6 % covered; 150 are known to 2 points.
    assert 0.89 <= hits / 150 <= 0.99


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_binomial_test_of_one_half(b, c):
    expected = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar(b, b) == 1
    assert float(mcnemar(b, c)) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(b, c) == mcnemar(c, b)


def test_mcnemar_takes_arrays_of_any_shape():
    found = mcnemar([[5, 0], [9, 1]], [[0, 0], [1, 9]])
    assert found == pytest.approx(np.array([[2 / 32, 1], [22 / 1024, 22 / 1024]]))


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


def test_one_seed_each_is_the_paired_t_test():
    random = np.random.RandomState(0)
    first, second = random.normal(size=50), random.normal(0.3, size=50)
    p = ttest_rel(first, second).pvalue
    difference = abs(float((first - second).mean()))
    # At a level of its own p-value, a difference lies on the margin.
    assert crossed_margin(p, (first - second).var(ddof=1), 50, *NO_SEEDS) == pytest.approx(difference)


def test_the_images_may_have_fewer_degrees_of_freedom():
    assert crossed_margin(0.05, 0.09, 900, *NO_SEEDS, 4.0) == pytest.approx(t.ppf(0.975, 4) * 0.01)


def test_a_variance_that_few_scores_make_is_known_as_from_these_few():
    random = np.random.default_rng(0)
    normal = random.normal(size=1000)
    assert 800 < freedom_of(normal) <= 999
    assert freedom_of(np.concatenate([random.normal(size=12), np.zeros(988)])) < 12
    assert freedom_of(np.arange(100) == 0) == pytest.approx(2, abs=0.1)
    assert freedom_of(random.choice([-1.0, 1.0], size=100)) == 99
    assert freedom_of(np.full(7, 0.3)) == 6


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


@pytest.mark.simulation
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


def test_the_interval_of_a_ratio_of_processes_is_welchs():
    first, second = (900.0, 1000.0, 1150.0), (1300.0, 1310.0, 1290.0, 1305.0)
    found = process_ratio(first, second, 0.01)
    oracle = ttest_ind(np.log(second), np.log(first), equal_var=False).confidence_interval(0.99)
    assert (math.log(found.low), math.log(found.high)) == pytest.approx((oracle.low, oracle.high))
    assert math.log(found.value) == pytest.approx(np.log(second).mean() - np.log(first).mean())


def test_processes_that_all_agree_have_no_width():
    found = process_ratio((2.0, 2.0), (3.0, 3.0))
    assert (found.value, found.low, found.high) == pytest.approx((1.5, 1.5, 1.5))


def test_welchs_p_values_are_those_of_the_test_moved_by_the_margin():
    random = np.random.RandomState(0)
    first, second = random.normal(size=(5, 3)), random.normal(2, 3, size=(5, 4))
    difference = second.mean(axis=1) - first.mean(axis=1)
    variances = first.var(axis=1, ddof=1), second.var(axis=1, ddof=1)
    assert welch_p_values(difference, variances, (3, 4)) == pytest.approx(
        ttest_ind(second, first, axis=1, equal_var=False).pvalue
    )
    nearer = second - np.sign(difference)[:, None] * 0.1
    assert welch_p_values(difference, variances, (3, 4), 0.1) == pytest.approx(
        ttest_ind(nearer, first, axis=1, equal_var=False).pvalue
    )
    assert welch_p_values([0.1, -0.1, 0.0], (np.ones(3), np.ones(3)), (3, 3), 0.1).tolist() == [1, 1, 1]
    assert welch_p_values([0.1, 0.2], (np.zeros(2), np.zeros(2)), (3, 3), 0.1).tolist() == [1, 0]


@pytest.mark.simulation
def test_the_interval_of_few_processes_covers_the_true_ratio():
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        first, second = (np.exp(random.normal(0, sd, size=3)).tolist() for sd in (0.02, 0.08))
        found = process_ratio(first, second)
        covered += found.low <= 1 <= found.high
    assert covered / 1000 > 0.93


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=12), st.sampled_from([0.05, 0.2]))
def test_holm_steps_down_through_the_sorted_p_values(p_values, level):
    found = holm(lambda each: np.array(p_values) <= each, len(p_values), level)
    expected = np.zeros(len(p_values), dtype=bool)
    for step, i in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[i] > level / (len(p_values) - step):
            break
        expected[i] = True
    assert found.tolist() == expected.tolist()


def test_it_is_students_t_over_the_medians_of_the_groups() -> None:
    groups = [[0.01, 0.02, 0.30], [0.03, 0.05, -0.2, 0.04], [0.00]]
    theirs = ttest_1samp([0.02, 0.035, 0.00], 0).confidence_interval(0.988)
    found = ratio_interval(groups)
    assert found.value == pytest.approx(math.exp(0.055 / 3))
    assert (found.low, found.high) == pytest.approx((math.exp(theirs.low), math.exp(theirs.high)))


def test_more_samples_in_a_group_do_not_make_it_surer() -> None:
    groups = [[0.01], [0.02], [0.04]]
    assert ratio_interval([group * 100 for group in groups]) == ratio_interval(groups)


def test_a_burst_in_less_than_half_of_a_group_does_not_move_it() -> None:
    quiet = [[0.01, 0.01, 0.01, 0.01, 0.01], [0.02] * 5, [0.03] * 5]
    burst = [[0.01, 0.90, 0.01, -0.7, 0.01], *quiet[1:]]
    assert ratio_interval(burst) == ratio_interval(quiet)


def test_without_spread_the_interval_is_a_point() -> None:
    assert ratio_interval([[0.0], [0.0], [0.0]]) == Estimate(value=1.0, low=1.0, high=1.0)


@pytest.mark.parametrize("groups", [[], [[0.1, 0.2, 0.3]]])
def test_one_group_has_no_spread(groups: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=f"at least two groups, not {len(groups)}"):
        ratio_interval(groups)


@pytest.mark.parametrize(
    ("low", "high", "finding"),
    [
        (0.90, 0.96, "slower"),
        (0.90, 0.98, "not resolved"),
        (0.98, 1.02, "same"),
        (0.96, 1.04, "not resolved"),
        (0.98, 1.05, "not resolved"),
        (1.02, 1.10, "not resolved"),
        (1.04, 1.10, "faster"),
        (0.97, 1.00, "not resolved"),  # the threshold itself is neither beyond nor within
        (0.96, 0.97, "not resolved"),
        (1.0301, 1.0305, "same"),  # the upper threshold is 1 / 0.97 = 1.0309
    ],
)
def test_the_whole_interval_decides(low: float, high: float, finding: str) -> None:
    assert judge(Estimate(value=(low + high) / 2, low=low, high=high), 0.03) == finding


@given(st.lists(st.lists(LOGS, min_size=1, max_size=4), min_size=2, max_size=5), st.sampled_from([0.01, 0.03, 0.2]))
def test_exchanging_the_sides_mirrors_the_answer(groups: list[list[float]], threshold: float) -> None:
    mirror = {"faster": "slower", "slower": "faster", "same": "same", "not resolved": "not resolved"}
    forward, backward = ratio_interval(groups), ratio_interval([[-log for log in group] for group in groups])
    assert forward.value == pytest.approx(1 / backward.value)
    assert forward.low == pytest.approx(1 / backward.high)
    assert judge(forward, threshold) == mirror[judge(backward, threshold)]


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.1])
def test_a_threshold_is_a_share(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold must lie between 0 and 1"):
        judge(Estimate(value=1.0, low=1.0, high=1.0), threshold)


def test_without_an_interval_there_is_no_finding() -> None:
    with pytest.raises(ValueError, match="without an interval"):
        judge(Estimate(value=0.5), 0.03)


@pytest.mark.simulation
@pytest.mark.parametrize("slowdown", [1.0, 1 / 0.97], ids=["equal", "at the threshold"])
def test_the_interval_at_which_looks_end_holds_the_truth_in_95_per_cent(slowdown: float) -> None:
    # At 95 % for each look it would be missed in 17 % of cases where the difference is the threshold.
    rng, truth, times = np.random.default_rng(0), -math.log(slowdown), 1500
    missed = 0
    for figures in rng.normal(truth, 0.02, size=(times, 10)):
        for count in range(3, 11):
            found = ratio_interval([[figure] for figure in figures[:count]])
            if judge(found, 0.03) != "not resolved":
                break
        assert found.low is not None
        assert found.high is not None
        missed += not found.low <= math.exp(truth) <= found.high
    assert missed <= 0.05 * times + 2 * math.sqrt(0.05 * 0.95 * times)


def test_the_draws_are_those_of_the_bootstrap_and_the_same_each_time():
    first, second = (np.array(list(draws(7))) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.shape == (1000, 7)
    assert np.array_equal(bootstrap(lambda drawn: drawn, 7), first)
    assert set(np.unique(first)) == set(range(7))


def test_the_variance_of_resamples_is_that_of_a_mean_over_images():
    random = np.random.default_rng(0)
    scores = random.exponential(size=(2, 300))
    replicates = np.array([bootstrap(lambda drawn, own=own: own[drawn].mean(), 300) for own in scores])
    found = resampled_variances(replicates, scores.mean(axis=1), np.zeros(2), 300)
    assert found[0, 1] == found[1, 0] == pytest.approx(np.var(scores[0] - scores[1]), rel=0.1)


def test_it_is_never_less_than_what_one_image_may_change_nor_than_the_difference():
    flat = np.array([[0.0] * 100, [0.5] * 100])
    values = flat[:, 0]
    assert resampled_variances(flat, values, np.zeros(2), 50)[0, 1] == 0.25
    assert resampled_variances(flat, values, np.array([0.1, 0.2]), 50)[0, 1] == pytest.approx(50 * 0.2**2)


def test_it_is_infinite_where_half_of_the_resamples_have_no_value():
    replicates = np.random.default_rng(0).normal(size=(2, 100))
    replicates[0, :51] = np.nan
    assert np.isinf(resampled_variances(replicates, np.zeros(2), np.zeros(2), 50)).all()
