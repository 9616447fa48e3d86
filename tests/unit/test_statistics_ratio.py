"""The interval of a ratio of speeds, and what it is judged to show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from vitbench.statistics import Estimate, judge, ratio_interval

LOGS = st.floats(-1, 1)


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
