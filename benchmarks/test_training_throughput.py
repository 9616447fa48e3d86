"""Training on the CPU against a plain PyTorch loop, in lockstep: never slower, ResNet-18 at 32 pixels 15 % faster.

`training_loops.py` describes both loops. Run by hand, on a quiet machine, for about an hour: ``pytest -s
benchmarks/test_training_throughput.py``; ``-k "vit and 1-thread"`` selects a part of it.
"""

from __future__ import annotations

import pytest
from training_loops import SUBJECTS, side

from vitbench.lockstep import compare_speeds

LEAST = {"scratch/resnet18": 1.15, "scratch/resnet18:width=16": 1.15}
"""Images per second over the plain loop's; of what stands here not: 1."""


@pytest.mark.parametrize("threads", [1, 2], ids=["1-thread", "2-threads"])
@pytest.mark.parametrize("loop", ["plain", "plain_with_workers"])
@pytest.mark.parametrize("name", SUBJECTS)
def test_no_slower_than_a_plain_loop(name: str, loop: str, threads: int) -> None:
    theirs, ours = (side(name, target, f"{name}, {target}", threads=threads) for target in (loop, "by_batch"))
    found = compare_speeds(theirs, ours)
    print(f"\n{threads} threads: {found.sentence()}")
    assert found.ratio >= LEAST.get(name, 1.0)
