"""Times of a step whose clock, loop and table are another's: rounds for pytest-benchmark.

Warm-up, evidence and rules are those of `vitbench.measuring.timing`. A round is a block of pipelined calls, or one
synchronised call where single images are timed; how many rounds there are is settled before the first, as
``benchmark.pedantic`` wants it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from vitbench.measuring.steps import Step, synchronise
from vitbench.measuring.timing import (
    ENOUGH_BLOCKS,
    ENOUGH_CALL_SECONDS,
    ENOUGH_CALLS,
    FEW_BLOCKS,
    MOST_CALL_SECONDS,
    MOST_CALLS,
    NOISY_SECONDS,
    SLOW_SECONDS,
    Block,
    Measure,
    WarmUp,
)

__all__ = ["RunRounds", "measure_by"]

RunRounds = Callable[[Step, int, int, Callable[[], None]], Sequence[float]]
"""``run(step, rounds, calls, after)`` times each round of so many calls of a step, calls `after` behind each round,
untimed, and returns the seconds of a call for each round."""


def measure_by(run: RunRounds, *, single: bool) -> Measure:
    """Return a measure, for `time_step`, that leaves clock and loop to `run`.

    Args:
        run: the clock and the loop.
        single: time call by call, each synchronised.
    """

    def measure(block: Block, warm: WarmUp) -> list[float]:
        calls = 1 if single else warm.calls
        rounds = _num_calls(warm) if single else _num_blocks(warm)
        step, after = _rounds_of(block, calls)
        return [calls * seconds for seconds in run(step, rounds, calls, after)]

    return measure


def _rounds_of(block: Block, calls: int) -> tuple[Step, Callable[[], None]]:
    """Return a block's step, which waits for the device at the end of each round, and the look at its last output."""
    done = 0
    output: Tensor

    def step() -> Tensor:
        nonlocal done, output
        output = block.step()
        done += 1
        if done % calls == 0:  # within the timed region, whose loop is not ours
            synchronise(block.device)
        return output

    def after() -> None:
        block.watch.look()
        block.look_at(output)

    return step, after


def _num_blocks(warm: WarmUp) -> int:
    """Return how many blocks fit into the time that a noisy model gets, within the limits for slow and fast ones."""
    seconds = warm.seconds[-1]
    if ENOUGH_BLOCKS * seconds > SLOW_SECONDS:
        return max(FEW_BLOCKS, int(SLOW_SECONDS / seconds))
    return max(ENOUGH_BLOCKS, math.ceil(NOISY_SECONDS / seconds))


def _num_calls(warm: WarmUp) -> int:
    """Return how many single calls a latency needs, within the limits for slow and fast models."""
    seconds = warm.seconds[-1] / warm.calls
    if ENOUGH_CALLS * seconds > MOST_CALL_SECONDS:
        return max(1, int(MOST_CALL_SECONDS / seconds))
    return min(MOST_CALLS, max(ENOUGH_CALLS, math.ceil(ENOUGH_CALL_SECONDS / seconds)))
