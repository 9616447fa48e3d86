"""Rounds that another loop times: how many there are, where they wait for the device, what is looked at."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vitbench.measuring import timing
from vitbench.measuring.steps import InvalidOutput
from vitbench.measuring.timing import Block, WarmUp, time_step
from vitbench.pytest_plugin import rounds as benchmarking
from vitbench.pytest_plugin.rounds import measure_by

CPU = torch.device("cpu")
LOGITS = torch.ones(2, 10)


class Loop:
    """What pytest-benchmark does, without a clock: each call takes a quarter of a second."""

    def __init__(self, events: list[str] | None = None) -> None:
        self.events = [] if events is None else events
        self.asked: tuple[int, int] | None = None

    def __call__(self, step: Callable[[], Tensor], rounds: int, calls: int, after: Callable[[], None]) -> list[float]:
        self.asked = (rounds, calls)
        for _ in range(rounds):
            for _ in range(calls):
                step()
            self.events.append("end")
            after()
        return [0.25] * rounds


def block(step: Callable[[], Tensor], check: Callable[[Tensor], None] | None = None) -> Block:
    return Block(step, CPU, cross_check=False, check=check)


def warm(seconds: float, calls: int) -> WarmUp:
    """A warm-up whose last block took so long."""
    return WarmUp(seconds=(9.0, seconds), calls=calls)


@pytest.mark.parametrize(
    ("seconds", "calls", "rounds"),
    [(0.1, 20, 8), (0.2, 1, 5), (2.0, 1, 5), (2.5, 1, 4), (4.0, 1, 3), (60.0, 1, 3)],
)
def test_as_many_blocks_as_the_time_allows(seconds: float, calls: int, rounds: int) -> None:
    loop = Loop()
    found = measure_by(loop, single=False)(block(lambda: LOGITS), warm(seconds, calls))
    assert loop.asked == (rounds, calls)
    assert found == [0.25 * calls] * rounds


@pytest.mark.parametrize(
    ("seconds", "calls", "rounds"),
    [(0.1, 100_000, 662), (0.1, 50, 300), (0.1, 1, 64), (0.15, 1, 64), (0.2, 1, 50), (4.0, 1, 2), (30.0, 1, 1)],
)
def test_as_many_single_calls_as_the_time_allows(seconds: float, calls: int, rounds: int) -> None:
    loop = Loop()
    found = measure_by(loop, single=True)(block(lambda: LOGITS), warm(seconds, calls))
    assert loop.asked == (rounds, 1)
    assert found == [0.25] * rounds


@pytest.mark.parametrize(("single", "round_"), [(False, ["step", "step", "step", "wait"]), (True, ["step", "wait"])])
def test_each_round_waits_for_the_device_once_at_its_end(
    monkeypatch: pytest.MonkeyPatch, single: bool, round_: list[str]
) -> None:
    events: list[str] = []

    def step() -> Tensor:
        events.append("step")
        return LOGITS

    monkeypatch.setattr(benchmarking, "synchronise", lambda device: events.append("wait"))
    loop = Loop(events)
    measure_by(loop, single=single)(block(step), warm(2.5, 3))
    assert loop.asked is not None
    assert events == [*round_, "end"] * loop.asked[0]


def test_the_last_output_of_each_round_is_looked_at() -> None:
    outputs = [torch.ones(2, 10), torch.full((2, 10), torch.nan), torch.ones(2, 10)]
    seen: list[Tensor] = []
    turn = iter(outputs * 3)
    one = block(lambda: next(turn), seen.append)
    measure_by(Loop(), single=False)(one, warm(4.0, 3))
    assert [output is outputs[2] for output in seen] == [True] * 3
    assert one.findings() == ([], [])
    turn = iter(outputs[:2] * 3)
    measure_by(Loop(), single=False)(one, warm(4.0, 2))
    assert one.findings() == ([], ["the model's output was not finite"])


@pytest.mark.compute
def test_a_step_is_judged_by_the_rules_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's times make the result; the warm-up, which had its own, does not."""
    pace = timing.WarmUpPace(block_seconds=1e-3, seconds=0.0)
    monkeypatch.setattr(benchmarking, "NOISY_SECONDS", 0.0)
    monkeypatch.setattr(timing, "disturbances", lambda start, end, **_: (["a load"], ["a quota"]))
    images = torch.ones(2, 3, 4, 4)

    def drifting(step: Callable[[], Tensor], rounds: int, calls: int, after: Callable[[], None]) -> list[float]:
        after_all = Loop()
        after_all(step, rounds, calls, after)
        return [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]

    found = time_step(lambda: LOGITS, "inference", images, 10, measure_by(drifting, single=False), pace)
    assert found.block_seconds == tuple(found.calls_per_block * x for x in (1.0, 1.1, 1.2, 1.3, 1.4, 1.5))
    assert any("the times drift" in reason for reason in found.warnings)
    assert "a load" in found.warnings
    assert found.errors == ("a quota",)
    with pytest.raises(InvalidOutput, match="must return logits"):
        time_step(lambda: LOGITS, "inference", images, 9, measure_by(Loop(), single=False), pace)
