"""The machine's own noise: how much blocks of one fixed workload differ, where nothing but the machine can differ.

The workload is like a small model's, on one thread: about half of the time a product of two matrices, the other half
very small operations, whose cost is starting them. The halves are disturbed by different things: on a shared virtual
machine without any steal, blocks of products varied by 7 % and blocks of small operations by 40 %, since another guest
on the same core takes its caches and its decoder rather than its multipliers. The idea is pyperf's
(``pyperf system show`` and its advice on unstable results, https://pyperf.readthedocs.io/en/latest/system.html).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from vitbench.measuring.noise import more_calls
from vitbench.worker.runtime import runtime

__all__ = ["block_seconds", "fixed_work"]

SIDE = 256
"""Rows and columns of each matrix: 0.75 MiB for all three."""
STARTS = 400
"""Small operations in a call, which take about as long as the product."""
BLOCK_SECONDS = 0.1
"""The least length of a block once the calls are chosen, as for a model."""
BLOCKS = 20
"""Enough for quartiles, in two to three seconds."""


def fixed_work() -> Callable[[], tuple[Tensor, Tensor]]:
    """Return a function that multiplies the same two matrices at each call and counts up; it returns both results."""
    left, right = torch.full((SIDE, SIDE), 0.5), torch.full((SIDE, SIDE), 2.0)
    product, count = torch.empty(SIDE, SIDE), torch.zeros(1)

    def work() -> tuple[Tensor, Tensor]:
        torch.mm(left, right, out=product)
        for _ in range(STARTS):
            count.add_(1)
        return product, count

    return work


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
            calls = more_calls(calls, seconds, least=BLOCK_SECONDS)
        return [block(calls) for _ in range(blocks)]
