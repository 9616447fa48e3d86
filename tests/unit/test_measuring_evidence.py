"""Which disturbances are told, in which words, and that a quiet machine gives none."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from vitbench.measuring import evidence
from vitbench.measuring.evidence import Moment, disturbances, noise_reasons, observe, relative_spread

START = Moment(wall=10.0, thread=1.0, ran=5.0, waited=0.0, stolen=0.0, switches=100)
QUIET = Moment(wall=11.0, thread=1.99, ran=6.98, waited=0.01, stolen=0.01, switches=130)
"""A second later, two threads busy."""


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "usable_cores", lambda: 2)
    monkeypatch.setattr(evidence, "cpu_quota", lambda: None)
    monkeypatch.setattr(evidence.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(evidence.psutil, "getloadavg", lambda: (2.0, 0.0, 0.0))


def test_a_quiet_machine_gives_no_reason() -> None:
    assert disturbances(START, QUIET, threads=2, on_cpu=True) == ([], [])


def test_threads_that_waited_are_told() -> None:
    end = replace(QUIET, ran=6.6, waited=0.4, switches=312)
    reason = "had the processor 80% of the time (212 involuntary context switches)"
    assert disturbances(START, end, threads=2, on_cpu=True) == ([reason], [])


def test_a_process_that_hardly_ran_is_invalid() -> None:
    warnings, errors = disturbances(START, replace(QUIET, ran=6.0, waited=1.0), threads=2, on_cpu=True)
    assert warnings == []
    assert errors[0].startswith("had the processor 50% of the time")


def test_without_the_kernels_schedule_the_calling_thread_tells() -> None:
    start, end = replace(START, ran=0.0, waited=0.0), replace(QUIET, ran=0.0, waited=0.0)
    assert disturbances(start, end, threads=2, on_cpu=True) == ([], [])
    warnings, _ = disturbances(start, replace(end, thread=1.8), threads=2, on_cpu=True)
    assert warnings[0].startswith("had the processor 80% of the time")


def test_on_a_gpu_the_host_may_wait() -> None:
    assert disturbances(START, replace(QUIET, thread=1.0), threads=8, on_cpu=False) == ([], [])


def test_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert disturbances(START, QUIET, threads=8, on_cpu=True) == (["8 threads on 2 usable cores"], [])
    monkeypatch.setattr(evidence, "cpu_quota", lambda: 1.5)
    assert disturbances(START, QUIET, threads=8, on_cpu=True) == (["8 threads on a quota of 1.5 cores"], [])


def test_load_and_the_hosts_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence.psutil, "getloadavg", lambda: (4.12, 0.0, 0.0))
    warnings, errors = disturbances(START, replace(QUIET, stolen=0.2), threads=2, on_cpu=True)
    assert warnings == ["the host took 10% of the processors", "load average 4.1 on 2 cores"]
    assert errors == []


def test_counters_see_this_thread_at_work_and_others() -> None:
    start = observe()
    other = threading.Thread(target=lambda: sum(range(2_000_000)))
    other.start()
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    end = observe()
    other.join()
    assert end.wall - start.wall >= end.thread - start.thread >= 0.05
    assert end.switches >= start.switches
    assert end.ran == start.ran == 0 or end.ran - start.ran >= 0.04


def test_spread_is_the_interquartile_range_over_the_median() -> None:
    assert relative_spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 3)
    assert relative_spread([7.0]) == 0


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([1.0, 1.01, 1.02, 1.03, 1.04], ([], [])),
        ([1.0, 1.0, 1.0, 1.1, 1.1], (["IQR 10% of the median"], [])),
        ([1.0, 1.0, 1.0, 1.4, 1.4], ([], ["IQR 40% of the median"])),
    ],
)
def test_noise(blocks: list[float], expected: tuple[list[str], list[str]]) -> None:
    assert noise_reasons(blocks) == expected
