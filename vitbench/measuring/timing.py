"""Times of a model in one process: pipelined blocks for throughput, synchronised calls for latency.

Each time is a wall time of a monotonic clock. The spread over processes, which is what tells two models apart, is made
by whoever runs several of them; nothing here stands in for it. The rules follow MLPerf's loadgen (a result is valid or
says why not) and pyperf (warm up, calibrate, criticise your own noise).

Shapes: B images in a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import cycle
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.measuring.evidence import CLOCKS_AGREE, disturbances, noise_reasons, observe, relative_spread
from vitbench.protocols import Timing

__all__ = ["inference_step", "make_inputs", "synchronise", "time_inference", "time_training", "training_step"]

# The limits below let three processes of a small model end within five seconds, cold start included.
INPUT_BUFFERS = 4
"""Batches that take turns, so that no call finds the very input of the call before in the cache."""
BLOCK_SECONDS = 0.1
"""The least length of a block: a thousand times the clock's and the loop's own cost."""
STABLE_BLOCKS = 3
"""Warm-up ends when this many blocks in a row agree ..."""
STABLE_SPREAD = 0.05
"""... within this share of their median, largest to smallest ..."""
WARMUP_SECONDS = 0.75
"""... or after this time, not counting the cold start, and at least one more block."""
ENOUGH_BLOCKS = 5
"""Blocks for a median with quartiles."""
QUIET_SPREAD = 0.03
"""Interquartile range over the median at which more blocks would add little."""
NOISY_SECONDS = 0.75
"""How long to go on for a smaller spread."""
FEW_BLOCKS, SLOW_SECONDS = 3, 10.0
"""A slow model ends with fewer blocks; each is long enough to be an average over the machine's noise."""
ENOUGH_CALLS, ENOUGH_CALL_SECONDS = 64, 0.5
"""Single calls and time for a latency: as many as a 95th percentile needs, and for a fast model many more."""
MOST_CALLS, MOST_CALL_SECONDS = 662, 10.0
"""Never more calls than a 99th percentile needs, and never longer than this."""
LEARNING_RATE = 1e-6
"""So small that a thousand steps on noise leave the weights, and thus the work, as they are."""

Step = Callable[[], Tensor]
Autocast = Callable[[], AbstractContextManager[object]]


def make_inputs(
    input_shape: tuple[int, int, int],
    *,
    batch_size: int,
    device: torch.device,
    channels_last: bool = False,
    count: int = INPUT_BUFFERS,
) -> tuple[Tensor, ...]:
    """Return `count` batches of noise, float32 ``[B, C, H, W]``, the same at each call."""
    generator = torch.Generator().manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    batches = (torch.randn(batch_size, *input_shape, generator=generator) for _ in range(count))
    return tuple(batch.to(device, memory_format=layout) for batch in batches)


def inference_step(model: nn.Module, inputs: Sequence[Tensor], autocast: Autocast = nullcontext) -> Step:
    """Return a function that runs one forward pass on the next input and returns the logits ``[B, K]``.

    It puts the model in eval mode; call it under `torch.inference_mode`.
    """
    model.eval()
    buffers = cycle(inputs)

    def step() -> Tensor:
        with autocast():
            logits: Tensor = model(next(buffers))
        return logits

    return step


def training_step(model: nn.Module, inputs: Sequence[Tensor], autocast: Autocast = nullcontext) -> Step:
    """Return a function that runs forward, cross-entropy, backward and an AdamW step, and returns the loss.

    It puts the model in train mode, and trains it.
    """
    model.train()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trainable, lr=LEARNING_RATE)
    buffers = cycle(inputs)
    # What the labels are does not change the work; class 0 exists for every K.
    labels = torch.zeros(len(inputs[0]), dtype=torch.int64, device=inputs[0].device)

    def step() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        with autocast():
            loss = F.cross_entropy(model(next(buffers)), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return loss.detach()

    return step


def time_inference(model: nn.Module, inputs: Sequence[Tensor], *, autocast: Autocast = nullcontext) -> Timing:
    """Time forward passes under `torch.inference_mode`, in eval mode.

    Args:
        model: maps ``[B, C, H, W]`` to logits; it is left in eval mode.
        inputs: batches of one shape and device, which take turns. With B = 1 single calls are timed, each
            synchronised; with larger batches, blocks of pipelined calls.
        autocast: makes the context of each forward pass.
    """
    step = inference_step(model, inputs, autocast)
    with torch.inference_mode():
        return _time(step, "inference", inputs[0])


def time_training(model: nn.Module, inputs: Sequence[Tensor], *, autocast: Autocast = nullcontext) -> Timing:
    """Time training steps: forward, cross-entropy, backward, AdamW.

    The first step, which makes the optimiser's state, is part of the warm-up.

    Args:
        model: maps ``[B, C, H, W]`` to logits; it is left in train mode, with changed weights.
        inputs: batches of one shape and device, which take turns.
        autocast: makes the context of each forward pass.
    """
    return _time(training_step(model, inputs, autocast), "training", inputs[0])


def _time(step: Step, mode: Literal["inference", "training"], batch: Tensor) -> Timing:
    """Warm up, measure, and judge what was measured."""
    device, batch_size = batch.device, len(batch)
    single = mode == "inference" and batch_size == 1
    with _no_garbage_collection():
        block = _Block(step, device, cross_check=not single)
        warmup_seconds, calls, warnings = _warm_up(block)
        block.forget()
        block_seconds: list[float] = []
        call_seconds: list[float] = []
        start = observe()
        if single:
            call_seconds, calls = _measure_calls(block), 1
        else:
            block_seconds = _measure_blocks(block, calls)
        end = observe()
    findings = (
        noise_reasons(block_seconds or _medians(call_seconds)),
        disturbances(start, end, threads=torch.get_num_threads(), on_cpu=device.type == "cpu"),
        block.findings(),
    )
    return Timing(
        mode=mode,
        batch_size=batch_size,
        block_seconds=tuple(block_seconds),
        calls_per_block=calls,
        call_seconds=tuple(call_seconds),
        warmup_seconds=warmup_seconds,
        warnings=(*warnings, *(reason for found, _ in findings for reason in found)),
        errors=tuple(reason for _, found in findings for reason in found),
    )


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


class _Block:
    """Runs and times calls of a step, and keeps what the clocks and the outputs said."""

    def __init__(self, step: Step, device: torch.device, *, cross_check: bool) -> None:
        self.step = step
        self.device = device
        self.finite = True
        self.events: tuple[torch.cuda.Event, torch.cuda.Event] | None = None
        # Not for single calls: of a short one, the synchronisation alone is more than the clocks may differ by.
        if cross_check and device.type == "cuda":
            self.events = _event(), _event()
        self.forget()

    def forget(self) -> None:
        """Start the sums of both clocks anew."""
        self.wall_seconds = self.device_seconds = 0.0

    def __call__(self, calls: int) -> float:
        """Return the wall seconds of some calls, pipelined, and of one synchronisation at their end."""
        synchronise(self.device)
        start = time.perf_counter_ns()
        if self.events:
            self.events[0].record(torch.cuda.current_stream(self.device))
        for _ in range(calls):
            output = self.step()
        if self.events:
            self.events[1].record(torch.cuda.current_stream(self.device))
        synchronise(self.device)
        seconds = (time.perf_counter_ns() - start) / 1e9
        if self.events:
            self.device_seconds += self.events[0].elapsed_time(self.events[1]) / 1e3
        self.wall_seconds += seconds
        self.finite = self.finite and bool(output.isfinite().all())
        return seconds

    def findings(self) -> tuple[list[str], list[str]]:
        """Return (warnings, errors) in words."""
        warnings = []
        if self.events:
            gap = abs(self.wall_seconds - self.device_seconds) / self.wall_seconds
            if gap > CLOCKS_AGREE:
                warnings.append(f"CUDA events and the wall clock differ by {gap:.0%}")
        return warnings, [] if self.finite else ["the model's output was not finite"]


def _warm_up(block: _Block) -> tuple[tuple[float, ...], int, list[str]]:
    """Run until the times are stable; return the seconds of each block, the calls for a block, and warnings."""
    seconds = [block(1)]  # the cold start
    calls = 1
    steady: list[float] = []  # blocks of full length
    started = time.perf_counter()
    while True:
        seconds.append(block(calls))
        if seconds[-1] < BLOCK_SECONDS:
            # A tenth more than is needed, so that a block which runs a little faster does not start this anew.
            calls = min(10 * calls, math.ceil(1.1 * calls * BLOCK_SECONDS / seconds[-1]))
            steady.clear()
            continue
        steady.append(seconds[-1])
        last = steady[-STABLE_BLOCKS:]
        spread = (max(last) - min(last)) / float(np.median(last))
        full = len(last) == STABLE_BLOCKS
        if full and spread <= STABLE_SPREAD:
            return tuple(seconds), calls, []
        if time.perf_counter() - started >= WARMUP_SECONDS:
            unsteady = f"the last {STABLE_BLOCKS} warm-up blocks differ by {spread:.0%}"
            return tuple(seconds), calls, [unsteady] if full else []


def _measure_blocks(block: _Block, calls: int) -> list[float]:
    """Return the seconds of each block; as many as the limits above ask for."""
    seconds: list[float] = []
    started = time.perf_counter()
    while True:
        seconds.append(block(calls))
        elapsed = time.perf_counter() - started
        if len(seconds) >= FEW_BLOCKS and elapsed >= SLOW_SECONDS:
            return seconds
        if len(seconds) >= ENOUGH_BLOCKS and (elapsed >= NOISY_SECONDS or relative_spread(seconds) <= QUIET_SPREAD):
            return seconds


def _measure_calls(block: _Block) -> list[float]:
    """Return the seconds of each call; as many as the limits above ask for."""
    seconds: list[float] = []
    started = time.perf_counter()
    while True:
        seconds.append(block(1))
        elapsed = time.perf_counter() - started
        if len(seconds) >= ENOUGH_CALLS and elapsed >= ENOUGH_CALL_SECONDS:
            return seconds
        if len(seconds) >= MOST_CALLS or elapsed >= MOST_CALL_SECONDS:
            return seconds


def _medians(call_seconds: Sequence[float]) -> list[float]:
    """Return the medians of consecutive parts: single calls scatter, but a quiet machine's medians agree."""
    return [float(np.median(part)) for part in np.array_split(call_seconds, min(ENOUGH_BLOCKS, len(call_seconds)))]


def synchronise(device: torch.device) -> None:
    """Wait until a device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collect now rather than within a block, where it would take as long as the block."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
