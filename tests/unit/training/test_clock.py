"""The times of an epoch: what counts as training, as waiting, and what a killed training has counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from vitbench.training import EpochClock, clock
from vitbench.training.clock import waited

CPU = torch.device("cpu")
Pair = tuple[Tensor, Tensor]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test sets."""
    time = [100.0]
    monkeypatch.setattr(clock, "perf_counter", lambda: time[0])
    return time


def fetched(now: list[float], count: int, *, seconds: float) -> Iterator[Pair]:
    """Batches of four images that each take some seconds to come."""
    for _ in range(count):
        now[0] += seconds
        yield torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)


def train(watch: EpochClock, now: list[float], batches: int) -> None:
    for _ in watch.watch(fetched(now, batches, seconds=0.5)):
        now[0] += 1.5  # a step


def test_evaluation_is_no_part_of_training(now: list[float]) -> None:
    watch = EpochClock(CPU)
    found = []
    for _ in range(2):
        train(watch, now, 5)
        found.append(watch.lap())
        now[0] += 1000  # evaluation
    assert found[0] == {"images_per_second": 2.0, "wait_seconds": 2.5, "train_seconds": 10.0}
    assert found[1] == {**found[0], "train_seconds": 20.0}


def test_a_killed_training_goes_on_within_an_epoch(now: list[float]) -> None:
    first = EpochClock(CPU)
    train(first, now, 5)
    first.lap()
    now[0] += 1000
    for number, _ in enumerate(first.watch(fetched(now, 3, seconds=0.5))):
        if number == 2:
            now[0] -= 0.5  # so that its batch, which comes again, took no time
            saved = first.state_dict()  # before the step, as `TrainingState.save` wants it
        now[0] += 1.5
    now[0] += 1000
    second = EpochClock(CPU)
    second.load_state_dict(saved)
    train(second, now, 3)
    assert second.lap() == {"images_per_second": 2.0, "wait_seconds": 3.0, "train_seconds": 20.0}


def test_what_prepares_batches_ahead_is_no_waiting_and_counts_no_image_before_its_step(now: list[float]) -> None:
    def in_pairs(batches: Iterator[Pair]) -> Iterator[Pair]:
        for batch in batches:
            pair = [batch, next(batches)]
            now[0] += 4.0
            yield from pair

    watch, counted = EpochClock(CPU), []
    for _ in watch.watch(fetched(now, 4, seconds=0.5), in_pairs):
        counted.append(watch.state_dict()["epoch_images"])
        now[0] += 1.0
    assert counted == sorted({*counted}), "one batch more at each step"
    assert counted[0] == 0
    times = watch.lap()
    assert times["wait_seconds"] == 2.0
    assert times["train_seconds"] == 4 * 0.5 + 2 * 4.0 + 4 * 1.0


def test_state_between_epochs_counts_no_evaluation(now: list[float]) -> None:
    watch = EpochClock(CPU)
    train(watch, now, 5)
    watch.lap()
    now[0] += 1000
    assert watch.state_dict()["earlier_seconds"] == 10.0
    train(watch, now, 5)
    assert watch.lap()["train_seconds"] == 20.0


def test_a_lap_without_a_batch_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"no batch of one went through watch\(\)"):
        EpochClock(CPU).lap()


def test_a_gpu_tells_how_long_it_had_no_step_to_take(now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is always 3 s behind the CPU waits for nothing, however long a batch takes to come."""
    waited: list[torch.device] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self, stream: object) -> None:
            self.passed_at = max(now[0], 200.0)

        def query(self) -> bool:
            return now[0] >= self.passed_at

        def elapsed_time(self, end: Any) -> float:
            return 1e3 * float(end.passed_at - self.passed_at)

    def wait(device: torch.device) -> None:
        waited.append(device)
        now[0] = max(now[0], 200.0)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(clock, "synchronise", wait)
    gpu = torch.device("cuda", 0)
    watch = EpochClock(gpu)
    for _ in watch.watch(fetched(now, 10, seconds=5.0)):
        pass
    assert not waited
    times = watch.lap()
    assert waited == [gpu]
    assert times == {"images_per_second": 0.4, "wait_seconds": 0.0, "train_seconds": 100.0}
    for _ in watch.watch(fetched(now, 2, seconds=5.0)):
        now[0] += 1.0
    assert watch.lap()["wait_seconds"] == 10.0


def test_waiting_is_said_where_it_is_a_notable_share_of_the_training() -> None:
    row = {"epoch": 1.0, "wait_seconds": 1.0, "train_seconds": 10.0}
    assert waited([row, row | {"epoch": 2.0, "train_seconds": 20.0}]) == (
        "10% of the training was spent waiting for data"
    )
    assert waited([row | {"wait_seconds": 0.9}]) == ""
    assert waited([{"epoch": 1.0, "loss": 2.0}]) == "", "a recipe without a clock"
    assert waited([]) == ""
