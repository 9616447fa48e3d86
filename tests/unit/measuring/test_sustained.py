"""A long window: how many blocks it has and which of them count. A false clock is the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vitbench.measuring import sustained, timing
from vitbench.measuring.evidence import Moment
from vitbench.measuring.gpu import GpuMoment
from vitbench.measuring.steps import InvalidOutput
from vitbench.measuring.sustained import sustain
from vitbench.protocols import Sustained

IMAGES, CLASSES = 8, 3
QUIET = Moment(wall=0.0, thread=0.0, ran=0.0, waited=0.0, stolen=0.0, switches=0, load=0.0)
GPU = GpuMoment(
    sm_clock_mhz=1980,
    max_sm_clock_mhz=1980,
    temperature_c=50,
    slowdown_c=90,
    utilisation=1.0,
    clock_reasons=(),
    other_processes=0,
    power_w=300.0,
)


class Machine:
    """A clock that moves by what each call takes, and what is observed on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: Callable[[float], float]) -> None:
        self.now, self.seconds = 0.0, seconds
        self.observe: Callable[[float], Moment] = lambda now: replace(QUIET, wall=now, thread=now)
        self.output: Tensor = torch.zeros(IMAGES, CLASSES)
        monkeypatch.setattr(timing, "seconds_of", self.seconds_of)
        monkeypatch.setattr(sustained.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(sustained, "observe", lambda device: self.observe(self.now))

    def seconds_of(self, call: Callable[[], object], device: torch.device) -> float:
        before = self.now
        call()
        return self.now - before

    def step(self) -> Tensor:
        self.now += self.seconds(self.now)
        return self.output

    def sustain(self, seconds: float) -> Sustained:
        return sustain(self.step, "inference", torch.zeros(IMAGES, 3, 2, 2), CLASSES, seconds=seconds)


def kept(found: Sustained) -> float:
    """Return the images per second of the blocks that count."""
    blocks = found.block_seconds[found.counts_from :]
    return found.batch_size * found.calls_per_block * len(blocks) / sum(blocks)


def test_the_second_half_counts_and_the_course_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chip that runs at twice its speed for the first five seconds of twenty."""
    machine = Machine(monkeypatch, lambda now: 0.01 if now < 5 else 0.02)
    found = machine.sustain(20.0)
    assert kept(found) == pytest.approx(IMAGES / 0.02)
    assert (found.warnings, found.errors) == ((), ())
    assert 20 <= found.seconds < 22.1
    assert found.calls_per_block == 100, "a block of a second"
    speeds = [row["images_per_second"] for row in found.course]
    assert (speeds[0], speeds[-1]) == (pytest.approx(IMAGES / 0.01), pytest.approx(IMAGES / 0.02))
    assert len(speeds) == len(found.block_seconds)
    assert [row["seconds"] for row in found.course][-1] == pytest.approx(found.seconds)


def test_a_speed_that_still_falls_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Machine(monkeypatch, lambda now: 0.01 * (1 + now / 20)).sustain(20.0)
    assert any("the times drift" in reason for reason in found.warnings)


def test_a_step_longer_than_the_window_is_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Machine(monkeypatch, lambda now: 9.0).sustain(5.0)
    assert (found.block_seconds, found.calls_per_block, found.counts_from) == ((9.0,), 1, 0)


def test_the_window_ends_with_a_block_that_reaches_it_and_not_with_what_is_read_after_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch, lambda now: 0.01)

    def observe(now: float) -> Moment:
        machine.now += 0.5
        return replace(QUIET, wall=now, thread=now)

    machine.observe = observe
    assert machine.sustain(2.9).seconds == pytest.approx(4), "blocks end after 1, 2.5 and 4 seconds"


def test_clocks_that_fall_are_in_the_course_and_no_disturbance_and_a_neighbour_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch, lambda now: 0.01)

    def observe(now: float) -> Moment:
        hot = now > 11
        gpu = replace(GPU, sm_clock_mhz=990, temperature_c=89, clock_reasons=("hardware slow-down",)) if hot else GPU
        gpu = replace(gpu, other_processes=int(16 < now < 17.5))
        return replace(QUIET, wall=now, thread=now, clock_mhz=1000.0 if hot else 3000.0, gpu=gpu)

    machine.observe = observe
    found = machine.sustain(20.0)
    assert (found.warnings, found.errors) == (("another process on the GPU",), ())
    assert (
        found.course[0].items()
        > {
            "clock_mhz": 3000,
            "gpu_sm_clock_mhz": 1980,
            "gpu_temperature_c": 50,
            "gpu_power_w": 300,
        }.items()
    )
    assert (found.course[-1]["clock_mhz"], found.course[-1]["gpu_sm_clock_mhz"]) == (1000, 990)


def test_outputs_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda now: 0.5)
    machine.output = torch.full((IMAGES, CLASSES), torch.nan)
    assert machine.sustain(2.0).errors == ("the model's output was not finite",)
    machine.output = torch.zeros(IMAGES, CLASSES + 1)
    with pytest.raises(InvalidOutput):
        machine.sustain(2.0)
