"""The order of an examination: which checks belong to which device, and what a refusal says."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import psutil
import pytest
import torch

from vitbench.doctor import examine, gpu_checks, host_checks
from vitbench.doctor.messages import Examined, MachineCheck
from vitbench.errors import UnusableError, UsageError
from vitbench.planning.suite import Conditions


def ask(device: str) -> Examined:
    return examine.examine_in_child(msgspec.msgpack.encode(Conditions(device=device)), None, lambda message: None)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = iter([0.10, 0.10, 0.11, 0.12, 0.12] * 9)
    monkeypatch.setattr(examine, "block_seconds", lambda work: [next(blocks) for _ in range(5)])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu_checks, "read_driver", lambda: None)


def names(examined: Examined) -> set[str]:
    assert isinstance(examined, Examined)
    return {check.name for check in examined.checks}


def test_the_noise_floor_is_the_spread_of_the_blocks_and_comes_last() -> None:
    examined = ask("cpu")
    assert isinstance(examined, Examined)
    assert examined.noise_floor == pytest.approx(0.02 / 0.11)
    assert examined.checks[-1] == host_checks.noise_check(examined.noise_floor)


def test_the_driver_is_of_interest_unless_the_cpu_was_asked_for() -> None:
    assert "driver" not in names(ask("cpu"))
    assert "driver" in names(ask("auto"))
    assert "gpu" not in names(ask("auto")), "there is none"


def test_a_gpu_is_watched_where_runs_would_be_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "resolve_device", lambda asked: "cuda:1")
    monkeypatch.setattr(examine, "machine_class", lambda device: f"a GPU as {device}")
    observe, gpus = examine.observe, iter(["before", "after"])
    devices = []

    def observe_both(device: torch.device) -> object:
        devices.append(str(device))
        return replace(observe(torch.device("cpu")), gpu=next(gpus))

    monkeypatch.setattr(examine, "observe", observe_both)
    monkeypatch.setattr(
        examine, "facts", lambda *_, threads: {"load": 0.0, "processor_share": 1.0, "stolen_share": 0.0}
    )
    monkeypatch.setattr(
        gpu_checks, "gpu_check", lambda *moments: MachineCheck(name="gpu", ok=True, found=", ".join(moments))
    )
    monkeypatch.setattr(examine, "gpu_settings", lambda device: {"mig": 1.0} if device == "cuda:1" else {})
    examined = ask("cuda:1")
    assert {"driver", "gpu", "gpu settings"} <= names(examined)
    assert isinstance(examined, Examined)
    assert examined.machine_class == "a GPU as cuda:1"
    assert devices == ["cuda:1", "cuda:1"]
    assert {"before, after", "mig on"} <= {check.found for check in examined.checks}


@pytest.mark.parametrize(("quota", "told"), [(None, False), (1.5, True)])
def test_a_quota_is_watched_where_there_is_one(
    quota: float | None, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examine, "cpu_quota", lambda: quota)
    observed = {"load": 0.0, "processor_share": 1.0, "stolen_share": 0.0, "throttled_share": 0.2}
    monkeypatch.setattr(examine, "facts", lambda start, end, threads: observed)
    assert ("quota" in names(ask("cpu"))) == told


@pytest.mark.parametrize(("plugged", "well"), [(True, True), (None, True), (False, False)])
def test_a_battery(plugged: bool | None, well: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    battery = psutil._ntuples.sbattery(percent=50, secsleft=3600, power_plugged=plugged)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    examined = ask("cpu")
    assert isinstance(examined, Examined)
    [power] = [check for check in examined.checks if check.name == "power"]
    assert power.ok == well


def test_swapping_while_it_watched_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    swapped = iter([8192, 12288])
    monkeypatch.setattr(examine, "_swapped", lambda: next(swapped))
    examined = ask("cpu")
    assert isinstance(examined, Examined)
    assert "swapped while it was watched" in next(check.found for check in examined.checks if check.name == "memory")


def test_a_refusal_says_why_the_driver_does_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_checks, "read_driver", lambda: gpu_checks.Driver(fault="Driver Not Loaded"))
    with pytest.raises(UnusableError) as refusal:
        ask("cuda")
    assert str(refusal.value).startswith("--device cuda: ")
    assert "does not answer: Driver Not Loaded. Reboot" in str(refusal.value)


def test_a_refusal_says_nothing_of_a_driver_that_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        gpu_checks, "driver_check", lambda *_: MachineCheck(name="driver", ok=True, found="no NVIDIA GPU")
    )
    with pytest.raises(UnusableError) as refusal:
        ask("cuda")
    assert "NVIDIA" not in str(refusal.value)


def test_a_word_that_is_no_device_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        ask("gpu")
