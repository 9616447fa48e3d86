"""Stored speeds: a ratio over processes, and the rule that calls two of them different."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vitbench.comparing.speed_ratio import stored_speed
from vitbench.leaderboard.metric import Metric, Relative
from vitbench.leaderboard.occasion_spread import OccasionSpread
from vitbench.records import Ratio, Style
from vitbench.statistics import process_ratio

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
        processes=processes,
        occasion="here",
    )


def judged(
    first: tuple[float, ...], second: tuple[float, ...], *, threshold: float = 0.03, better: str = "higher"
) -> tuple[str, str]:
    figures = figure(first, better=better), figure(second, better=better)
    return stored_speed("throughput", figures, threshold)[1:]


def test_the_ratio_has_welchs_interval_over_the_processes() -> None:
    ratio, *_ = stored_speed("throughput", (figure(SLOW), figure(FAST)), 0.03)
    assert ratio == process_ratio(SLOW, FAST)


def test_disjoint_ranges_beyond_the_threshold_are_a_difference() -> None:
    assert judged(SLOW, FAST) == ("better", "")
    assert judged(FAST, SLOW) == ("worse", "")
    assert judged(SLOW, FAST, better="lower") == ("worse", "")
    assert judged(FAST, SLOW, better="lower") == ("better", "")


def test_ranges_that_overlap_resolve_nothing() -> None:
    wide = (990.0, 1500.0, 1510.0)
    reason = "throughput: the interval does not exclude differences below the threshold of 3.0%"
    assert judged(SLOW, wide) == ("not resolved", reason)
    assert judged(SLOW, SLOW)[0] == "not resolved"


def test_a_difference_within_the_threshold_resolves_nothing_and_is_never_the_same() -> None:
    near = tuple(1.05 * each for each in SLOW)
    finding, reason = judged(SLOW, near, threshold=0.10)
    assert finding == "not resolved"
    assert reason == "throughput: the interval does not exclude differences below the threshold of 10.0%"
    assert judged(SLOW, near, threshold=0.01)[0] == "better"


def test_an_invalid_figure_is_named_and_resolves_nothing() -> None:
    figures = figure(SLOW, verdict="invalid"), figure(FAST)
    ratio, finding, reason = stored_speed("throughput", figures, 0.03)
    assert ratio is not None
    assert finding == "not resolved"
    assert reason == "throughput of A is invalid: IQR 30% of the median; and 1 more"
    assert stored_speed("throughput", (figures[1], figures[0]), 0.03)[2].startswith("throughput of B is invalid")
    doubtful = figure(SLOW, verdict="warn"), figure(FAST)
    assert stored_speed("throughput", doubtful, 0.03)[1] == "better"


def test_what_is_not_there_is_said() -> None:
    figures = figure(SLOW), figure(FAST)
    gone = replace(figures[1], value=None, reasons=("no counter",))
    assert stored_speed("x", (figures[0], gone), 0.03) == (None, "no data", "x of B has no value: no counter")
    endless = replace(figures[1], low=None, high=None, processes=())
    lacking = (None, "not resolved", "x: the values of two processes each are not stored")
    assert stored_speed("x", (figures[0], endless), 0.03) == lacking


UNKNOWN = "x: not measured in turn, and it is not known how much two occasions differ"


@pytest.mark.parametrize(
    ("occasions", "in_turn", "spread", "finding"),
    [
        (("here", "here"), True, None, "better"),
        (("here", "there"), True, None, UNKNOWN),
        (("", ""), True, None, UNKNOWN),
        # Two folders are two occasions, whatever they call them.
        (("here", "here"), False, None, UNKNOWN),
        (("here", "there"), False, None, UNKNOWN),
        (("here", "there"), True, 0.01, "better"),
        (("here", "here"), False, 0.01, "better"),
        (("", ""), False, 0.01, "better"),
        (("here", "here"), False, 0.2, "x: the interval does not exclude differences below the threshold of 3.0%"),
        # Of one occasion, what occasions differ by does not matter.
        (("here", "here"), True, 0.2, "better"),
    ],
)
def test_figures_of_two_occasions_differ_beyond_what_occasions_differ_by(
    occasions: tuple[str, str], in_turn: bool, spread: float | None, finding: str
) -> None:
    known = spread and OccasionSpread(deviation=spread, freedom=9, figures=20, occasions=10)
    both = tuple(
        replace(figure(values), occasion=occasion, occasion_spread=known)
        for values, occasion in zip((SLOW, FAST), occasions, strict=True)
    )
    assert finding in stored_speed("x", both, 0.03, in_turn=in_turn)[1:]  # type: ignore[arg-type]


def test_the_ratio_of_two_occasions_has_the_wider_interval() -> None:
    known = OccasionSpread(deviation=0.05, freedom=9, figures=20, occasions=10)
    both = replace(figure(SLOW), occasion_spread=known), replace(figure(FAST), occasion_spread=known)
    within, between = (stored_speed("x", both, 0.03, in_turn=in_turn)[0] for in_turn in (True, False))
    assert within is not None
    assert between == process_ratio(SLOW, FAST, beside=(2 * 0.05**2, 9))
    assert between.value == within.value
    assert between.low < within.low < within.high < between.high


def relative(metric: Metric, *ratios: float, network: str = "net-1") -> Metric:
    ratio = Ratio(
        value=float(np.median(ratios)),
        value_of_all=1.0,
        reference=1000.0,
        network=network,
        quads=8,
        left_out=0,
        processes=ratios,
    )
    return replace(metric, relative=Relative(ratio=ratio, measured=1.0, low=1.0, high=1.0, reference=1000.0))


def test_where_processes_timed_the_reference_network_it_is_the_ratios_that_are_compared() -> None:
    """The machine was slow while it ran the faster one."""
    both = relative(figure(FAST), 0.99, 1.0, 1.01), relative(figure(SLOW), 1.49, 1.5, 1.51)
    ratio, finding, _ = stored_speed("x", both, 0.03)
    assert finding == "better"
    assert ratio == process_ratio((0.99, 1.0, 1.01), (1.49, 1.5, 1.51))


@pytest.mark.parametrize("other", [relative(figure(FAST), 1.0, 1.0, network="net-2"), figure(FAST)])
def test_ratios_to_unlike_networks_are_not_compared(other: Metric) -> None:
    for both in ((relative(figure(SLOW), 1.0, 1.0), other), (other, relative(figure(SLOW), 1.0, 1.0))):
        ratio, finding, reason = stored_speed("x", both, 0.03)
        assert (ratio, finding) == (None, "not comparable")
        assert reason == "x: A and B are not both ratios to the same reference network"


def test_the_level_is_shared() -> None:
    figures = figure((975.0, 1000.0, 1025.0)), figure((1170.0, 1200.0, 1230.0))
    assert stored_speed("x", figures, 0.03)[1] == "better"
    assert stored_speed("x", figures, 0.03, together=45)[1] == "not resolved"
