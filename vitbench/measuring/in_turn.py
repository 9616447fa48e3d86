"""A model's blocks in turn with the reference network's, in one process: M R R M, a quad, until their ratio is known.

The machine's mood falls on both sides of a quad, so the ratio is steadier from process to process than the time itself
(docs/measuring.md has the figures). Time for which the kernel kept the thread waiting for a processor does not count in
the ratio: a short call seldom meets another process and a long one often, so that with it a busy machine would make the
side whose calls are shorter look faster. Blocks are short, since a mood may change within a second. Alternating evicts
caches, so that each block starts with untimed calls; a model whose call takes longer than that could matter for has
none.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from torch import Tensor

from vitbench.measuring.evidence import Moment, disturbance, glance, run_delay
from vitbench.measuring.noise import more_calls
from vitbench.measuring.quads import Quad, is_sharp, median_log_ratio, undisturbed
from vitbench.measuring.reference import Reference
from vitbench.measuring.steps import Step
from vitbench.measuring.timing import (
    ENOUGH_CALL_SECONDS,
    ENOUGH_CALLS,
    MOST_CALL_SECONDS,
    MOST_CALLS,
    Block,
    WarmUp,
    WarmUpPace,
    time_step,
)
from vitbench.protocols import InTurn, Timing
from vitbench.records import Mode

__all__ = ["time_in_turn"]

BLOCK_SECONDS = 0.01
"""The least length of a block. Blocks of a slow model are as long as its call. The shorter, the more quads escape the
other processes of a busy machine."""
WARM_UP = WarmUpPace(block_seconds=0.03, seconds=0.2, slow_seconds=2.0)
"""On a CPU less warm-up than a time alone needs: the machine's mood divides out, and the first quad is not kept."""
MOST_REFERENCE_SECONDS, REFERENCE_SHARE = 0.1, 0.2
"""The reference's blocks are as long as the model's, but no longer than the first, or this share of the model's."""
WARM_SECONDS = 0.001
"""Untimed calls before each block, which bring its weights and inputs back into the caches, take so long ..."""
UNTIMED_MOST = 0.1
"""... but a call that takes longer than this is left out: what it finds evicted is less than a per cent of it."""
LEAST_SHARE = 0.01
"""Of a block's wall time at least so much counts, since the wait is read a moment before and after it."""
STEAL_SECONDS = 0.2
"""Seconds at least over which the host's share is counted: it moves in ticks of 10 ms."""
SLOW_TURN_SECONDS, ENOUGH_QUADS = 3.0, 8
"""A slow model gets as many quads as begin in this time, one at least; all others so many at least."""
SHARP, TURN_SECONDS = 0.01, 0.75
"""Quads are run until the median log ratio is known so well, by its standard error, or for this time ..."""
BLUNT, MOST_TURN_SECONDS = 0.015, 1.5
"""... and up to the second time where it is known worse than this, as on a busy machine. Processes differ by as much:
to know one better costs more than it gains."""


@dataclass(kw_only=True, slots=True)
class _Side:
    """One of the two, with the length of its blocks."""

    block: Block
    calls: int
    untimed: int
    single: bool
    """Whether each call is synchronised, and a block's time its median call's, times the calls."""
    seconds: list[float]
    """Of all that was timed, blocks or single calls, by the wall clock."""

    def run(self) -> float:
        """Run one block and return its seconds, as the ratio counts them."""
        if self.untimed:
            self.block.uncounted(self.untimed)
        if not self.single:
            return self._timed(self.calls)
        return self.calls * median(self._timed(1) for _ in range(self.calls))

    def _timed(self, calls: int) -> float:
        """Run some calls and return their seconds without those that the thread waited for a processor."""
        before = run_delay()
        seconds = self.block(calls)
        self.seconds.append(seconds)
        if self.block.device.type != "cpu":  # which goes on meanwhile
            return seconds
        return max(seconds - (run_delay() - before), LEAST_SHARE * seconds)


def time_in_turn(step: Step, reference: Reference, mode: Mode, batch: Tensor, num_classes: int | None) -> Timing:
    """Warm up a step, time it in turn with the reference, and judge what was measured, as `time_step` does.

    Args:
        step: a forward pass or a training step.
        reference: of the same mode, on the same device.
        mode: which of the two; a forward pass on one image is a latency, each call of both sides synchronised.
        batch: ``[B, C, H, W]``, a batch as the step takes it.
        num_classes: K, where it is to be checked.

    Raises:
        InvalidOutput: as `time_step` does.
    """
    turns: InTurn | None = None
    calls = 1

    def measure(block: Block, warm: WarmUp) -> list[float]:
        nonlocal turns, calls
        single = mode == "inference" and len(batch) == 1
        model, other = _sides(block, warm, reference, single=single)
        quads = _take_turns(model, other, reference, images=len(batch))
        turns, calls = _in_turn(quads, other, reference, block), model.calls
        return model.seconds

    timing = time_step(step, mode, batch, num_classes, measure, WARM_UP if batch.device.type == "cpu" else WarmUpPace())
    return replace(timing, calls_per_block=1 if timing.call_seconds else calls, in_turn=turns)


def _sides(block: Block, warm: WarmUp, reference: Reference, *, single: bool) -> tuple[_Side, _Side]:
    """Choose the lengths of both sides' blocks, and warm the reference up."""
    call = warm.seconds[-1] / warm.calls
    length = max(BLOCK_SECONDS, call)
    yardstick = Block(reference.step, block.device, cross_check=False, watched=False)
    with reference.conditions():
        reference_call = _pace(yardstick)
    return (
        _side(block, call, length, single=single),
        _side(
            yardstick,
            reference_call,
            min(length, max(MOST_REFERENCE_SECONDS, REFERENCE_SHARE * length)),
            single=single,
        ),
    )


def _take_turns(model: _Side, other: _Side, reference: Reference, *, images: int) -> list[Quad]:
    """Run quads until they are enough; one more at the start, so that the first is like all others, is not kept.

    A slow model has none to spare, and what comes before its first call is less than a per cent of that.
    """
    on_cpu = model.block.device.type == "cpu"
    per_block = other.calls * reference.batch_size, model.calls * images
    quads: list[Quad] = []
    started, settled = time.perf_counter(), not model.untimed
    moments: deque[Moment] = deque()
    while not (settled and _enough(quads, model, time.perf_counter() - started)):
        before = glance(model.block.watch.latest)
        outer = model.run()
        with reference.conditions():
            inner = other.run(), other.run()
        last = model.run()
        after = glance(model.block.watch.latest)
        moments.append(before)
        while len(moments) > 1 and after.wall - moments[1].wall >= STEAL_SECONDS:
            moments.popleft()
        taken = disturbance(before, after, on_cpu=on_cpu, since=moments[0])
        if settled:
            quads.append(Quad(first=inner, second=(outer, last), images=per_block, disturbance=taken))
        else:
            model.block.forget()
            model.seconds.clear()
            other.seconds.clear()
            started, settled = time.perf_counter(), True
    return quads


def _in_turn(quads: Sequence[Quad], other: _Side, reference: Reference, block: Block) -> InTurn:
    kept = undisturbed(quads)
    warnings, errors = block.findings()
    return InTurn(
        reference=reference.name,
        reference_batch_size=reference.batch_size,
        reference_seconds=tuple(other.seconds),
        reference_calls=1 if other.single else other.calls,
        speed_ratio=math.exp(median_log_ratio(kept)),
        speed_ratio_of_all=math.exp(median_log_ratio(quads)),
        quads=len(quads),
        left_out=len(quads) - len(kept),
        warnings=tuple(warnings),
        errors=tuple(errors),
    )


def _side(block: Block, call: float, length: float, *, single: bool) -> _Side:
    untimed = 0 if call > UNTIMED_MOST else max(1, math.ceil(WARM_SECONDS / call))
    return _Side(block=block, calls=max(1, math.ceil(length / call)), untimed=untimed, single=single, seconds=[])


def _pace(block: Block) -> float:
    """Return the seconds of a call, once the first ones are over: of two blocks the shorter one counts."""
    block.uncounted(2)
    calls = 1
    while (seconds := min(block(calls), block(calls))) < BLOCK_SECONDS:
        calls = more_calls(calls, seconds, least=BLOCK_SECONDS)
    return seconds / calls


def _enough(quads: Sequence[Quad], model: _Side, elapsed: float) -> bool:
    """Say whether the times so far are enough: by count, time and noise, and for a latency's percentiles by calls."""
    if not quads:
        return False
    calls = len(model.seconds)
    within_reach = model.single and ENOUGH_CALLS * elapsed < MOST_CALL_SECONDS * calls
    if within_reach and (calls < ENOUGH_CALLS or (calls < MOST_CALLS and elapsed < ENOUGH_CALL_SECONDS)):
        return False
    if len(quads) < ENOUGH_QUADS:
        return elapsed >= SLOW_TURN_SECONDS
    known = undisturbed(quads)
    return (
        is_sharp(known, SHARP) or elapsed >= MOST_TURN_SECONDS or (elapsed >= TURN_SECONDS and is_sharp(known, BLUNT))
    )
