"""Stored speeds: a ratio over processes, and the rule that calls two of them different."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vitbench.comparing.speed_ratio import stored_speed
from vitbench.leaderboard.rows import Metric
from vitbench.records import Style
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
    assert judged(SLOW, wide) == ("not resolved", "throughput: the ranges of the processes overlap")
    assert judged(SLOW, SLOW)[0] == "not resolved"


def test_a_difference_within_the_threshold_resolves_nothing_and_is_never_the_same() -> None:
    near = tuple(1.05 * each for each in SLOW)
    finding, reason = judged(SLOW, near, threshold=0.10)
    assert finding == "not resolved"
    assert reason == "throughput: the interval does not lie beyond the 10.0% that do not matter"
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


def test_within_one_folder_only_what_took_turns_is_told_apart() -> None:
    figures = figure(SLOW), replace(figure(FAST), occasion="there")
    reason = "x: the processes took no turns, and the machine has moods"
    assert stored_speed("x", figures, 0.03)[1:] == ("not resolved", reason)
    assert stored_speed("x", figures, 0.03, in_turn=False)[1] == "better"


def test_the_level_is_shared() -> None:
    figures = figure((975.0, 1000.0, 1025.0)), figure((1170.0, 1200.0, 1230.0))
    assert stored_speed("x", figures, 0.03)[1] == "better"
    assert stored_speed("x", figures, 0.03, together=45)[1] == "not resolved"
