"""How well this machine tells speeds: a small network timed in fresh processes, as a run times its models.

The network is not the reference itself, whose ratio to itself would be steady for the wrong reason: it is deeper in
convolutions, and wider. Its ratio to the reference and its plain speed are compared, and the steadier of the two is
what later runs rank by (vitbench/running/steadiness.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING

import msgspec

from vitbench.doctor.messages import MachineCheck, judged
from vitbench.errors import StoreError, UnusableError
from vitbench.execution.choice import chosen_executor
from vitbench.execution.executor import Send
from vitbench.planning.suite import Conditions
from vitbench.records import REFERENCE
from vitbench.running.attempt import LOOK_CONFIDENCE, SETTLED, VALID_HALF_WIDTH
from vitbench.running.runner import SPEED_PROCESSES
from vitbench.running.steadiness import Steadiness, keep_steadiness
from vitbench.statistics import process_mean

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Probed", "measure_speeds", "probe_in_child", "speeds_check"]

PROCESSES = 7
"""Fresh processes that the network is timed in."""
TIMEOUT = 120.0
"""Seconds for one process."""
BATCH_SIZE, IMAGE_SIDE, WIDTH = 16, 32, 32


class Probed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one process found."""

    machine_class: str
    device: str
    ratio: float
    """The network's images per second over the reference's."""
    measured: float
    """Its images per second."""


def probe_in_child(request: bytes, folder: Path | None, send: Send) -> Probed:
    """Decode the conditions of a run, and time the network in turn with the reference.

    Raises:
        UsageError, UnusableError: the device is none, or not there.
    """
    import torch

    from vitbench.environment import machine_class, resolve_device
    from vitbench.measuring.in_turn import time_in_turn
    from vitbench.measuring.reference import make_reference
    from vitbench.measuring.steps import inference_step, make_inputs
    from vitbench.worker.runtime import runtime, steady_allocator

    device = resolve_device(msgspec.msgpack.decode(request, type=Conditions).device)
    with runtime(precision="float32", threads=1, seed=0, device=device):
        steady_allocator()
        network = _network().to(device)
        place = torch.device(device)
        inputs = make_inputs((3, IMAGE_SIDE, IMAGE_SIDE), batch_size=BATCH_SIZE, device=place)
        reference = make_reference("inference", place)
        timing = time_in_turn(inference_step(network, inputs), reference, "inference", inputs[0], None)
    assert timing.in_turn is not None
    images = BATCH_SIZE * timing.calls_per_block * len(timing.block_seconds)
    return Probed(
        machine_class=machine_class(device),
        device=device,
        ratio=timing.in_turn.speed_ratio,
        measured=images / sum(timing.block_seconds),
    )


def _network() -> nn.Module:
    from torch import nn

    def block(width: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(width, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU())

    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, 10))
    return nn.Sequential(*(block(width) for width in (3, *[WIDTH] * 4)), head)


def measure_speeds(device: str) -> Steadiness:
    """Time the network in several fresh processes, as a run does, and keep what that says for later runs.

    Args:
        device: as the user writes it.

    Raises:
        UsageError: the word names no kind of device.
        UnusableError: this machine does not have it, a process failed, or the cache cannot be written.
    """
    executor, started = chosen_executor(), time.monotonic()
    found = [
        executor.run(
            "vitbench.doctor.speeds:probe_in_child", Conditions(device=device), Probed, timeout=TIMEOUT
        ).answered("timing a small network")
        for _ in range(PROCESSES)
    ]
    steadiness = Steadiness(
        machine=found[0].machine_class,
        device=found[0].device,
        network=REFERENCE,
        processes=len(found),
        ratio_deviation=_deviation([one.ratio for one in found]),
        measured_deviation=_deviation([one.measured for one in found]),
        seconds=(time.monotonic() - started) / len(found),
    )
    try:
        keep_steadiness(steadiness)
    except (OSError, StoreError) as error:
        raise UnusableError(f"what this machine resolves cannot be stored: {error}") from error
    return steadiness


def speeds_check(found: Steadiness) -> MachineCheck:
    """Say how well a speed is known here, in what time, and which of its forms later runs rank by."""
    names = {True: "ratio to the reference network", False: "measured speed"}
    deviations = {True: found.ratio_deviation, False: found.measured_deviation}
    few, most = SPEED_PROCESSES[0], SPEED_PROCESSES[-1]
    taken = few if _half_width(deviations[found.by_ratio], few) <= SETTLED else most
    half = _half_width(deviations[found.by_ratio], taken)
    words = (
        f"resolves speeds to {half:.1%} in {found.seconds * taken:.0f} s per model, in {taken} processes. "
        f"Over {found.processes} processes the {names[found.by_ratio]} varies by {deviations[found.by_ratio]:.1%}, "
        f"the {names[not found.by_ratio]} by {deviations[not found.by_ratio]:.1%}; later runs rank by the former"
    )
    advice = "Stop other processes and run this again, or compare two models in turn: vitbench compare --measure."
    return judged("speeds", half <= VALID_HALF_WIDTH, words, advice)


def _deviation(values: Sequence[float]) -> float:
    return stdev(map(math.log, values))


def _half_width(deviation: float, processes: int) -> float:
    """Return half of the interval that so many processes with this deviation would have."""
    step = deviation * math.sqrt((processes - 1) / 2)
    symmetric = [math.exp(step), math.exp(-step), *[1.0] * (processes - 2)]
    mean = process_mean(symmetric, LOOK_CONFIDENCE)
    assert mean.low is not None
    assert mean.high is not None
    return math.sqrt(mean.high / mean.low) - 1
