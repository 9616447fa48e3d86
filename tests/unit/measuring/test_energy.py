"""Energy of a simulated GPU whose counter moves in steps: the work's joules come out; a lack of a counter is told."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from vitbench.errors import Skip
from vitbench.measuring import energy
from vitbench.measuring.energy import measure_energy
from vitbench.measuring.gpu import GpuMoment

CUDA = torch.device("cuda", 0)
IMAGES = 32
IDLE_WATTS, BUSY_WATTS = 70.0, 400.0
CALL_SECONDS = 0.013
JOULES_PER_IMAGE = (BUSY_WATTS - IDLE_WATTS) * CALL_SECONDS / IMAGES
"""Above idle."""
MOMENT = GpuMoment(
    sm_clock_mhz=1980,
    max_sm_clock_mhz=1980,
    temperature_c=60,
    slowdown_c=90,
    utilisation=1.0,
    clock_reasons=(),
    other_processes=0,
)


class SimulatedGpu:
    """A clock, a GPU that takes power, and a counter that shows its energy as it was at the last update."""

    def __init__(self, *, update_seconds: float = 0.1) -> None:
        self.now = self.joules = self.shown = 0.0
        self.update_seconds = self.next_update = update_seconds
        self.calls = 0

    def spend(self, seconds: float, watts: float) -> None:
        until = self.now + seconds
        while self.next_update <= until:
            self.joules += (self.next_update - self.now) * watts
            self.now, self.shown = self.next_update, self.joules
            self.next_update += self.update_seconds
        self.joules += (until - self.now) * watts
        self.now = until

    def sleep(self, seconds: float) -> None:
        self.spend(seconds, IDLE_WATTS)

    def step(self) -> torch.Tensor:
        self.calls += 1
        self.spend(CALL_SECONDS, BUSY_WATTS)
        return torch.zeros(IMAGES, 10)


def simulate(monkeypatch: pytest.MonkeyPatch, gpu: SimulatedGpu) -> None:
    monkeypatch.setattr(energy, "time", SimpleNamespace(perf_counter=lambda: gpu.now, sleep=gpu.sleep))
    monkeypatch.setattr(energy, "synchronise", lambda _: None)
    monkeypatch.setattr(energy, "energy_joules", lambda _: gpu.shown)
    monkeypatch.setattr(energy, "observe_gpu", lambda _: MOMENT)


@pytest.mark.parametrize("update_seconds", [0.02, 0.1])
def test_the_energy_of_the_work_is_the_simulated_one(monkeypatch: pytest.MonkeyPatch, update_seconds: float) -> None:
    gpu = SimulatedGpu(update_seconds=update_seconds)
    simulate(monkeypatch, gpu)
    use = measure_energy(gpu.step, device=CUDA, images_per_call=IMAGES)
    assert use.idle_watts == pytest.approx(IDLE_WATTS, rel=0.002)
    assert 2.0 <= use.seconds < 2.4
    assert use.images == IMAGES * (gpu.calls - 2)  # two calls are for calibration
    above_idle = use.joules - use.idle_watts * use.seconds
    assert above_idle / use.images == pytest.approx(JOULES_PER_IMAGE, rel=0.002)
    assert use.warnings == ()


def test_the_pass_is_as_long_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = SimulatedGpu()
    simulate(monkeypatch, gpu)
    assert 0.5 <= measure_energy(gpu.step, device=CUDA, images_per_call=IMAGES, seconds=0.5).seconds < 0.9


def test_a_slow_step_is_queued_once_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = SimulatedGpu()
    simulate(monkeypatch, gpu)
    queued = []

    def slow_step() -> torch.Tensor:
        gpu.spend(0.7, BUSY_WATTS)
        queued.append(gpu.now)
        return torch.zeros(1, 10)

    use = measure_energy(slow_step, device=CUDA, images_per_call=1)
    assert use.images == 3  # the third call ends after two seconds
    assert len(queued) == 3 + 2


def test_what_disturbs_the_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = SimulatedGpu()
    simulate(monkeypatch, gpu)
    disturbed = GpuMoment(
        sm_clock_mhz=1980,
        max_sm_clock_mhz=1980,
        temperature_c=60,
        slowdown_c=90,
        utilisation=1.0,
        clock_reasons=("hardware power brake",),
        other_processes=1,
    )
    monkeypatch.setattr(energy, "observe_gpu", lambda _: disturbed)
    use = measure_energy(gpu.step, device=CUDA, images_per_call=IMAGES)
    assert use.warnings == ("another process on the GPU",)
    assert use.errors == ("the GPU was throttled: hardware power brake",)


def test_a_cpu_has_no_counter() -> None:
    with pytest.raises(Skip) as skip:
        measure_energy(lambda: torch.zeros(1), device=torch.device("cpu"), images_per_call=1)
    assert str(skip.value) == ("energy needs the counter of an NVIDIA GPU (NVML); the CPU has none that vitbench reads")


def test_a_gpu_without_a_counter_says_so_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = SimulatedGpu()
    simulate(monkeypatch, gpu)
    monkeypatch.setattr(energy, "energy_joules", lambda _: None)
    with pytest.raises(Skip, match="from Volta on"):
        measure_energy(gpu.step, device=CUDA, images_per_call=IMAGES)
    assert gpu.calls == 0


def test_a_counter_that_stands_still_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = SimulatedGpu(update_seconds=1e9)
    simulate(monkeypatch, gpu)
    with pytest.raises(Skip, match="the GPU's energy counter does not advance"):
        measure_energy(gpu.step, device=CUDA, images_per_call=IMAGES)
