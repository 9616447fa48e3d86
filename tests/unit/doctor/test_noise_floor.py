"""The fixed workload: equal blocks, on a clock that the test drives."""

from __future__ import annotations

import pytest
import torch

from vitbench.doctor.noise_floor import BLOCK_SECONDS, STARTS, block_seconds, fixed_work


class Clock:
    """Time that passes when work is done, and only then."""

    def __init__(self, seconds_of_call: list[float]) -> None:
        self.now = 0.0
        self.calls = 0
        self.seconds = seconds_of_call

    def work(self) -> None:
        self.now += self.seconds[self.calls % len(self.seconds)]
        self.calls += 1

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("seconds", [1e-4, 0.003, 0.25])
def test_blocks_are_equal_and_long_enough(seconds: float) -> None:
    clock = Clock([seconds])
    blocks = block_seconds(clock.work, blocks=7, clock=clock)
    assert len(blocks) == 7
    assert blocks == pytest.approx([blocks[0]] * 7)
    assert 0.999 * BLOCK_SECONDS <= blocks[0] <= max(1.2 * BLOCK_SECONDS, seconds)


def test_a_slow_block_shows() -> None:
    clock = Clock([0.2, 0.2, 0.2, 0.3, 0.2])  # the first call is the warm-up
    assert block_seconds(clock.work, blocks=4, clock=clock) == pytest.approx([0.2, 0.2, 0.3, 0.2])


def test_the_work_is_a_product_and_small_operations_on_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = fixed_work()
    work()
    product, count = work()
    assert torch.equal(product, torch.full((256, 256), 256.0))  # 256 products of 0.5 and 2
    assert count.item() == 2 * STARTS
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = set()
    clock = Clock([0.2])
    try:
        block_seconds(lambda: (seen.add(torch.get_num_threads()), clock.work()), blocks=2, clock=clock)
        assert seen == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
