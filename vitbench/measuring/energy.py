"""Energy of a step on an NVIDIA GPU, in a pass of its own: the difference of the GPU's own counter.

The counter (NVML, millijoules since the driver was loaded, from Volta on) sums up what the board takes, of which polls
of the power see moments only. It is updated every 20 to 100 ms, so each reading waits for an update and takes its time:
an error of a tenth of a second would be 5 % of a two-second pass. What the GPU takes while a reading waits is idle
power, which is measured first, and subtracted by whoever wants the energy of the work.
https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

from __future__ import annotations

import time
from typing import NamedTuple

import torch

from vitbench.errors import Skip
from vitbench.measuring.gpu import energy_joules, gpu_disturbances, observe_gpu
from vitbench.measuring.steps import Step, synchronise
from vitbench.protocols import EnergyUse

__all__ = ["measure_energy"]

SETTLE_SECONDS = 0.5
"""What a GPU gets to come to rest, before ..."""
IDLE_SECONDS = 1.0
"""... and for how long its idle power is measured."""
QUEUE_SECONDS = 0.1
"""How much work is given to the GPU at once, so that the pass ends on time."""
UPDATE_SECONDS = 1.0
"""A counter that has not changed for this long has stopped."""


class _Reading(NamedTuple):
    """The counter at the moment of an update."""

    joules: float
    seconds: float


def measure_energy(step: Step, *, device: torch.device, images_per_call: int, seconds: float = 2.0) -> EnergyUse:
    """Return the energy of calls of a step over some time, idle power beside it.

    Args:
        step: runs one pass; its context (`torch.inference_mode`) is the caller's.
        device: where it runs.
        images_per_call: images in each pass.
        seconds: least wall time of the pass.

    Raises:
        Skip: the device does not count its energy; the message says why.
    """
    if device.type != "cuda":
        owner = "the CPU" if device.type == "cpu" else device.type
        raise Skip(f"energy needs the counter of an NVIDIA GPU (NVML); {owner} has none that vitbench reads")
    if energy_joules(device) is None:
        raise Skip("energy needs a GPU that counts it: NVIDIA's from Volta on, with NVML, and not a slice (MIG)")
    idle_watts = _idle_watts(device)
    calls = _calls_to_queue(step, device)
    start_moment = observe_gpu(device)
    start, images = _next_update(device), 0
    while time.perf_counter() - start.seconds < seconds:
        for _ in range(calls):
            step()
        synchronise(device)
        images += calls * images_per_call
    end_moment = observe_gpu(device)
    end = _next_update(device)
    warnings, errors = gpu_disturbances(start_moment, end_moment) if start_moment and end_moment else ([], [])
    return EnergyUse(
        joules=end.joules - start.joules,
        idle_watts=idle_watts,
        seconds=end.seconds - start.seconds,
        images=images,
        warnings=tuple(warnings),
        errors=tuple(errors),
    )


def _idle_watts(device: torch.device) -> float:
    synchronise(device)
    time.sleep(SETTLE_SECONDS)
    start = _next_update(device)
    time.sleep(IDLE_SECONDS)
    end = _next_update(device)
    return (end.joules - start.joules) / (end.seconds - start.seconds)


def _calls_to_queue(step: Step, device: torch.device) -> int:
    step()
    synchronise(device)
    started = time.perf_counter()
    step()
    synchronise(device)
    return max(1, int(QUEUE_SECONDS / (time.perf_counter() - started)))


def _next_update(device: torch.device) -> _Reading:
    """Wait until the counter moves, and read it."""
    before, started = energy_joules(device), time.perf_counter()
    while True:
        joules, now = energy_joules(device), time.perf_counter()
        if joules is not None and joules != before:
            return _Reading(joules, now)
        if now - started > UPDATE_SECONDS:
            raise Skip("the GPU's energy counter does not advance")
        time.sleep(0.001)
