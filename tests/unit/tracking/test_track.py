"""When an alarm counts, on times that are made up."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from vitbench.lockstep import Quad, SpeedComparison, decide_by_pairs
from vitbench.lockstep.outcome import ComparisonOutcome
from vitbench.statistics import Finding
from vitbench.tracking.track import settled

SIMULATIONS = 400
THRESHOLD = 0.03


def comparison(verdict: Finding, ratio: float = 1.0) -> SpeedComparison:
    quad = Quad(first=(1.0, 1.0), second=(1.0, 1.0), images=(1, 1), remarks=(f"of {ratio}",))
    return SpeedComparison(
        labels=("base", "head"),
        ratio=ratio,
        low=ratio - 0.01,
        high=ratio + 0.01,
        verdict=verdict,
        threshold=THRESHOLD,
        pairs=((quad,),),
    )


def in_turn(*found: SpeedComparison) -> Callable[[], SpeedComparison]:
    return iter(found).__next__


@pytest.mark.parametrize("family", [1, 5])
@pytest.mark.parametrize(
    ("finding", "verdict"), [("same", "same"), ("faster", "improved"), ("not resolved", "not resolved")]
)
def test_what_is_no_alarm_is_measured_once(finding: Finding, verdict: ComparisonOutcome, family: int) -> None:
    once = comparison(finding)
    assert settled(in_turn(once), family=family) == (once, verdict, once.reasons)


def test_a_single_alarm_counts_at_once() -> None:
    alarm = comparison("slower", 0.9)
    assert settled(in_turn(alarm), family=1) == (alarm, "regressed", alarm.reasons)


def test_one_of_several_alarms_counts_when_it_comes_twice_and_the_second_figure_is_told() -> None:
    first, second = comparison("slower", 0.8), comparison("slower", 0.9)
    found, verdict, reasons = settled(in_turn(first, second), family=2)
    assert (found, verdict) == (second, "regressed")
    words = "measured twice and slower both times; first ratio 0.800, interval 0.790 to 0.810"
    assert reasons == (words, *second.reasons)


@pytest.mark.parametrize("finding", ["same", "faster", "not resolved"])
def test_one_of_several_alarms_that_does_not_come_again_is_not_resolved(finding: Finding) -> None:
    second = comparison(finding, 0.98)
    found, verdict, reasons = settled(in_turn(comparison("slower", 0.9), second), family=2)
    assert (found, verdict) == (second, "not resolved")
    assert reasons[0].startswith("measured twice; slower the first time only, which among 2 comparisons is not proof")


def verdicts(slowdown: float, *, family: int) -> Counter[ComparisonOutcome]:
    """Return what many comparisons come to, between whose pairs of processes lies a noise of 2 %."""
    rng = np.random.default_rng(0)

    def measured() -> Iterator[tuple[Quad, ...]]:
        for noise in rng.normal(0, 0.02, 10):
            seconds = slowdown * math.exp(noise)
            yield (Quad(first=(1.0, 1.0), second=(seconds, seconds), images=(1, 1)),)

    def compare() -> SpeedComparison:
        _, estimate, finding = decide_by_pairs(measured(), threshold=THRESHOLD)
        return comparison(finding, estimate.value)

    return Counter(settled(compare, family=family)[1] for _ in range(SIMULATIONS))


@pytest.mark.simulation
def test_alone_a_difference_of_the_threshold_is_an_alarm_in_a_few_cases_and_among_several_in_none() -> None:
    at_the_threshold = 1 / (1 - THRESHOLD)
    alone = verdicts(at_the_threshold, family=1)["regressed"]
    assert 0 < alone <= 0.06 * SIMULATIONS
    assert verdicts(at_the_threshold, family=10)["regressed"] <= 0.01 * SIMULATIONS


@pytest.mark.simulation
@pytest.mark.parametrize("family", [1, 10])
def test_equal_speeds_are_no_alarm_and_ten_per_cent_are_one(family: int) -> None:
    assert verdicts(1.0, family=family)["regressed"] <= 0.01 * SIMULATIONS
    assert verdicts(1.1, family=family)["regressed"] >= 0.9 * SIMULATIONS
