"""Several processes become one record: values, verdicts, evidence, and how it ended."""

from __future__ import annotations

import factories
import pytest

from vitbench.execution.executor import Ending
from vitbench.execution.messages import CellResult
from vitbench.records import Measurement, PluginOrigin, Verdict
from vitbench.running.attempt import Attempt, merge_processes, status_of
from vitbench.running.largest_batch import LargestBatch

SPEED = factories.speed_cell("a")


def ended(kind: str = "answered", seconds: float = 1.0, **outcome: object) -> Ending:
    result = CellResult(**{"status": "ok", **outcome}) if kind == "answered" else None
    return Ending(kind=kind, seconds=seconds, answer=result, reason="" if result else "why")


def one(value: float | None, name: str = "x", **fields: object) -> tuple[Measurement, ...]:
    return (Measurement(name=name, value=value, **fields),)


def test_one_process_keeps_its_own_interval() -> None:
    alone = one(0.5, low=0.4, high=0.6, n=100)
    assert merge_processes([alone]) == alone


def test_processes_that_agree_say_how_many_they_were() -> None:
    (merged,) = merge_processes([one(53_000.0, n=1)] * 3)
    assert (merged.value, merged.low, merged.high, merged.n) == (53_000.0, 53_000.0, 53_000.0, 3)


def test_a_figure_that_is_the_same_everywhere_keeps_its_own_interval() -> None:
    own = one(0.5, low=0.4, high=0.6, n=100)
    (merged,) = merge_processes([own] * 3)
    assert (merged.low, merged.high, merged.n, merged.interval) == (0.4, 0.6, 100, "95%")


def test_the_value_of_each_process_is_kept_and_the_ends_are_a_range() -> None:
    (merged,) = merge_processes([one(value, n=50) for value in (3.0, 1.0, 2.0)])
    assert (merged.value, merged.processes, merged.interval) == (2.0, (3.0, 1.0, 2.0), "range")


@pytest.mark.parametrize("having", [(0,), (2,), (0, 2), (1, 2)])
def test_a_figure_of_the_fast_processes_alone_is_none(having: tuple[int, ...]) -> None:
    """As a 99th percentile, for which one process had the calls and another had not."""
    tail = one(0.5, "p99", n=700, samples=((0.5, 0.4),))
    processes = [(*one(1.0, "t"), *(tail if i in having else ())) for i in range(3)]
    merged = {each.name: each for each in merge_processes(processes)}
    assert merged["t"].value == 1.0
    found = merged["p99"]
    assert (found.value, found.low, found.high) == (None, None, None)
    assert found.verdict == Verdict(level="invalid", reasons=(f"only {len(having)} of 3 processes gave it",))


@pytest.mark.parametrize("having", [(1,), (0, 1)])
def test_a_figure_without_samples_is_of_the_first_process_or_of_all(having: tuple[int, ...]) -> None:
    processes = [(*one(1.0, "t"), *(one(5.0, "x") if i in having else ())) for i in range(3)]
    found = {each.name: each for each in merge_processes(processes)}["x"]
    assert (found.value, found.verdict.level) == (None, "invalid")


def test_a_figure_of_the_first_process_alone_is_kept_as_it_is() -> None:
    merged = merge_processes([(*one(53_000.0, "params", n=1), *one(1.0, "t")), one(2.0, "t"), one(3.0, "t")])
    assert {each.name: each.value for each in merged} == {"params": 53_000.0, "t": 2.0}
    assert merged[0].verdict == Verdict()


def test_a_value_that_one_process_lacks_is_no_value() -> None:
    missing = one(None, verdict=Verdict(level="invalid", reasons=("12 samples",)))
    (merged,) = merge_processes([one(1.0), missing, one(2.0)])
    assert (merged.value, merged.low, merged.high) == (None, None, None)
    assert merged.verdict == Verdict(level="invalid", reasons=("12 samples, in 1 of 3 processes",))


def test_the_worst_verdict_holds_and_reasons_that_differ_in_numbers_are_one() -> None:
    def warned(*reasons: str, level: str = "warn") -> tuple[Measurement, ...]:
        return one(1.0, verdict=Verdict(level=level, reasons=reasons))

    (merged,) = merge_processes(
        [warned("load average 4.1 on 2 cores"), warned("load average 3.0 on 2 cores", "slow clock"), one(1.0)]
    )
    assert merged.verdict == Verdict(
        level="warn",
        reasons=("load average 4.1 on 2 cores, in 2 of 3 processes", "slow clock, in 1 of 3 processes"),
    )
    (merged,) = merge_processes([warned("a 1"), warned("a 2"), warned("a 3")])
    assert merged.verdict.reasons == ("a 1",), "what holds for all of them needs no count"
    (merged,) = merge_processes([warned("a"), warned("b", level="invalid"), one(1.0)])
    assert merged.verdict.level == "invalid"


def throughputs(*values: float) -> Measurement:
    (merged,) = merge_processes([one(value, unit="images/s", samples=((value,),)) for value in values])
    return merged


def test_processes_that_differ_turn_the_verdict() -> None:
    assert throughputs(100.0, 109.0, 99.0).verdict == Verdict()
    merged = throughputs(100.0, 112.0, 95.0)
    assert merged.verdict == Verdict(level="warn", reasons=("the processes differ by 17%",))
    assert (merged.value, merged.low, merged.high) == (100.0, 95.0, 112.0)


@pytest.mark.parametrize("kind", ["timeout", "oom", "crashed"])
def test_a_process_without_an_answer_says_how_it_ended(kind: str) -> None:
    assert status_of(ended(kind)) == (kind, "why")
    attempt = Attempt(planned=SPEED, endings=[ended(measurements=one(1.0)), ended(kind)])
    record = attempt.record("run", "environment", {})
    assert attempt.failed
    assert (record.status, record.reason, record.measurements, record.seconds) == (kind, "why", (), 2.0)


def test_evidence_of_each_process_is_kept() -> None:
    endings = [ended(evidence={"load": 1.0}), ended(), ended(evidence={"load": 2.0})]
    assert Attempt(planned=SPEED, endings=endings).record("run", "e", {}).evidence == ({"load": 1.0}, {"load": 2.0})


def test_the_largest_batch_stands_before_its_figures() -> None:
    attempt = Attempt(
        planned=SPEED,
        endings=[ended(measurements=one(5.0, "largest_batch_throughput"))],
        largest=LargestBatch(batch_size=96, too_large=100),
        search_seconds=3.0,
    )
    record = attempt.record("run", "e", {})
    assert [(m.name, m.value, m.low, m.high) for m in record.measurements] == [
        ("largest_batch", 96, 96, 99),
        ("largest_batch_throughput", 5.0, None, None),
    ]
    assert record.seconds == 4.0


def test_a_failure_at_the_largest_batch_keeps_what_the_search_found() -> None:
    attempt = Attempt(planned=SPEED, endings=[ended("oom")], largest=LargestBatch(batch_size=96, too_large=100))
    record = attempt.record("run", "e", {})
    assert (record.status, record.reason) == ("oom", "at the largest batch, 96: why")
    assert [m.name for m in record.measurements] == ["largest_batch"]


def test_what_one_process_found_counts_for_all_and_is_said_once() -> None:
    endings = [
        ended(measurements=one(1.0), faults=("it disagrees",)),
        ended(measurements=one(1.0), warnings=("it changed a flag",)),
        ended(measurements=one(1.0), warnings=("it changed a flag",)),
    ]
    record = Attempt(planned=SPEED, endings=endings).record("run", "e", {})
    assert (record.faults, record.warnings) == (("it disagrees",), ("it changed a flag",))
    assert record.measurements[0].verdict == Verdict(level="invalid", reasons=("it changed a flag", "it disagrees"))


def test_what_a_process_does_once_may_differ_more() -> None:
    def merged(*values: float) -> Verdict:
        return merge_processes([one(value, "cold_start") for value in values])[0].verdict

    assert merged(1.0, 1.0, 1.4) == Verdict()
    assert merged(1.0, 1.0, 9.0) == Verdict(level="warn", reasons=("the processes differ by 800%",))


def test_processes_may_differ_around_nothing_and_below_it() -> None:
    def verdict(*values: float) -> Verdict:
        return merge_processes([one(value) for value in values])[0].verdict

    assert verdict(-1.0, 0.0, 1.0).reasons == ("the processes differ by 2",)
    assert verdict(-1.0, -1.2, -1.1) == Verdict()
    assert verdict(-1.0, -9.0, -1.0).reasons == ("the processes differ by 800%",)


def test_the_plugins_of_all_processes_metrics_are_kept_once() -> None:
    first, second = (
        PluginOrigin(plugin=name, distribution="d", version="1", code_hash="c0de") for name in ("first", "second")
    )
    attempt = Attempt(planned=factories.speed_cell())
    attempt.endings = [ended(measured_by=(first,)), ended(measured_by=(second, first)), ended(measured_by=(first,))]
    assert attempt.record("run", "digest", {}).measured_by == (first, second)
