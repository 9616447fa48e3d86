"""What a GPU says, NVML's calls replaced: each disturbance is told, a quiet GPU gives none, silence is survived."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch

from vitbench import nvidia
from vitbench.measuring import gpu
from vitbench.measuring.gpu import (
    GpuMoment,
    GpuWatch,
    energy_joules,
    gpu_disturbance,
    gpu_disturbances,
    gpu_facts,
    observe_gpu,
    process_memory,
)

CUDA = torch.device("cuda", 1)
UUID = "ffc79498-8ff3-c2dc-3b0d-fafd804516ae"
QUIET = GpuMoment(
    sm_clock_mhz=1980,
    max_sm_clock_mhz=1980,
    temperature_c=60,
    slowdown_c=90,
    utilisation=0.97,
    clock_reasons=(),
    other_processes=0,
)
SILENT = GpuMoment(
    sm_clock_mhz=None,
    max_sm_clock_mhz=None,
    temperature_c=None,
    slowdown_c=None,
    utilisation=None,
    clock_reasons=None,
    other_processes=None,
)


class FakeNvml:
    """Answers of the one GPU, by call; an exception is raised."""

    def __init__(self) -> None:
        self.handles = {f"GPU-{UUID}": "handle"}
        self.answers: dict[str, object] = {
            "nvmlInit": None,
            "nvmlDeviceGetClockInfo": {pynvml.NVML_CLOCK_SM: 1755},
            "nvmlDeviceGetMaxClockInfo": {pynvml.NVML_CLOCK_SM: 1980},
            "nvmlDeviceGetTemperature": {pynvml.NVML_TEMPERATURE_GPU: 61},
            "nvmlDeviceGetTemperatureThreshold": {pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN: 90},
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=97, memory=40),
            "nvmlDeviceGetCurrentClocksThrottleReasons": pynvml.nvmlClocksThrottleReasonNone,
            "nvmlDeviceGetComputeRunningProcesses": [],
            "nvmlDeviceGetMigMode": [0, 0],
            "nvmlDeviceGetTotalEnergyConsumption": 12_345,
            "nvmlDeviceGetPowerUsage": 412_500,
            "nvmlDeviceGetProcessUtilization": pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND),
        }

    def call(self, name: str) -> Callable[..., object]:
        def answer(handle: object = "handle", *which: int) -> object:
            assert handle == "handle"
            said = self.answers[name]
            if isinstance(said, Exception):
                raise said
            return said[which[0]] if isinstance(said, dict) else said

        return answer

    def find(self, uuid: str) -> str:
        if uuid not in self.handles:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return self.handles[uuid]

    def run(self, **memory_by_process: int | None) -> None:
        """Let processes, named ``p<number>``, hold memory on the GPU."""
        self.answers["nvmlDeviceGetComputeRunningProcesses"] = [
            SimpleNamespace(pid=int(name[1:]), usedGpuMemory=used) for name, used in memory_by_process.items()
        ]


OWN = f"p{os.getpid()}"


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNvml]:
    fake = FakeNvml()
    for name in fake.answers:
        monkeypatch.setattr(pynvml, name, fake.call(name))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", fake.find)
    # CUDA_VISIBLE_DEVICES may make NVML's GPU 7 torch's cuda:1; the UUID is the same.
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: {CUDA: SimpleNamespace(uuid=UUID)}[device])
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 2**20)
    nvidia.handle_of.cache_clear()
    yield fake
    nvidia.handle_of.cache_clear()


def test_a_moment_is_what_nvml_says(nvml: FakeNvml) -> None:
    reasons = pynvml.nvmlClocksThrottleReasonSwPowerCap | pynvml.nvmlClocksThrottleReasonHwSlowdown
    nvml.answers["nvmlDeviceGetCurrentClocksThrottleReasons"] = reasons
    nvml.run(**{OWN: 500, "p1": 700})
    assert observe_gpu(CUDA) == GpuMoment(
        sm_clock_mhz=1755,
        max_sm_clock_mhz=1980,
        temperature_c=61,
        slowdown_c=90,
        utilisation=0.97,
        clock_reasons=("power cap", "hardware slow-down"),
        other_processes=1,
        others_busy=0.0,
        power_w=412.5,
    )
    assert energy_joules(CUDA) == 12.345


def test_no_gpu_no_driver_no_handle_no_moment(nvml: FakeNvml) -> None:
    assert observe_gpu(torch.device("cpu")) is None
    nvml.handles.clear()
    assert observe_gpu(CUDA) is None
    nvidia.handle_of.cache_clear()
    nvml.answers["nvmlInit"] = pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    for question in (observe_gpu, process_memory, energy_joules):
        assert question(CUDA) is None
        assert question(torch.device("cpu")) is None


@pytest.mark.parametrize(
    "error",
    [
        pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED),
        pynvml.NVMLLibraryMismatchError("an old driver"),
    ],
)
def test_what_a_gpu_does_not_support_is_unknown(nvml: FakeNvml, error: Exception) -> None:
    nvml.answers = dict.fromkeys(nvml.answers, error) | {"nvmlInit": None}
    nvml.handles = {f"MIG-{UUID}": "handle"}
    moment = observe_gpu(CUDA)
    assert moment == SILENT
    assert gpu_disturbances(moment, moment) == ([], [])
    assert gpu_disturbance(moment, moment) == 0.0
    assert gpu_facts(moment, moment) == {"gpu_moments": 2}
    assert process_memory(CUDA) is None
    assert energy_joules(CUDA) is None


def test_of_a_sliced_gpu_processes_and_energy_are_not_ours_alone(nvml: FakeNvml) -> None:
    nvml.run(**{OWN: 500, "p1": 700})
    nvml.answers["nvmlDeviceGetMigMode"] = [pynvml.NVML_DEVICE_MIG_ENABLE, 0]
    moment = observe_gpu(CUDA)
    assert moment is not None
    assert (moment.sm_clock_mhz, moment.other_processes) == (1755, None)
    assert (process_memory(CUDA), energy_joules(CUDA)) == (None, None)


@pytest.mark.parametrize(
    ("processes", "reserved", "others", "memory"),
    [
        ({OWN: 500}, 1, 0, 500),
        ({OWN: 500, "p1": 700, "p2": None}, 1, 2, 500),
        ({}, 1, 0, None),  # hidden by a container
        ({"p1": 700}, 1, 0, 700),  # in a container, with the number outside it
        ({"p1": 700, "p2": 300}, 1, 1, None),  # one of them is this process
        ({"p1": 700}, 0, 1, None),  # this process has not used the GPU yet
        ({OWN: 0}, 1, 0, None),  # what drivers of the 550s say within a container
        ({OWN: None}, 1, 0, None),  # Windows
    ],
)
def test_processes(
    nvml: FakeNvml,
    monkeypatch: pytest.MonkeyPatch,
    processes: dict[str, int | None],
    reserved: int,
    others: int,
    memory: int | None,
) -> None:
    nvml.run(**processes)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: reserved)
    moment = observe_gpu(CUDA)
    assert moment is not None
    assert moment.other_processes == others
    assert process_memory(CUDA) == memory


@pytest.mark.parametrize(
    ("end", "warnings", "errors"),
    [
        ({"sm_clock_mhz": 1620}, ["SM clock fell 18%"], []),
        ({"sm_clock_mhz": 990}, [], ["SM clock fell 50%"]),
        ({"temperature_c": 88}, ["the GPU is at 88 °C and slows down at 90 °C"], []),
        ({"other_processes": 1}, ["another process on the GPU"], []),
        ({"other_processes": 3}, ["3 other processes on the GPU"], []),
    ],
)
def test_each_disturbance_is_told(end: dict[str, int], warnings: list[str], errors: list[str]) -> None:
    assert gpu_disturbances(QUIET, replace(QUIET, **end)) == (warnings, errors)


THROTTLED = "the GPU was throttled: "


@pytest.mark.parametrize(
    ("bits", "warnings", "errors"),
    [
        ("SwThermalSlowdown", ["software thermal slow-down"], []),
        ("SyncBoost", ["sync boost with a slower GPU"], []),
        ("HwThermalSlowdown", [], ["hardware thermal slow-down"]),
        ("HwPowerBrakeSlowdown", [], ["hardware power brake"]),
        ("HwSlowdown", [], ["hardware slow-down"]),
        ("HwSlowdown HwThermalSlowdown", [], ["hardware thermal slow-down"]),
        ("GpuIdle SwPowerCap ApplicationsClocksSetting DisplayClockSetting", [], []),
    ],
)
def test_each_throttling_is_told_and_what_is_healthy_is_not(
    nvml: FakeNvml, bits: str, warnings: list[str], errors: list[str]
) -> None:
    nvml.answers["nvmlDeviceGetCurrentClocksThrottleReasons"] = sum(
        getattr(pynvml, f"nvmlClocksThrottleReason{bit}") for bit in bits.split()
    )
    throttled = observe_gpu(CUDA)
    assert throttled is not None
    expected = [THROTTLED + words for words in warnings], [THROTTLED + words for words in errors]
    calm = replace(throttled, clock_reasons=())
    assert gpu_disturbances(calm, throttled) == expected
    assert gpu_disturbances(throttled, calm) == expected


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ({"sm_clock_mhz": 345, "clock_reasons": ("idle",)}, {}),  # clocks rise under load
        ({}, {"sm_clock_mhz": 345, "clock_reasons": ("idle",)}),  # read when the GPU was idle again
        ({}, {"sm_clock_mhz": 1935}),  # three steps of boost
        ({"sm_clock_mhz": 990}, {"sm_clock_mhz": 990}),  # set so
        ({"sm_clock_mhz": None}, {}),
        ({}, {"sm_clock_mhz": None}),
        ({"temperature_c": 88}, {"temperature_c": 86}),  # cooler again
    ],
)
def test_clocks_and_heat_that_are_no_fault(start: dict[str, int], end: dict[str, int]) -> None:
    assert gpu_disturbances(replace(QUIET, **start), replace(QUIET, **end)) == ([], [])


def test_a_process_that_left_before_the_end_is_told() -> None:
    assert gpu_disturbances(replace(QUIET, other_processes=1), QUIET) == (["another process on the GPU"], [])


def test_facts_are_those_known() -> None:
    end = replace(QUIET, sm_clock_mhz=1905, temperature_c=None, clock_reasons=("power cap",))
    assert gpu_facts(QUIET, end) == {
        "gpu_moments": 2,
        "gpu_sm_clock_start_mhz": 1980,
        "gpu_sm_clock_min_mhz": 1905,
        "gpu_sm_clock_mean_mhz": 1942.5,
        "gpu_sm_clock_mhz": 1905,
        "gpu_max_sm_clock_mhz": 1980,
        "gpu_temperature_c": 60,
        "gpu_utilisation": 0.97,
        "gpu_power_capped": 1,
        "gpu_other_processes": 0,
    }


def test_a_peer_that_waits_is_no_disturbance() -> None:
    two = replace(QUIET, other_processes=2)
    assert gpu_disturbances(two, two, peers=1) == (["another process on the GPU"], [])
    assert gpu_disturbances(two, two, peers=2) == ([], [])


def sample(pid: int, busy: int) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, smUtil=busy)


@pytest.mark.parametrize(
    ("processes", "said", "busy"),
    [
        ({"p1": 700}, [sample(1, 30), sample(1, 20), sample(os.getpid(), 60)], 0.3),
        ({"p1": 700, "p2": 700}, [sample(1, 30), sample(2, 20), sample(3, 90)], 0.5),  # the third has ended
        ({"p1": 700, "p2": 700}, [sample(1, 80), sample(2, 70)], 1.0),
        ({"p1": 700}, pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND), 0.0),
        ({"p1": 700}, pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED), None),
        ({}, [sample(1, 30)], None),  # nobody else is on it
    ],
)
def test_what_other_processes_took_of_the_last_second(
    nvml: FakeNvml, processes: dict[str, int], said: object, busy: float | None
) -> None:
    nvml.run(**{OWN: 500}, **processes)
    nvml.answers["nvmlDeviceGetProcessUtilization"] = said
    moment = observe_gpu(CUDA)
    assert moment is not None
    assert moment.others_busy == busy


def test_under_numbers_of_outside_a_container_nobody_knows_who_worked(nvml: FakeNvml) -> None:
    nvml.run(p1=500, p2=700)
    nvml.answers["nvmlDeviceGetProcessUtilization"] = [sample(1, 30), sample(2, 60)]
    moment = observe_gpu(CUDA)
    assert moment is not None
    assert (moment.other_processes, moment.others_busy) == (1, None)


@pytest.mark.parametrize(
    ("busy", "warnings", "taken"),
    [
        (0.0, [], 0.0),  # an open notebook holds memory and takes no time
        (0.23, ["another process on the GPU, busy for 23% of the time"], 0.23),
        (None, ["another process on the GPU"], 1.0),
    ],
)
def test_a_neighbour_counts_by_its_work(busy: float | None, warnings: list[str], taken: float) -> None:
    end = replace(QUIET, other_processes=1, others_busy=busy)
    assert gpu_disturbances(QUIET, end) == (warnings, [])
    assert gpu_disturbance(QUIET, end) == taken


def test_the_work_of_a_peer_is_no_neighbours() -> None:
    start = replace(QUIET, other_processes=1, others_busy=0.5)
    assert gpu_disturbance(start, start, peers=1) == 0.0
    assert gpu_disturbance(start, replace(start, other_processes=2), peers=1) == 1.0


@pytest.mark.parametrize(
    ("end", "taken"),
    [
        ({"sm_clock_mhz": 1620}, 1.0),
        ({"clock_reasons": ("software thermal slow-down",)}, 1.0),
        ({"temperature_c": 89}, 0),
    ],
)
def test_a_gpu_that_slows_down_is_taken_and_one_that_is_warm_is_not(end: dict[str, Any], taken: float) -> None:
    assert gpu_disturbance(QUIET, replace(QUIET, **end)) == taken


def test_what_was_said_between_counts() -> None:
    slow, odd = replace(QUIET, sm_clock_mhz=1500), replace(QUIET, sm_clock_mhz=900)
    assert gpu_disturbances(QUIET, QUIET, between=[odd, QUIET, QUIET]) == ([], []), "a single reading does not decide"
    assert gpu_disturbances(QUIET, QUIET, between=[slow, slow, QUIET]) == (["SM clock fell 24%"], [])
    idle = replace(odd, clock_reasons=("idle",))
    assert gpu_disturbances(QUIET, QUIET, between=[idle, idle]) == ([], [])
    braked = replace(QUIET, clock_reasons=("hardware power brake",), other_processes=1)
    assert gpu_disturbances(QUIET, QUIET, between=[braked]) == (
        ["another process on the GPU"],
        ["the GPU was throttled: hardware power brake"],
    )
    assert gpu_disturbances(QUIET, QUIET, between=[braked], slows=False) == (["another process on the GPU"], [])


def test_facts_have_the_course_between(nvml: FakeNvml) -> None:
    between = [replace(QUIET, sm_clock_mhz=1500, temperature_c=88, power_w=700.0, clock_reasons=("power cap",))]
    found = gpu_facts(replace(QUIET, power_w=300.0), QUIET, between=between)
    assert found["gpu_sm_clock_min_mhz"] == 1500
    assert found["gpu_sm_clock_mean_mhz"] == 1820
    assert (found["gpu_temperature_c"], found["gpu_power_mean_w"], found["gpu_power_max_w"]) == (88, 500, 700)
    assert (found["gpu_power_capped"], found["gpu_moments"]) == (1, 3)


def test_a_watch_asks_not_too_often_and_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 10.0
    asked: list[torch.device] = []

    def observe(device: torch.device) -> GpuMoment | None:
        asked.append(device)
        return QUIET if len(asked) > 1 else None  # NVML may not be there

    monkeypatch.setattr(gpu, "observe_gpu", observe)
    monkeypatch.setattr(gpu, "time", SimpleNamespace(perf_counter=lambda: now))
    watch = GpuWatch(CUDA)
    for now in (10.0, 10.1, 10.24, 10.26, 10.3):  # noqa: B007 - the clock reads it
        watch.look()
    assert asked == [CUDA, CUDA]
    assert (watch.moments, watch.latest) == ([QUIET], QUIET)
    watch.forget()
    assert watch.latest is None
    watch.look()
    assert len(asked) == 3, "at once"
    GpuWatch(torch.device("cpu")).look()
    assert len(asked) == 3
