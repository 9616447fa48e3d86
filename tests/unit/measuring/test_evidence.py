"""Which disturbances are told, in which words, and that a quiet machine gives none."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from vitbench.measuring import evidence
from vitbench.measuring.evidence import Moment, disturbance, disturbances, facts, observe
from vitbench.measuring.gpu import GpuMoment

CPU = torch.device("cpu")
START = Moment(wall=10.0, thread=1.0, ran=5.0, waited=0.0, stolen=0.0, switches=100, load=2.0)
QUIET = Moment(wall=11.0, thread=1.99, ran=6.98, waited=0.01, stolen=0.01, switches=130, load=2.0)
"""A second later, two threads busy."""
GPU = GpuMoment(
    sm_clock_mhz=1980,
    max_sm_clock_mhz=1980,
    temperature_c=50,
    slowdown_c=90,
    utilisation=1.0,
    clock_reasons=(),
    other_processes=0,
)


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "usable_cores", lambda: 2)
    monkeypatch.setattr(evidence, "cpu_quota", lambda: None)
    monkeypatch.setattr(evidence.os, "cpu_count", lambda: 2)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_quiet_machine_gives_no_reason() -> None:
    start, end = replace(START, throttled=3.0, clock_mhz=3000.0), replace(QUIET, throttled=3.0, clock_mhz=2950.0)
    assert disturbances(start, end, threads=2, on_cpu=True) == ([], [])
    assert disturbances(replace(start, gpu=GPU), replace(end, gpu=GPU), threads=2, on_cpu=False) == ([], [])


def test_threads_that_waited_are_told_and_a_process_that_hardly_ran_is_invalid() -> None:
    end = replace(QUIET, ran=6.6, waited=0.4, switches=312)
    reason = "had the processor 80% of the time (212 involuntary context switches)"
    assert disturbances(START, end, threads=2, on_cpu=True) == ([reason], [])

    warnings, errors = disturbances(START, replace(QUIET, ran=6.0, waited=1.0), threads=2, on_cpu=True)
    assert warnings == []
    assert errors[0].startswith("had the processor 50% of the time")


def test_a_thread_that_sleeps_while_others_compute_was_not_disturbed() -> None:
    """OMP_WAIT_POLICY=passive, or a model that waits for its own threads."""
    assert disturbances(START, replace(QUIET, thread=1.3), threads=2, on_cpu=True) == ([], [])


@pytest.mark.parametrize("counts", [{"ran": 4.0, "waited": 0.1}, {"ran": 5.5, "waited": -0.1}])
def test_where_an_ended_thread_took_its_counts_along_the_calling_thread_tells(counts: dict[str, float]) -> None:
    end = replace(QUIET, **counts)
    assert disturbances(START, end, threads=2, on_cpu=True) == ([], [])
    for thread, share in ((1.8, 0.8), (2.02, 1.0), (0.5, 0.0)):
        assert facts(START, replace(end, thread=thread), threads=2)["processor_share"] == pytest.approx(share)


def test_without_the_kernels_schedule_the_calling_thread_tells() -> None:
    start, end = replace(START, ran=0.0, waited=0.0), replace(QUIET, ran=0.0, waited=0.0)
    assert disturbances(start, end, threads=2, on_cpu=True) == ([], [])
    warnings, _ = disturbances(start, replace(end, thread=1.8), threads=2, on_cpu=True)
    assert warnings[0].startswith("had the processor 80% of the time")


def test_on_a_gpu_the_host_may_wait_and_lower_its_clock() -> None:
    start, end = replace(START, clock_mhz=3000.0), replace(QUIET, thread=1.0, clock_mhz=1500.0)
    assert disturbances(start, end, threads=8, on_cpu=False) == ([], [])


def test_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert disturbances(START, QUIET, threads=8, on_cpu=True) == (["8 threads on 2 usable cores"], [])
    monkeypatch.setattr(evidence, "cpu_quota", lambda: 1.5)
    assert disturbances(START, QUIET, threads=8, on_cpu=True) == (["8 threads on a quota of 1.5 cores"], [])


def test_load_and_the_hosts_share() -> None:
    end = replace(QUIET, stolen=0.2, load=4.12)
    expected = ["the host took 10% of the processors", "load average 4.1 on 2 cores"]
    assert disturbances(START, end, threads=2, on_cpu=True) == (expected, [])


def test_the_hosts_share_of_a_short_region_is_counted_from_an_earlier_moment_on() -> None:
    tick = replace(START, wall=10.03, ran=5.03, thread=1.03, stolen=0.01 * (os.cpu_count() or 1))
    quiet, grave = disturbances(START, tick, threads=1, on_cpu=True, since=replace(START, wall=9.8))
    assert (quiet, grave) == ([], [])
    [reason], _ = disturbances(START, tick, threads=1, on_cpu=True)
    assert reason == "the host took 33% of the processors"


def test_a_quota_that_stopped_the_process_is_told() -> None:
    start = replace(START, throttled=3.0)
    # Each of two processors with a busy thread was stopped for 0.12 s.
    warnings, _ = disturbances(start, replace(QUIET, throttled=3.24), threads=2, on_cpu=True)
    assert warnings == ["the quota stopped the process for 12% of the time"]
    # On a GPU, one thread of the host is at work.
    warnings, _ = disturbances(start, replace(QUIET, throttled=3.24), threads=2, on_cpu=False)
    assert warnings == ["the quota stopped the process for 24% of the time"]


def test_a_clock_that_fell_is_told() -> None:
    start = replace(START, clock_mhz=3000.0)
    warnings, _ = disturbances(start, replace(QUIET, clock_mhz=2460.0), threads=2, on_cpu=True)
    assert warnings == ["the CPU clock fell 18%"]
    assert disturbances(start, replace(QUIET, clock_mhz=3600.0), threads=2, on_cpu=True) == ([], [])


def test_what_the_gpu_says_counts() -> None:
    start, end = replace(START, gpu=GPU), replace(QUIET, gpu=replace(GPU, sm_clock_mhz=990, other_processes=1))
    warnings, errors = disturbances(start, end, threads=2, on_cpu=False)
    assert warnings == ["another process on the GPU"]
    assert errors == ["SM clock fell 50%"]


def test_facts_are_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        "seconds": 1.0,
        "processor_share": pytest.approx(1.98 / 1.99),
        "delay_share": pytest.approx(0.01 / 1.99),
        "involuntary_switches": 30.0,
        "stolen_share": pytest.approx(0.005),
        "load": 2.0,
        "threads": 2.0,
        "usable_cores": 2.0,
    }
    assert facts(START, QUIET, threads=2) == known
    monkeypatch.setattr(evidence, "cpu_quota", lambda: 2.5)
    start = replace(START, throttled=3.0, clock_mhz=3000.0, gpu=GPU)
    end = replace(QUIET, throttled=3.1, clock_mhz=2900.0, gpu=GPU)
    more = facts(start, end, threads=2)
    assert known.items() <= more.items()
    assert {name: more[name] for name in ("quota", "throttled_share", "clock_start_mhz", "clock_mhz")} == {
        "quota": 2.5,
        "throttled_share": pytest.approx(0.05),
        "clock_start_mhz": 3000.0,
        "clock_mhz": 2900.0,
    }
    assert more["gpu_sm_clock_mhz"] == 1980.0


def test_stops_by_the_quota_are_read_from_control_groups_of_both_versions(tmp_path: Path) -> None:
    second = write(
        tmp_path / "v2",
        {
            "proc/self/cgroup": "0::/outer/inner\n",
            "sys/fs/cgroup/outer/inner/cpu.stat": "usage_usec 900000\nnr_throttled 0\nthrottled_usec 0\n",
            "sys/fs/cgroup/outer/cpu.stat": "usage_usec 900000\nnr_throttled 12\nthrottled_usec 1500000\n",
            "sys/fs/cgroup/cpu.stat": "usage_usec 900000\n",
        },
    )
    assert evidence._throttled(second) == 1.5
    first = write(
        tmp_path / "v1",
        {
            "proc/self/cgroup": "4:memory:/job\n1:cpu:/job\n",
            "sys/fs/cgroup/cpu/job/cpu.stat": "nr_periods 9\nnr_throttled 3\nthrottled_time 250000000\n",
        },
    )
    assert evidence._throttled(first) == 0.25
    assert evidence._throttled(tmp_path) is None


def test_the_clock_is_that_of_the_core_that_the_thread_is_on(tmp_path: Path) -> None:
    fields = " ".join(["R", *["0"] * 35, "5", "0"])  # the state is the third field, the core the 39th
    root = write(
        tmp_path,
        {
            "proc/thread-self/stat": f"41 (a (b) name) {fields}\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "800000\n",
            "sys/devices/system/cpu/cpu5/cpufreq/scaling_cur_freq": "3400123\n",
        },
    )
    assert evidence._clock_mhz(root) == 3400.123
    (root / "sys/devices/system/cpu/cpu5/cpufreq/scaling_cur_freq").unlink()
    assert evidence._clock_mhz(root) is None


def test_counters_see_this_thread_at_work_and_others() -> None:
    start = observe(CPU)
    other = threading.Thread(target=lambda: sum(range(2_000_000)))
    other.start()
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    end = observe(CPU)
    other.join()
    assert end.wall - start.wall >= end.thread - start.thread >= 0.05
    assert end.switches >= start.switches
    assert end.ran == start.ran == 0 or end.ran - start.ran >= 0.04
    assert end.gpu is None
    assert facts(start, end, threads=1)["seconds"] >= 0.05


def test_a_gpu_is_asked_where_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def observed(device: torch.device) -> GpuMoment:
        asked.append(device)
        return GPU

    monkeypatch.setattr(evidence, "observe_gpu", observed)
    assert observe(torch.device("cuda", 1)).gpu == GPU
    assert asked == [torch.device("cuda", 1)]


def test_observing_costs_little() -> None:
    def processor_seconds() -> float:
        start = time.thread_time()
        observe(CPU)
        return time.thread_time() - start

    assert min(processor_seconds() for _ in range(20)) < 0.005


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, 0.0),
        # Run delay of 0.5 s beside 1.5 s that the threads ran.
        ({"ran": 6.5, "waited": 0.5}, 0.25),
        # The host took 0.4 s of two processors' second.
        ({"stolen": 0.4}, 0.2),
        ({"ran": 6.5, "waited": 0.5, "stolen": 0.4}, 0.45),
        ({"ran": 5.1, "waited": 0.9, "stolen": 1.0}, 1.0),
        # Without the kernel's schedule the calling thread's own time tells, where it was switched out ...
        ({"ran": 5.0, "waited": 0.0, "thread": 1.7, "switches": 101}, 0.3),
        # ... and where it was not, it slept of its own will.
        ({"ran": 5.0, "waited": 0.0, "thread": 1.7}, 0.0),
    ],
)
def test_what_was_taken_is_the_run_delay_and_the_hosts_share(changes: dict[str, float], taken: float) -> None:
    quiet = replace(START, wall=11.0, thread=2.0, ran=7.0)
    assert disturbance(START, replace(quiet, **changes), on_cpu=True) == pytest.approx(taken)


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, 0.0),
        # Threads that sleep while the GPU works take nothing; those that wait for a processor do, however little they
        # run: 0.3 s of a second ...
        ({"ran": 5.1}, 0.0),
        ({"ran": 5.1, "waited": 0.3}, 0.3),
        # ... and what the host of a virtual machine took.
        ({"ran": 5.1, "waited": 0.3, "stolen": 0.4}, 0.5),
        # Of sixteen threads each waits a little, beside 7.6 s that they run.
        ({"ran": 12.6, "waited": 0.4}, 0.05),
        ({"waited": -0.1}, 0.0),  # a thread ended, and took its count out of the sum
        # Of the GPU counts what is more.
        ({"waited": 0.3, "gpu": replace(GPU, other_processes=1, others_busy=0.2)}, 0.3),
        ({"waited": 0.1, "gpu": replace(GPU, other_processes=1, others_busy=0.2)}, 0.2),
        ({"gpu": replace(GPU, other_processes=1)}, 1.0),
    ],
)
def test_on_a_gpu_the_wait_for_a_processor_and_its_neighbours_work_are_taken(
    changes: dict[str, Any], taken: float
) -> None:
    start = replace(START, gpu=GPU)
    assert disturbance(start, replace(start, **{"wall": 11.0, **changes}), on_cpu=False) == pytest.approx(taken)


def test_the_threads_of_a_gpus_host_that_wait_are_told_and_never_make_a_measurement_invalid() -> None:
    end = replace(QUIET, ran=5.1, waited=0.4)
    expected = ["the host's threads waited 40% of the time for a processor"], []
    assert disturbances(START, end, threads=8, on_cpu=False) == expected
    assert disturbances(START, replace(end, waited=0.04), threads=8, on_cpu=False) == ([], [])


def test_where_clocks_are_what_is_measured_they_are_no_disturbance() -> None:
    start = replace(START, clock_mhz=3000.0, gpu=GPU)
    slow = replace(GPU, sm_clock_mhz=990, clock_reasons=("hardware slow-down",), other_processes=1)
    end = replace(QUIET, clock_mhz=1000.0, gpu=slow)
    assert disturbances(start, end, threads=2, on_cpu=True, clocks=False) == (["another process on the GPU"], [])


def test_the_hosts_share_may_be_counted_from_an_earlier_moment_on() -> None:
    end = replace(START, wall=10.1, thread=1.1, ran=5.1, stolen=0.04)
    assert disturbance(START, end, on_cpu=True) == pytest.approx(0.2)
    assert disturbance(START, end, on_cpu=True, since=replace(START, wall=9.7)) == pytest.approx(0.05)


def test_a_glance_reads_the_counters_of_this_process() -> None:
    before = evidence.glance()
    while time.thread_time() < before.thread + 0.02:
        pass
    after = evidence.glance()
    assert after.thread > before.thread
    assert after.wall > before.wall
    assert 0 <= disturbance(before, after, on_cpu=True) <= 1
