"""Driver, torch and GPU: each way in which they do not fit is injected, and beside it the cases where all is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest
import torch

from vitbench.doctor import gpu_checks
from vitbench.doctor.gpu_checks import Driver
from vitbench.doctor.messages import MachineCheck
from vitbench.measuring.gpu import GpuMoment

DRIVER = Driver(version="580.65.06", cuda=(13, 0), gpus=("NVIDIA H200",))
IDLE = GpuMoment(
    sm_clock_mhz=345,
    max_sm_clock_mhz=1980,
    temperature_c=31,
    slowdown_c=87,
    utilisation=0.0,
    clock_reasons=("idle",),
    other_processes=0,
)
SetTorch = Callable[..., None]


def is_well(check: MachineCheck) -> bool:
    """Whether a check found nothing; advice must come with a finding and only then."""
    assert check.ok == (not check.advice)
    return check.ok


@pytest.fixture
def set_torch(monkeypatch: pytest.MonkeyPatch) -> SetTorch:
    """Let torch be built for some CUDA and see some devices."""

    def change(*, built_for: str | None, devices: int) -> None:
        monkeypatch.setattr(torch, "__version__", "2.15.0")
        monkeypatch.setattr(torch.version, "cuda", built_for)
        monkeypatch.setattr(torch.version, "hip", None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")

    return change


def put_on_bus(root: Path, vendor: str, kind: str) -> None:
    card = root / "sys/bus/pci/devices/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "vendor").write_text(f"{vendor}\n")
    (card / "class").write_text(f"{kind}\n")


class TestDriver:
    def test_a_gpu_that_torch_sees_is_well(self, set_torch: SetTorch, tmp_path: Path) -> None:
        set_torch(built_for="13.2", devices=2)
        check = gpu_checks.driver_check(DRIVER, {}, tmp_path)
        assert is_well(check)
        assert check.found == "GPU 0, GPU 1; driver 580.65.06 (CUDA 13.0); torch 2.15.0 is built for CUDA 13.2"

    def test_no_gpu_is_well(self, set_torch: SetTorch, tmp_path: Path) -> None:
        set_torch(built_for="13.2", devices=0)
        put_on_bus(tmp_path, "0x8086", "0x030000")
        for driver in (None, replace(DRIVER, gpus=())):
            check = gpu_checks.driver_check(driver, {}, tmp_path)
            assert is_well(check)
            assert check.found == "no NVIDIA GPU; torch 2.15.0 is built for CUDA 13.2"

    @pytest.mark.parametrize(
        ("vendor", "kind", "well"),
        [("0x10de", "0x030200", False), ("0x10de", "0x030000", False), ("0x10de", "0x020700", True)],
    )
    def test_a_gpu_without_a_driver(
        self, vendor: str, kind: str, well: bool, set_torch: SetTorch, tmp_path: Path
    ) -> None:
        set_torch(built_for=None, devices=0)
        put_on_bus(tmp_path, vendor, kind)
        check = gpu_checks.driver_check(None, {}, tmp_path)
        assert is_well(check) == well
        assert well or check.found.startswith("there is an NVIDIA GPU, but no driver")

    def test_a_driver_that_does_not_answer(self, set_torch: SetTorch, tmp_path: Path) -> None:
        set_torch(built_for="13.2", devices=0)
        check = gpu_checks.driver_check(Driver(fault="Driver/library version mismatch"), {}, tmp_path)
        assert not is_well(check)
        assert check.found.endswith("does not answer: Driver/library version mismatch")
        assert check.advice.startswith("Reboot")

    def test_a_torch_without_cuda(self, set_torch: SetTorch, tmp_path: Path) -> None:
        set_torch(built_for=None, devices=0)
        check = gpu_checks.driver_check(DRIVER, {}, tmp_path)
        assert not is_well(check)
        assert check.found == "NVIDIA H200, driver 580.65.06, but torch 2.15.0 is built without CUDA"

    def test_a_driver_older_than_torch_needs(self, set_torch: SetTorch, tmp_path: Path) -> None:
        set_torch(built_for="13.2", devices=0)
        check = gpu_checks.driver_check(replace(DRIVER, version="535.1", cuda=(12, 2)), {}, tmp_path)
        assert not is_well(check)
        assert "driver 535.1, which offers CUDA 12.2 only; torch 2.15.0 is built for CUDA 13.2" in check.found
        assert check.advice == "Update the driver, or install a torch built for CUDA 12."

    def test_an_older_minor_version_is_not_the_reason(self, set_torch: SetTorch, tmp_path: Path) -> None:
        set_torch(built_for="13.2", devices=0)
        check = gpu_checks.driver_check(DRIVER, {"CUDA_VISIBLE_DEVICES": "7"}, tmp_path)
        assert not is_well(check)
        assert "but torch finds no device" in check.found

    @pytest.mark.parametrize("hidden", ["", "-1"])
    def test_gpus_hidden_on_purpose_are_no_fault(self, hidden: str, set_torch: SetTorch, tmp_path: Path) -> None:
        set_torch(built_for="13.2", devices=0)
        check = gpu_checks.driver_check(DRIVER, {"CUDA_VISIBLE_DEVICES": hidden}, tmp_path)
        assert is_well(check)
        assert "hidden by CUDA_VISIBLE_DEVICES" in check.found


class TestReadDriver:
    def test_no_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuse(monkeypatch, pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
        assert gpu_checks.read_driver() is None

    def test_a_library_that_does_not_fit_the_kernel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuse(monkeypatch, pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
        driver = gpu_checks.read_driver()
        assert driver is not None
        assert "mismatch" in driver.fault

    def test_a_gpu_that_fell_off_the_bus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer(monkeypatch)
        self.refuse(monkeypatch, pynvml.NVML_ERROR_GPU_IS_LOST, "nvmlDeviceGetHandleByIndex")
        driver = gpu_checks.read_driver()
        assert driver is not None
        assert "lost" in driver.fault

    @staticmethod
    def refuse(monkeypatch: pytest.MonkeyPatch, code: int, call: str = "nvmlInit") -> None:
        def fail(*_: object) -> None:
            raise pynvml.NVMLError(code)

        monkeypatch.setattr(pynvml, call, fail)

    @staticmethod
    def answer(monkeypatch: pytest.MonkeyPatch) -> None:
        answers = {
            "nvmlInit": lambda: None,
            "nvmlSystemGetCudaDriverVersion_v2": lambda: 12080,
            "nvmlSystemGetDriverVersion": lambda: "570.1",
            "nvmlDeviceGetCount": lambda: 2,
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetName": lambda handle: f"GPU {handle}",
        }
        for name, answer in answers.items():
            monkeypatch.setattr(pynvml, name, answer)

    def test_versions_and_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer(monkeypatch)
        assert gpu_checks.read_driver() == Driver(version="570.1", cuda=(12, 8), gpus=("GPU 0", "GPU 1"))


class TestGpu:
    def test_an_idle_gpu_is_well(self) -> None:
        check = gpu_checks.gpu_check(IDLE, IDLE)
        assert is_well(check)
        assert check.found == "31 °C, no other process on it"

    def test_what_it_does_not_tell_is_said(self) -> None:
        silent = replace(IDLE, other_processes=None, temperature_c=None)
        check = gpu_checks.gpu_check(silent, silent)
        assert is_well(check)
        assert check.found == "its other processes cannot be seen"
        assert is_well(gpu_checks.gpu_check(None, None))

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"other_processes": 1}, "another process on the GPU"),
            ({"temperature_c": 86}, "the GPU is at 86 °C and slows down at 87 °C"),
            ({"clock_reasons": ("hardware thermal slow-down",)}, "throttled: hardware thermal slow-down"),
        ],
    )
    def test_what_would_turn_a_verdict_is_found(self, changes: dict[str, object], words: str) -> None:
        check = gpu_checks.gpu_check(IDLE, replace(IDLE, **changes))
        assert not is_well(check)
        assert words in check.found


SETTINGS = {"power_limit_w": 700.0, "default_power_limit_w": 700.0, "persistence": 1.0, "ecc": 1.0, "mig": 0.0}


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (SETTINGS, "power limit 700 W, persistence mode on, ecc on, mig off"),
        ({**SETTINGS, "power_limit_w": 690.0}, "power limit 690 W, persistence mode on, ecc on, mig off"),
        ({"persistence": 0.0}, "persistence mode off"),
        ({}, "cannot be read (no NVML)"),
        ({"pcie_width": 16.0, "max_pcie_width": 16.0}, "cannot be read (no NVML)"),
    ],
)
def test_a_gpu_that_is_set_as_it_should_be(settings: dict[str, float], found: str) -> None:
    check = gpu_checks.settings_check(settings)
    assert is_well(check)
    assert check.found == found


@pytest.mark.parametrize(
    ("changes", "found", "advice"),
    [
        ({"power_limit_w": 350.0}, "its power limit is 350 W, by default 700 W", "`nvidia-smi -pl 700`"),
        ({"pcie_width": 4.0, "max_pcie_width": 16.0}, "its PCIe link has 4 of 16 lanes", "slot"),
    ],
)
def test_what_makes_a_gpu_slower_than_others_of_its_name(changes: dict[str, float], found: str, advice: str) -> None:
    check = gpu_checks.settings_check({**SETTINGS, **changes})
    assert not is_well(check)
    assert check.found == found
    assert advice in check.advice
