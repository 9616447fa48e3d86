"""What a GPU says, NVML's calls replaced: each disturbance is told, a quiet GPU gives none, silence is survived."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import pynvml
import pytest
import torch

from vitbench.measuring import gpu
from vitbench.measuring.gpu import (
    GpuMoment,
    energy_joules,
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
    gpu._handle_of.cache_clear()
    yield fake
    gpu._handle_of.cache_clear()


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
    )


def test_no_gpu_no_driver_no_handle_no_moment(nvml: FakeNvml) -> None:
    assert observe_gpu(torch.device("cpu")) is None
    nvml.handles.clear()
    assert observe_gpu(CUDA) is None
    gpu._handle_of.cache_clear()
    nvml.answers["nvmlInit"] = pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    for question in (observe_gpu, process_memory, energy_joules):
        assert question(CUDA) is None
        assert question(torch.device("cpu")) is None


@pytest.mark.parametrize(
    "error",
    [
        pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED),
        pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND),
        pynvml.NVMLLibraryMismatchError("an old driver"),
    ],
)
def test_what_a_gpu_does_not_support_is_unknown(nvml: FakeNvml, error: Exception) -> None:
    nvml.answers = dict.fromkeys(nvml.answers, error) | {"nvmlInit": None}
    nvml.handles = {f"MIG-{UUID}": "handle"}
    moment = observe_gpu(CUDA)
    assert moment == SILENT
    assert gpu_disturbances(moment, moment) == ([], [])
    assert gpu_facts(moment, moment) == {}
    assert process_memory(CUDA) is None
    assert energy_joules(CUDA) is None


def test_of_a_sliced_gpu_processes_and_energy_are_not_ours_alone(nvml: FakeNvml) -> None:
    nvml.run(**{OWN: 500, "p1": 700})
    nvml.answers["nvmlDeviceGetMigMode"] = [pynvml.NVML_DEVICE_MIG_ENABLE, 0]
    moment = observe_gpu(CUDA)
    assert moment is not None
    assert (moment.sm_clock_mhz, moment.other_processes) == (1755, None)
    assert (process_memory(CUDA), energy_joules(CUDA)) == (None, None)


def test_energy_is_in_joules(nvml: FakeNvml) -> None:
    assert energy_joules(CUDA) == 12.345


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


def test_a_quiet_gpu_gives_no_reason() -> None:
    assert gpu_disturbances(QUIET, QUIET) == ([], [])
    assert gpu_disturbances(SILENT, SILENT) == ([], [])


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
        "gpu_sm_clock_start_mhz": 1980,
        "gpu_sm_clock_mhz": 1905,
        "gpu_max_sm_clock_mhz": 1980,
        "gpu_utilisation": 0.97,
        "gpu_power_capped": 1,
        "gpu_other_processes": 0,
    }


def test_a_peer_that_waits_is_no_disturbance() -> None:
    two = replace(QUIET, other_processes=2)
    assert gpu_disturbances(two, two, peers=1) == (["another process on the GPU"], [])
    assert gpu_disturbances(two, two, peers=2) == ([], [])
