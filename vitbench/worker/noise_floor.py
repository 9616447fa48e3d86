"""The machine's own noise: how much blocks of one fixed workload differ, where nothing but the machine can differ.

The workload is a product of two matrices of 256 x 256 float32 on one thread: it lives in the cache of one core, so it
follows that core's clock and its share of the time. The idea is pyperf's (``pyperf system show`` and its advice on
unstable results, https://pyperf.readthedocs.io/en/latest/system.html).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

import torch

from vitbench.worker.runtime import runtime

__all__ = ["block_seconds", "fixed_work"]

SIDE = 256
"""Rows and columns of each matrix: 0.75 MiB for all three."""
BLOCK_SECONDS = 0.1
"""The least length of a block once the calls are chosen, as for a model."""
BLOCKS = 20
"""Enough for quartiles, in two to three seconds."""


def fixed_work() -> Callable[[], object]:
    """Return a function that multiplies the same two matrices at each call."""
    left, right = torch.full((SIDE, SIDE), 0.5), torch.full((SIDE, SIDE), 2.0)
    return partial(torch.mm, left, right, out=torch.empty(SIDE, SIDE))


def block_seconds(
    work: Callable[[], object], *, blocks: int = BLOCKS, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return the wall seconds of equal blocks of calls, on one torch thread.

    Args:
        work: what is called; calls are added to a block until it takes 0.1 s, which is the warm-up, too.
        blocks: how many blocks to time.
        clock: seconds, monotonic.
    """

    def block(calls: int) -> float:
        start = clock()
        for _ in range(calls):
            work()
        return clock() - start

    with runtime(precision="float32", threads=1, seed=0, device="cpu"), torch.inference_mode():
        calls = 1
        while (seconds := block(calls)) < BLOCK_SECONDS:
            # A tenth more than is needed, so that a block which runs a little faster does not start this anew.
            calls = min(10 * calls, math.ceil(1.1 * calls * BLOCK_SECONDS / seconds))
        return [block(calls) for _ in range(blocks)]
