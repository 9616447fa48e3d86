"""Several processes become one record: values, verdicts, evidence, and how it ended."""

from __future__ import annotations

import math
from collections.abc import Sequence

import factories
import msgspec
import numpy as np
import pytest
from scipy.special import stdtrit

from vitbench.execution.executor import Ending
from vitbench.execution.messages import CellResult
from vitbench.records import Measurement, PluginOrigin, Ratio, Verdict
from vitbench.running.attempt import FULL_PROCESSES, LOOK_CONFIDENCE, Attempt, merge_processes, status_of
from vitbench.running.largest_batch import LargestBatch
from vitbench.running.runner import SPEED_PROCESSES

SPEED = factories.speed_cell("a")


def ended(kind: str = "answered", seconds: float = 1.0, **outcome: object) -> Ending:
    result = CellResult(**{"status": "ok", **outcome}) if kind == "answered" else None
    return Ending(kind=kind, seconds=seconds, answer=result, reason="" if result else "why")


def one(value: float | None, name: str = "x", **fields: object) -> tuple[Measurement, ...]:
    return (Measurement(name=name, value=value, **fields),)


def test_processes_that_agree_say_how_many_they_were() -> None:
    (merged,) = merge_processes([one(53_000.0, n=1)] * 3)
    assert (merged.value, merged.low, merged.high, merged.n) == (53_000.0, 53_000.0, 53_000.0, 3)


def test_one_process_keeps_its_own_interval_as_does_a_figure_that_is_the_same_everywhere() -> None:
    alone = one(0.5, low=0.4, high=0.6, n=100)
    assert merge_processes([alone]) == alone

    own = one(0.5, low=0.4, high=0.6, n=100)
    (merged,) = merge_processes([own] * 3)
    assert (merged.low, merged.high, merged.n, merged.interval) == (0.4, 0.6, 100, "95%")


def test_the_value_of_each_process_is_kept_and_the_ends_are_a_range() -> None:
    (merged,) = merge_processes([one(value, n=50) for value in (3.0, 1.0, 2.0)])
    assert (merged.value, merged.processes, merged.interval) == (2.0, (3.0, 1.0, 2.0), "range")


@pytest.mark.parametrize("having", [(0,), (1, 2)])
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


def in_turn(*ratios: float, reference: float = 1000.0, verdict: Verdict | None = None) -> Measurement:
    """Return the throughput of processes with these ratios to the reference network."""
    processes = [
        one(
            ratio * reference,
            "throughput",
            samples=((ratio * reference,),),
            verdict=verdict or Verdict(),
            ratio=Ratio(
                value=ratio,
                value_of_all=1.1 * ratio,
                reference=reference + i,
                network="net-1",
                quads=8 + i,
                left_out=i,
                samples=((float(i),),),
            ),
        )
        for i, ratio in enumerate(ratios)
    ]
    (merged,) = merge_processes(processes)
    return merged


def relative(ratio: float) -> tuple[Measurement, ...]:
    """Return what one process gives whose model has a ratio to the reference network."""
    whole = Ratio(value=ratio, value_of_all=ratio, reference=1000.0, network="net-1", quads=8, left_out=0)
    return one(1000 * ratio, "throughput", samples=((1000 * ratio,),), ratio=whole)


def test_a_ratio_has_students_interval_over_the_logarithms_of_its_processes() -> None:
    # Logarithms -0.02, 0, 0.02: deviation 0.02, and t with two degrees of freedom is 4.849 at 98 %.
    merged = in_turn(math.exp(-0.02), 1.0, math.exp(0.02))
    ratio = merged.ratio
    assert ratio is not None
    half = 4.848732 * 0.02 / math.sqrt(3)
    assert ratio.value == pytest.approx(1.0)
    assert (ratio.low, ratio.high) == (pytest.approx(math.exp(-half)), pytest.approx(math.exp(half)))
    assert ratio.half_width == pytest.approx(math.exp(half) - 1)
    assert ratio.value_of_all == pytest.approx(1.1)
    assert ratio.processes == (math.exp(-0.02), 1.0, math.exp(0.02))


def test_a_ratio_keeps_what_its_processes_knew_of_the_reference_and_the_measured_value_stands_beside_it() -> None:
    ratio = in_turn(2.0, 1.0, 3.0).ratio
    assert ratio is not None
    assert (ratio.reference, ratio.references, ratio.network) == (1001.0, (1000.0, 1001.0, 1002.0), "net-1")
    assert (ratio.quads, ratio.left_out, ratio.samples) == (8 + 9 + 10, 3, ((0.0,), (1.0,), (2.0,)))

    merged = in_turn(2.0, 2.1, 1.9)
    assert (merged.value, merged.low, merged.high) == (2000.0, 1900.0, 2100.0)
    assert merged.interval == "range"


def spread_of(half: float, count: int = 7) -> list[float]:
    """Return ratios whose interval has this half width: by thirds below, at and above 1."""
    logs = np.resize([-1.0, 0.0, 1.0], count)
    logs -= logs.mean()
    t = float(stdtrit(count - 1, (1 + LOOK_CONFIDENCE) / 2))
    return list(np.exp(logs * math.log1p(half) / (t * logs.std(ddof=1) / math.sqrt(count))))


@pytest.mark.parametrize(
    ("half", "level", "count"), [(0.0499, "valid", 3), (0.0501, "warn", 5), (0.0999, "warn", 7), (0.1001, "invalid", 5)]
)
def test_half_the_interval_of_a_ratio_is_its_verdict(half: float, level: str, count: int) -> None:
    merged = in_turn(*spread_of(half, count))
    assert merged.ratio is not None
    assert merged.ratio.half_width == pytest.approx(half)
    assert merged.verdict.level == level
    wide = f"known to {half:.0%} only: the processes' ratios to the reference network differ"
    assert merged.verdict.reasons == (() if level == "valid" else (wide,))


def test_the_times_may_differ_where_the_ratios_agree() -> None:
    """The machine was half as fast for one process, and so was the reference."""
    values, ratio = (2000.0, 1000.0, 2000.0), in_turn(2.0, 2.0, 2.0).ratio
    merged = merge_processes([one(each, samples=((each,),), ratio=ratio) for each in values])[0]
    assert merged.verdict == Verdict()


@pytest.mark.parametrize("having", [(0,), (1, 2)])
def test_a_ratio_is_of_all_processes_or_there_is_none(having: tuple[int, ...]) -> None:
    """As at the largest batch, which left room for the reference network in some of them alone."""
    ratio = in_turn(2.0, 2.0).ratio
    processes = [one(100.0, samples=((100.0,),), ratio=ratio if i in having else None) for i in range(3)]
    (merged,) = merge_processes(processes)
    assert (merged.ratio, merged.value) == (None, 100.0)


@pytest.mark.parametrize("level", ["warn", "invalid"])
def test_a_narrow_interval_does_not_hide_what_a_process_said(level: str) -> None:
    merged = in_turn(1.0, 1.0, 1.0, verdict=Verdict(level=level, reasons=("it was not finite",)))
    assert merged.verdict == Verdict(level=level, reasons=("it was not finite",))
    wide = in_turn(*spread_of(0.07), verdict=Verdict(level=level, reasons=("it was not finite",)))
    assert (wide.verdict.level, len(wide.verdict.reasons)) == (level, 2)


FULL = tuple(range(FULL_PROCESSES))
FEW = SPEED_PROCESSES[0]


@pytest.mark.parametrize(
    ("having", "complete"), [(FULL, True), (FULL[:-1], False), (FULL[1:], False), ((*FULL, 4), False)]
)
def test_what_only_the_first_processes_measure_is_of_all_of_these(having: tuple[int, ...], complete: bool) -> None:
    memory = one(100.0, "peak_memory")
    processes = [(*one(1.0, "t", samples=((1.0,),)), *(memory if i in having else ())) for i in range(7)]
    found = {each.name: each for each in merge_processes(processes)}["peak_memory"]
    assert (found.value, found.verdict.level) == ((100.0, "valid") if complete else (None, "invalid"))
    assert found.n == (len(having) if complete else found.n)


@pytest.mark.parametrize("lacking", [0, 6])
def test_a_figure_of_time_is_of_all_processes(lacking: int) -> None:
    processes = [one(1.0, "t", samples=((1.0,),)) if i != lacking else one(2.0, "other") for i in range(7)]
    found = {each.name: each for each in merge_processes(processes)}["t"]
    assert (found.value, found.verdict.reasons) == (None, ("only 6 of 7 processes gave it",))


@pytest.mark.simulation
def test_the_interval_holds_the_ratio_and_no_less_often_where_it_is_called_valid() -> None:
    """Processes differ by 1 to 6 %, and an occasion moves all of them, which is what the interval is of."""
    found = coverage(200)
    assert found["all"] >= 0.94
    assert found["valid"] >= 0.94
    worst = coverage(800, [0.06])  # 20,000 give 0.932 among the valid ones; seven processes for all gave 0.894
    assert worst["valid"] >= 0.915


@pytest.mark.parametrize(
    ("deviation", "settled"), [(0.0, True), (0.01, True), (0.025, False), (0.1, False), (0.5, True)]
)
def test_more_processes_are_asked_for_where_they_help(deviation: float, settled: bool) -> None:
    logs = deviation * np.array([-1.0, -0.5, 0.0, 0.5, 1.0]) / 0.79
    answers = [ended(measurements=relative(ratio)) for ratio in np.exp(logs).tolist()]
    assert Attempt(planned=SPEED, endings=answers).settled is settled
    assert Attempt(planned=SPEED, endings=answers[:1]).settled
    measured = [ended(measurements=one(100.0 + i, samples=((1.0,),))) for i in range(5)]
    assert Attempt(planned=SPEED, endings=measured).settled, "a figure without a ratio asks for none"


def coverage(tables: int, deviations: Sequence[float] = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06)) -> dict[str, float]:
    """Return the shares of intervals that hold the occasion's own ratio: of all, and of those called valid.

    Beside it the share that is called valid, and the mean number of processes.
    """
    random = np.random.default_rng(0)
    held: dict[str, list[bool]] = {"all": [], "valid": []}
    processes = []
    for deviation in deviations:
        for _ in range(tables):
            mood = float(random.normal(0, 0.05))
            ratios = np.exp(mood + random.normal(0, deviation, SPEED_PROCESSES[-1])).tolist()
            few = Attempt(planned=SPEED, endings=[ended(measurements=relative(each)) for each in ratios[:FEW]])
            processes.append(FEW if few.settled else len(ratios))
            merged = in_turn(*ratios[: processes[-1]])
            assert merged.ratio is not None
            assert merged.ratio.low is not None
            assert merged.ratio.high is not None
            own = merged.ratio.low <= math.exp(mood) <= merged.ratio.high
            held["all"].append(own)
            if merged.verdict.level == "valid":
                held["valid"].append(own)
    shares = {name: float(np.mean(own)) for name, own in held.items()}
    return shares | {"called valid": len(held["valid"]) / len(held["all"]), "processes": float(np.mean(processes))}


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


def test_the_course_is_the_first_processs_and_the_evidence_of_each_is_kept() -> None:
    endings = [ended(course=({"seconds": 1.0},)), ended(course=({"seconds": 2.0},)), ended()]
    assert Attempt(planned=SPEED, endings=endings).record("run", "e", {}).course == ({"seconds": 1.0},)

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
    def merged(*values: float, n: int | None = 1) -> Verdict:
        return merge_processes([one(value, "cold_start", n=n) for value in values])[0].verdict

    assert merged(1.0, 1.0, 1.4) == merged(1.0, 1.0, 1.4, n=None) == Verdict()
    assert merged(1.0, 1.0, 1.4, n=20).reasons == ("the processes differ by 40%",), "it rests on many calls"
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


def test_what_disturbed_the_machine_counts_where_the_measured_speed_ranks() -> None:
    busy = Verdict(level="warn", reasons=("the host took 9 % of the time",))
    figure = in_turn(1.0, 1.01, 1.0)
    processes = [
        (
            msgspec.structs.replace(
                figure, value=1000.0 + i, ratio=msgspec.structs.replace(figure.ratio, measured=busy), processes=()
            ),
        )
        for i in range(3)
    ]
    assert merge_processes(processes)[0].verdict == Verdict()
    assert merge_processes(processes, by_ratio=False)[0].verdict == busy
