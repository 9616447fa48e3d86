"""Times of a model in one process: pipelined blocks for throughput, synchronised calls for latency.

Each time is a wall time of a monotonic clock. The spread over processes, which is what tells two models apart, is made
by whoever runs several of them; nothing here stands in for it. The rules follow MLPerf's loadgen (a result is valid or
says why not) and pyperf (warm up, calibrate, criticise your own noise).

Shapes: B images in a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle

import numpy as np
import torch
from torch import Tensor

from vitbench.measuring.evidence import disturbances, facts, observe
from vitbench.measuring.gpu import GpuWatch
from vitbench.measuring.noise import call_noise_reasons, more_calls, noise_reasons, relative_spread
from vitbench.measuring.steps import Step, check_loss, check_output, seconds_of, synchronise
from vitbench.protocols import Timing
from vitbench.records import Mode

__all__ = [
    "FRESH_INPUTS",
    "Block",
    "Measure",
    "WarmUp",
    "WarmUpPace",
    "fresh_input_reasons",
    "no_garbage_collection",
    "output_check",
    "time_step",
    "warm_up",
]

# The limits below let three processes of a small model end within five seconds, cold start included.
BLOCK_SECONDS = 0.1
"""The least length of a block: a thousand times the clock's and the loop's own cost."""
STABLE_BLOCKS = 3
"""Warm-up ends when this many blocks in a row agree ..."""
STABLE_SPREAD = 0.05
"""... within this share of their median, largest to smallest ..."""
WARMUP_SECONDS, SLOW_WARMUP_SECONDS = 0.5, 5.0
"""... or after the first time, not counting the cold start, if so many have run; and before the second in any case,
except for one block."""
ENOUGH_BLOCKS = 5
"""Blocks for a median with quartiles."""
QUIET_SPREAD = 0.03
"""Interquartile range over the median at which more blocks would add little."""
NOISY_SECONDS = 0.75
"""How long to go on for a smaller spread."""
FEW_BLOCKS, SLOW_SECONDS = 3, 10.0
"""A slow model ends with fewer blocks; each is long enough to be an average over the machine's noise."""
ENOUGH_CALLS, ENOUGH_CALL_SECONDS = 64, 0.6
"""Single calls and time for a latency: as many as a 95th percentile needs, and for a fast model many more."""
MOST_CALLS, MOST_CALL_SECONDS = 662, 10.0
"""Never more calls than a 99th percentile needs, and never longer than this."""
CLOCKS_AGREE = 0.10
"""CUDA events and the wall clock may differ by this share. The events stand at both ends of a block on the current
stream, so what they miss is work that the model left on other streams, or a clock is wrong. A device that waits for
its host within the block looks busy to both."""
FRESH_FACTOR = 2.0
"""How many times slower an input may be when it is new; to a sound model it makes no difference."""
FRESH_ROUNDS = 8
"""How often in a row new inputs must be slower. Where other processes take half of the time, three rounds in a row
accused sound models."""
FRESH_INPUTS = FRESH_ROUNDS + 1
"""New inputs for that: two in the first round, which clears nearly all sound models, and one in each other."""
CLOCK_NOISE = 50e-6
"""Seconds by which two short calls differ by chance: an interrupt, a page fault."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmUpPace:
    """How long a step is warmed up."""

    block_seconds: float = BLOCK_SECONDS
    """The least length of a block."""
    seconds: float = WARMUP_SECONDS
    """Until when blocks may differ."""
    slow_seconds: float = SLOW_WARMUP_SECONDS
    """Until when a slow model gets further blocks."""


def time_step(
    step: Step,
    mode: Mode,
    batch: Tensor,
    num_classes: int | None,
    measure: Measure | None = None,
    pace: WarmUpPace = WarmUpPace(),
) -> Timing:
    """Warm up, measure, and judge what was measured.

    The first training step, which makes the optimiser's state, is part of the warm-up.

    Args:
        step: a forward pass or a training step.
        mode: which of the two. Forward passes run under `torch.inference_mode`; on one image they are timed call by
            call, each synchronised, and else in blocks of pipelined calls, as training steps are.
        batch: ``[B, C, H, W]``, a batch as the step takes it.
        num_classes: K, where it is to be checked.
        measure: another loop, and perhaps another clock, than those of this module.
        pace: how long to warm up; by default as long as what is timed alone needs.

    Raises:
        InvalidOutput: the step's output is not a batch of logits, or not a loss.
    """
    device, threads = batch.device, torch.get_num_threads()
    single = mode == "inference" and len(batch) == 1
    check = output_check(mode, batch, num_classes)
    with no_garbage_collection(), torch.inference_mode(mode == "inference"):
        block = Block(step, device, cross_check=not single, check=check)
        warm = warm_up(block, pace)
        block.forget()
        start = observe(device)
        if measure is not None:
            seconds = measure(block, warm)
        else:
            seconds = _measure_calls(block) if single else _measure_blocks(block, warm.calls)
        end = observe(device)
    findings = (
        call_noise_reasons(seconds) if single else noise_reasons(seconds),
        disturbances(start, end, threads=threads, on_cpu=device.type == "cpu", gpu_between=block.watch.moments),
        block.findings(),
    )
    return Timing(
        mode=mode,
        batch_size=len(batch),
        block_seconds=() if single else tuple(seconds),
        calls_per_block=1 if single else warm.calls,
        call_seconds=tuple(seconds) if single else (),
        warmup_seconds=warm.seconds,
        warnings=(*warm.warnings, *(reason for warnings, _ in findings for reason in warnings)),
        errors=tuple(reason for _, errors in findings for reason in errors),
        evidence=facts(start, end, threads=threads, gpu_between=block.watch.moments),
    )


def output_check(mode: Mode, batch: Tensor, num_classes: int | None) -> Callable[[Tensor], None]:
    """Return what checks the outputs of a step on batches like this one, as a `Block` takes it."""
    if mode == "training":
        return partial(check_loss, device=batch.device)
    return partial(check_output, images=batch, num_classes=num_classes)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


class Block:
    """Runs and times calls of a step, and keeps what the clocks and the outputs said.

    Args:
        step: what to call; a forward pass is to be called under `torch.inference_mode`.
        device: where it computes.
        cross_check: on CUDA, compare events with the wall clock. Not for single calls: of a short one, the
            synchronisation alone is more than the clocks may differ by.
        check: looks at the last output of each block, outside the timed region, and raises where it is wrong.
        watched: whether a GPU is asked between blocks; not of a second side, whose load is another.
    """

    def __init__(
        self,
        step: Step,
        device: torch.device,
        *,
        cross_check: bool,
        check: Callable[[Tensor], None] | None = None,
        watched: bool = True,
    ) -> None:
        self.step = step
        self.device = device
        self.check = check
        self.finite, self.kind = True, ""
        self.events = (_event(), _event()) if cross_check and device.type == "cuda" else None
        self.watch, self.watched = GpuWatch(device), watched
        self.forget()

    def forget(self) -> None:
        """Reset the sums of both clocks, and what a GPU said."""
        self.wall_seconds = self.device_seconds = 0.0
        self.watch.forget()

    def __call__(self, calls: int) -> float:
        """Return the wall seconds of some calls, pipelined, and of one synchronisation at their end."""
        output: Tensor

        def pipelined() -> None:
            nonlocal output
            if self.events:
                self.events[0].record(torch.cuda.current_stream(self.device))
            for _ in range(calls):
                output = self.step()
            if self.events:
                self.events[1].record(torch.cuda.current_stream(self.device))

        seconds = seconds_of(pipelined, self.device)
        if self.events:
            self.device_seconds += self.events[0].elapsed_time(self.events[1]) / 1e3
        self.wall_seconds += seconds
        if self.watched:
            self.watch.look()  # at once: an idle GPU soon lowers its clock
        self.look_at(output)
        return seconds

    def uncounted(self, calls: int) -> None:
        """Run some calls that no clock counts, and wait for the device."""
        for _ in range(calls):
            self.step()
        synchronise(self.device)

    def look_at(self, output: Tensor) -> None:
        """Check an output, outside the timed region; wait for a device that has not finished it."""
        if self.check is not None:
            self.check(output)
        self.kind = "model's output" if output.ndim else "training loss"
        self.finite = self.finite and bool(output.isfinite().all())

    def findings(self) -> tuple[list[str], list[str]]:
        """Return (warnings, errors) in words."""
        warnings = []
        if self.events and self.wall_seconds:
            gap = abs(self.wall_seconds - self.device_seconds) / self.wall_seconds
            if gap > CLOCKS_AGREE:
                warnings.append(
                    f"CUDA events and the wall clock differ by {gap:.0%}: work on other streams, or a wrong clock"
                )
        return warnings, [] if self.finite else [f"the {self.kind} was not finite"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmUp:
    """How a step came to its pace."""

    seconds: tuple[float, ...]
    """Wall time of each block, the cold start first."""
    calls: int
    """Calls that make a block of the least length."""
    warnings: tuple[str, ...] = ()
    """That the pace was not steady at the end, in words."""


Measure = Callable[[Block, WarmUp], list[float]]
"""Times a step that is warm, and returns the seconds of each single call, or of each block of `WarmUp.calls` calls."""


def warm_up(block: Block, pace: WarmUpPace = WarmUpPace()) -> WarmUp:
    """Run a block, longer and longer, until its length is right and its times are stable."""
    seconds = [block(1)]  # the cold start
    calls = 1
    steady: list[float] = []  # blocks of full length
    started = time.perf_counter()
    while True:
        seconds.append(block(calls))
        if seconds[-1] < pace.block_seconds:
            calls = more_calls(calls, seconds[-1], least=pace.block_seconds)
            steady.clear()
            continue
        steady.append(seconds[-1])
        last = steady[-STABLE_BLOCKS:]
        spread = (max(last) - min(last)) / float(np.median(last))
        elapsed = time.perf_counter() - started
        full = len(last) == STABLE_BLOCKS
        out_of_time = elapsed >= pace.seconds if full else elapsed + last[-1] > pace.slow_seconds
        if out_of_time or (full and spread <= STABLE_SPREAD):
            unsteady = f"the last {len(last)} warm-up blocks differ by {spread:.0%}"
            return WarmUp(seconds=tuple(seconds), calls=calls, warnings=(unsteady,) if spread > STABLE_SPREAD else ())


def _measure_blocks(block: Block, calls: int) -> list[float]:
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


def _measure_calls(block: Block) -> list[float]:
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


def fresh_input_reasons(
    step_on: Callable[[Tensor], Tensor], seen: Sequence[Tensor], fresh: Iterable[Tensor], device: torch.device
) -> list[str]:
    """Say so where a model is fast on inputs only because it has seen them before.

    Both kinds are timed one call at a time and in turn, and the least times of each are compared: nothing makes a call
    faster than it is. Fresh ones must be slower in every one of `FRESH_ROUNDS`, so that no disturbance of the machine
    looks like a memory; a sound model is cleared by the first.

    Args:
        step_on: runs one forward pass on a batch ``[B, C, H, W]``.
        seen: batches that the model has run before, as those of a timed step.
        fresh: `FRESH_INPUTS` batches of the same shape that it has never run, made when they are needed. Each is run at
            most once.
        device: where the model computes.
    """

    def seconds(batch: Tensor) -> float:
        batch.sum()  # both kinds begin with what the processor's cache holds of a batch that was just read
        return seconds_of(partial(step_on, batch), device)

    supply = iter(fresh)
    for turn in range(FRESH_ROUNDS):
        unknown = [next(supply) for _ in range(1 if turn else 2)]
        for batch in seen:  # in their rotation, so that a model which keeps a few results has them again
            step_on(batch)
        if turn % 2:
            seconds(seen[-1])  # one call more, out of step with a scheduler that slows every other one
        pairs = [(seconds(old), seconds(new)) for old, new in zip(cycle(seen), unknown, strict=False)]
        repeated, unseen = (min(times) for times in zip(*pairs, strict=True))
        if unseen <= FRESH_FACTOR * repeated or unseen - repeated <= CLOCK_NOISE:
            return []
    return [f"inputs seen before run {unseen / repeated:.1f} times faster than fresh ones: the model caches results"]


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect now rather than within a block, where it would take as long as the block."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
