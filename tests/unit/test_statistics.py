import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binomtest

from vitbench.statistics import Estimate, pool, standings, wilson


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


def test_pool_is_the_mean_within_the_hull():
    pooled = pool([Estimate(value=0.9, low=0.88, high=0.92), Estimate(value=0.8, low=0.77, high=0.83)])
    assert pooled == Estimate(value=pytest.approx(0.85), low=0.77, high=0.92)


def test_pool_spreads_values_without_intervals_and_keeps_a_single_one():
    assert pool([Estimate(value=2.0), Estimate(value=4.0)]) == Estimate(value=3.0, low=2.0, high=4.0)
    assert pool([Estimate(value=2.0)]) == Estimate(value=2.0)


def test_standings_share_ranks_of_equal_values_and_skip_the_next():
    found = standings([Estimate(value=v) for v in (3.0, 5.0, 5.0, 1.0)], "higher")
    assert [s.rank for s in found] == [3, 1, 1, 4]
    assert [s.ties for s in found] == [(), (2,), (1,), ()]
    assert [s.rank for s in standings([Estimate(value=v) for v in (3.0, 5.0)], "lower")] == [1, 2]


def test_ties_are_overlapping_intervals_and_need_not_be_transitive():
    intervals = [(0.95, 0.97), (0.93, 0.955), (0.90, 0.94)]
    found = standings([Estimate(value=sum(i) / 2, low=i[0], high=i[1]) for i in intervals], "higher")
    assert [s.ties for s in found] == [(1,), (0, 2), (1,)]


@given(st.lists(st.floats(-1e6, 1e6), max_size=8))
def test_standings_do_not_depend_on_the_order(values):
    forward = standings([Estimate(value=v) for v in values], "higher")
    backward = standings([Estimate(value=v) for v in reversed(values)], "higher")
    assert [s.rank for s in forward] == [s.rank for s in reversed(backward)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted), max_size=12))
def test_ties_are_all_overlaps(intervals):
    found = standings([Estimate(value=low, low=low, high=high) for low, high in intervals], "higher")
    for i, (low, high) in enumerate(intervals):
        expected = [
            j for j, (a, b) in enumerate(intervals) if j != i and set(range(low, high + 1)) & set(range(a, b + 1))
        ]
        assert list(found[i].ties) == expected
