"""What NVML says of how a GPU is set, its calls replaced. Handles and silence: unit/measuring/test_gpu.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pynvml
import pytest

from vitbench import nvidia
from vitbench.nvidia import driver_version, gpu_settings, handle_of, uuids

ANSWERS: dict[str, object] = {
    "nvmlDeviceGetCount": 8,
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=81 * 2**30),
    "nvmlDeviceGetEnforcedPowerLimit": 350_000,
    "nvmlDeviceGetPowerManagementDefaultLimit": 700_000,
    "nvmlDeviceGetMaxClockInfo": {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 2619},
    "nvmlDeviceGetApplicationsClock": {pynvml.NVML_CLOCK_SM: 1755},
    "nvmlDeviceGetEccMode": [1, 0],
    "nvmlDeviceGetPersistenceMode": 0,
    "nvmlDeviceGetMigMode": [0, 1],
    "nvmlDeviceGetMaxPcieLinkGeneration": 5,
    "nvmlDeviceGetCurrPcieLinkWidth": 8,
    "nvmlDeviceGetMaxPcieLinkWidth": 16,
}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    given = dict(ANSWERS)

    def answering(name: str) -> Callable[..., object]:
        def answer(*arguments: object) -> object:
            said = given[name]
            if isinstance(said, Exception):
                raise said
            return said[arguments[1]] if isinstance(said, dict) else said

        return answer

    for name in given:
        monkeypatch.setattr(pynvml, name, answering(name))
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    handle_of.cache_clear()
    yield given
    handle_of.cache_clear()


def test_the_settings_are_those_now_in_watts_and_megahertz(answers: dict[str, object]) -> None:
    assert gpu_settings("handle") == {
        "gpus_of_the_machine": 8,
        "memory_bytes": 81 * 2**30,
        "power_limit_w": 350,
        "default_power_limit_w": 700,
        "max_sm_clock_mhz": 1980,
        "max_memory_clock_mhz": 2619,
        "application_sm_clock_mhz": 1755,
        "ecc": 1,
        "persistence": 0,
        "mig": 0,
        "pcie_generation": 5,
        "pcie_width": 8,
        "max_pcie_width": 16,
    }


def test_what_a_gpu_does_not_tell_is_left_out(answers: dict[str, object]) -> None:
    for name in answers:
        answers[name] = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    assert gpu_settings("handle") == {}
    assert gpu_settings(None) == {}


def test_without_a_driver_there_is_neither_handle_nor_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fails)
    nvidia.handle_of.cache_clear()
    assert handle_of("ffc79498-8ff3-c2dc-3b0d-fafd804516ae") is None
    assert driver_version() == ""
    nvidia.handle_of.cache_clear()


def test_all_gpus_are_known_by_their_uuids(answers: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda handle: f"GPU-{handle}")
    assert uuids() == ["GPU-0", "GPU-1"]


def test_the_driver_says_its_version(answers: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: "580.159.04")
    assert driver_version() == "580.159.04"
