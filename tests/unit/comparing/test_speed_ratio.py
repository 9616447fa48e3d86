"""Stored speeds: a ratio over processes, and the rule that calls two of them different."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind

from vitbench.comparing.speed_ratio import process_ratio, stored_speed
from vitbench.leaderboard.rows import Metric
from vitbench.records import Style

SLOW, FAST = (990.0, 1000.0, 1010.0), (1490.0, 1500.0, 1510.0)


def figure(processes: tuple[float, ...], *, better: str = "higher", verdict: str = "valid") -> Metric:
    return Metric(
        value=float(np.median(processes)),
        unit="images/s",
        better=better,
        low=min(processes),
        high=max(processes),
        spread=None,
        n=len(processes),
        verdict=verdict,
        reasons=() if verdict == "valid" else ("IQR 30% of the median", "the times drift"),
        taken_at="fixed_batch",
        exact=False,
        machine_bound=True,
        style=Style(),
    )


def nested(processes: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    return tuple((0.9 * each, each, 1.1 * each) for each in processes)


def judged(
    first: tuple[float, ...], second: tuple[float, ...], *, threshold: float = 0.03, better: str = "higher"
) -> tuple[str, str]:
    figures = figure(first, better=better), figure(second, better=better)
    return stored_speed("throughput", figures, (nested(first), nested(second)), threshold)[1:]


def test_the_interval_is_welchs_over_processes() -> None:
    first, second = (900.0, 1000.0, 1150.0), (1300.0, 1310.0, 1290.0, 1305.0)
    found = process_ratio(nested(first), nested(second))
    oracle = ttest_ind(np.log(second), np.log(first), equal_var=False).confidence_interval(0.95)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert (math.log(found.low), math.log(found.high)) == pytest.approx((oracle.low, oracle.high))
    assert math.log(found.value) == pytest.approx(np.log(second).mean() - np.log(first).mean())


def test_a_burst_within_a_process_moves_nothing() -> None:
    calm = process_ratio(nested(SLOW), nested(FAST))
    assert process_ratio([(1.0, *samples, 5000.0) for samples in nested(SLOW)], nested(FAST)) == calm


def test_processes_that_all_agree_have_no_width() -> None:
    found = process_ratio([(2.0,), (2.0,)], [(3.0,), (3.0,)])
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((1.5, 1.5, 1.5))


def test_one_process_has_no_interval() -> None:
    assert process_ratio([(2.0, 2.1)], [(3.0,), (3.1,)]) is None


def test_the_interval_covers_the_true_ratio() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        first, second = (np.exp(random.normal(0, sd, size=(3, 1))).tolist() for sd in (0.02, 0.08))
        found = process_ratio(first, second)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 1 <= found.high
    assert covered / 1000 > 0.93


def test_disjoint_ranges_beyond_the_threshold_are_a_difference() -> None:
    assert judged(SLOW, FAST) == ("better", "")
    assert judged(FAST, SLOW) == ("worse", "")
    assert judged(SLOW, FAST, better="lower") == ("worse", "")
    assert judged(FAST, SLOW, better="lower") == ("better", "")


def test_ranges_that_overlap_resolve_nothing() -> None:
    wide = (990.0, 1500.0, 1510.0)
    assert judged(SLOW, wide) == ("not resolved", "throughput: the ranges of the processes overlap")
    assert judged(SLOW, SLOW)[0] == "not resolved"


def test_a_difference_within_the_threshold_resolves_nothing_and_is_never_the_same() -> None:
    near = tuple(1.05 * each for each in SLOW)
    finding, reason = judged(SLOW, near, threshold=0.10)
    assert finding == "not resolved"
    assert reason == "throughput: the interval does not lie beyond the 10.0% that do not matter"
    assert judged(SLOW, near, threshold=0.01)[0] == "better"


def test_an_invalid_figure_is_named_and_resolves_nothing() -> None:
    samples = nested(SLOW), nested(FAST)
    figures = figure(SLOW, verdict="invalid"), figure(FAST)
    ratio, finding, reason = stored_speed("throughput", figures, samples, 0.03)
    assert ratio is not None
    assert finding == "not resolved"
    assert reason == "throughput of A is invalid: IQR 30% of the median; and 1 more"
    assert stored_speed("throughput", (figures[1], figures[0]), samples, 0.03)[2].startswith(
        "throughput of B is invalid"
    )
    doubtful = figure(SLOW, verdict="warn"), figure(FAST)
    assert stored_speed("throughput", doubtful, samples, 0.03)[1] == "better"


def test_what_is_not_there_is_said() -> None:
    from dataclasses import replace

    figures = figure(SLOW), figure(FAST)
    gone = replace(figures[1], value=None, reasons=("no counter",))
    assert stored_speed("x", (figures[0], gone), ((), ()), 0.03) == (None, "no data", "x of B has no value: no counter")
    assert stored_speed("x", figures, ((), ()), 0.03)[1] == "not resolved"
    endless = replace(figures[1], low=None, high=None)
    samples = nested(SLOW), nested(FAST)
    assert stored_speed("x", (figures[0], endless), samples, 0.03)[1] == "not resolved"
