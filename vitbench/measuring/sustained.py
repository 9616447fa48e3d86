"""The throughput of a long window: what is left of it when a chip has spent its boost and has grown warm.

A timing of a second or two runs at boost clocks: a GPU holds them until its power or its temperature meets a limit, a
laptop's processor until its case is warm. Whoever serves or trains for hours gets less. So calls go on for as long as
the suite says, in blocks of about a second, between which the clocks are read, and the blocks of the second half count.
Here falling clocks are not a disturbance but what is measured; that the speed still falls at the end is said.

Shapes: B images in a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from vitbench.measuring.evidence import Moment, disturbances, observe
from vitbench.measuring.noise import noise_reasons
from vitbench.measuring.steps import Step
from vitbench.measuring.timing import Block, no_garbage_collection, output_check
from vitbench.protocols import Sustained
from vitbench.records import Mode

__all__ = ["sustain"]

BLOCK_SECONDS = 1.0
"""About how long a block is, and thus how fine the course."""


def sustain(step: Step, mode: Mode, batch: Tensor, num_classes: int | None, *, seconds: float) -> Sustained:
    """Run a step that is warm for so many seconds, and return the times of its blocks and the course of the clocks.

    Args:
        step: a forward pass, called under `torch.inference_mode`, or a training step.
        mode: which of the two.
        batch: ``[B, C, H, W]``, a batch as the step takes it.
        num_classes: K, where it is to be checked.
        seconds: of the window; it ends with the block that reaches them.

    Raises:
        InvalidOutput: the step's output is not a batch of logits, or not a loss.
    """
    device = batch.device
    starts: list[float] = []
    blocks: list[float] = []
    with no_garbage_collection(), torch.inference_mode(mode == "inference"):
        block = Block(step, device, cross_check=True, check=output_check(mode, batch, num_classes))
        calls = max(1, math.ceil(BLOCK_SECONDS / min(block(1), block(1))))
        block.forget()
        moments = [observe(device)]
        began = time.perf_counter()
        while not blocks or starts[-1] + blocks[-1] < seconds:
            starts.append(time.perf_counter() - began)
            blocks.append(block(calls))
            moments.append(observe(device))
    first = next((i for i, start in enumerate(starts) if start >= seconds / 2), len(blocks) - 1)
    of_gpu = [moment.gpu for moment in moments[first + 1 : -1] if moment.gpu is not None]
    found = (
        noise_reasons(blocks[first:]),
        disturbances(
            moments[first],
            moments[-1],
            threads=torch.get_num_threads(),
            on_cpu=device.type == "cpu",
            gpu_between=of_gpu,
            clocks=False,
        ),
        block.findings(),
    )
    images = len(batch) * calls
    return Sustained(
        mode=mode,
        batch_size=len(batch),
        seconds=starts[-1] + blocks[-1],
        block_seconds=tuple(blocks),
        calls_per_block=calls,
        counts_from=first,
        course=tuple(
            _course_row(start + taken, images / taken, moment)
            for start, taken, moment in zip(starts, blocks, moments[1:], strict=True)
        ),
        warnings=tuple(reason for warnings, _ in found for reason in warnings),
        errors=tuple(reason for _, errors in found for reason in errors),
    )


def _course_row(seconds: float, images_per_second: float, moment: Moment) -> dict[str, float]:
    """Return what is known at the end of a block, by name."""
    known = {"seconds": seconds, "images_per_second": images_per_second, "clock_mhz": moment.clock_mhz}
    if moment.gpu is not None:
        known |= {
            "gpu_sm_clock_mhz": moment.gpu.sm_clock_mhz,
            "gpu_temperature_c": moment.gpu.temperature_c,
            "gpu_power_w": moment.gpu.power_w,
        }
    return {name: float(value) for name, value in known.items() if value is not None}
