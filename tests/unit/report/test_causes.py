"""Reasons are known by their words: those that are written here today, and as a record holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import factories as f
import pytest

from vitbench.measuring import evidence
from vitbench.measuring.evidence import Moment, disturbances
from vitbench.measuring.gpu import GpuMoment
from vitbench.measuring.noise import call_noise_reasons, noise_reasons
from vitbench.report.causes import kind_of, own_reasons, shared_cause
from vitbench.running.attempt import merge_processes

START = Moment(wall=0.0, thread=0.0, ran=0.0, waited=0.0, stolen=0.0, switches=0, load=2.0, throttled=0.0)
END = replace(START, wall=1.0, thread=1.0, ran=1.0)
GPU = GpuMoment(
    sm_clock_mhz=1980,
    max_sm_clock_mhz=1980,
    temperature_c=50,
    slowdown_c=90,
    utilisation=1.0,
    clock_reasons=(),
    other_processes=0,
)
NORMAL = [1.0 + 0.001 * (i % 7) for i in range(100)]


def words_of(reasons: Sequence[str]) -> set[str]:
    causes = [shared_cause([reason]) for reason in reasons]
    return {cause.words.partition(";")[0] if cause else "" for cause in causes}


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (replace(END, waited=0.2), "other processes were using the processors"),
        (replace(END, waited=9.0), "other processes were using the processors"),
        (replace(END, load=9.0), "other processes were using the processors"),
        (replace(END, stolen=0.9), "the host of the virtual machine took the processors"),
        (replace(END, throttled=0.9), "a quota stopped the processes"),
        (replace(END, clock_mhz=1000.0), "clocks fell, or the GPU was hot"),
        (replace(END, gpu=replace(GPU, sm_clock_mhz=500)), "clocks fell, or the GPU was hot"),
        (replace(END, gpu=replace(GPU, other_processes=1)), "other processes used the GPU"),
        (replace(END, gpu=replace(GPU, other_processes=3)), "other processes used the GPU"),
    ],
)
def test_what_disturbs_a_timed_region_is_known(end: Moment, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_processors", lambda: 2)
    start = replace(START, clock_mhz=3000.0, gpu=GPU)
    end = replace(end, gpu=end.gpu or GPU)
    warnings, errors = disturbances(start, end, threads=1, on_cpu=True)
    assert words_of([*warnings, *errors]) == {words}


def test_a_gpus_host_that_waits_for_a_processor_is_known() -> None:
    [waited], _ = disturbances(START, replace(END, waited=0.4), threads=1, on_cpu=False)
    assert words_of([waited]) == {"other processes were using the processors"}


def test_threads_beyond_the_cores_explain_what_lacked_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "usable_cores", lambda: 2)
    warnings, errors = disturbances(START, replace(END, waited=9.0), threads=64, on_cpu=True)
    cause = shared_cause([*errors, *warnings])
    assert cause is not None
    assert cause.words == "there were more threads than usable cores"


@pytest.mark.parametrize(
    "seconds",
    [
        [*NORMAL[:50], *(2 * second for second in NORMAL[50:])],
        [second * (1 + i / 50) for i, second in enumerate(NORMAL)],
        [*NORMAL[:-1], 50.0],
        NORMAL * 2 + [3 * second for second in NORMAL],
    ],
)
def test_times_that_are_not_steady_are_known(seconds: list[float]) -> None:
    of_blocks, of_calls = noise_reasons(seconds), call_noise_reasons(seconds)
    reasons = [*of_blocks[0], *of_blocks[1], *of_calls[0], *of_calls[1]]
    assert reasons
    assert words_of(reasons) == {"the times were not steady"}


def test_processes_that_differ_are_known_as_a_record_says_them() -> None:
    processes = [
        [f.measurement("throughput", value, verdict="warn", reasons=[f"the last 3 warm-up blocks differ by {value}%"])]
        for value in (1.0, 5.0, 9.0)
    ]
    [merged] = merge_processes([*processes, [f.measurement("throughput", 2.0)]])
    assert any(reason.endswith("in 3 of 4 processes") for reason in merged.verdict.reasons)
    assert any(reason.startswith("the processes differ by") for reason in merged.verdict.reasons)
    assert words_of(merged.verdict.reasons) == {"the times were not steady"}


def test_what_is_wrong_with_a_model_is_its_own() -> None:
    faults = [
        "predictions are not deterministic: 12 of 360 images got a different class in a second pass",
        "1 of 3 seeds has no result",
        "the processor of images gave nan",
        "seed 3: row 7 is nan",
    ]
    assert own_reasons([*faults, "load average 3.4 on 2 cores, in 1 of 3 processes"]) == faults


def test_a_kind_has_neither_numbers_nor_seeds_nor_processes() -> None:
    kinds = {
        kind_of(text) for text in ("row 7 is nan", "seed 3: row 12 is nan", "row 1,024 is nan, in 2 of 3 processes")
    }
    assert kinds == {"row # is nan"}
