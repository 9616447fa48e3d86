"""How long a training is: by its steps, or by a clock that the test moves."""

from __future__ import annotations

from typing import Any

import pytest
import toy_training

from vitbench.errors import UsageError
from vitbench.protocols import Budget
from vitbench.training import TrainingLength, length


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(length, "time", found)
    return found


def of(budget: Budget | None = None, **options: Any) -> TrainingLength:
    return TrainingLength(toy_training.run({"epochs": 5, **options}, budget=budget or Budget()), 100, 10)


def test_steps_decide_whatever_the_clock_says(clock: Clock) -> None:
    cut = of(Budget(steps=23, seconds=1.0))
    clock.now += 1000
    assert (cut.total, cut.epochs, cut.at(7)) == (23, 3, 7)
    assert [list(cut.within(range(10), start)) for start in (0, 10, 20)] == [[*range(10)], [*range(10)], [0, 1, 2]]
    assert [cut.is_over(done) for done in (22, 23)] == [False, True]


def test_by_time_the_schedule_follows_the_clock_and_ends_with_it(clock: Clock) -> None:
    timed = of(Budget(seconds=200.0), by_time=True)
    clock.now += 50
    assert (timed.total, timed.at(3), timed.is_over(3)) == (50, 12, False)
    taken = []
    for batch in timed.within(range(10), 3):
        clock.now += 60
        taken.append(batch)
    assert taken == [0, 1, 2], "the step in which the time ends is the last"
    assert list(timed.within(range(10), 6)) == [0], "an epoch that was begun has a batch"
    assert of(Budget(seconds=1e9), by_time=True).is_over(50), "nor is it longer than the recipe"


def test_the_clock_goes_on_where_a_killed_training_was(clock: Clock) -> None:
    state = of(Budget(seconds=200.0), by_time=True)
    clock.now += 80
    saved = state.state_dict()
    clock.now += 10_000
    again = of(Budget(seconds=200.0), by_time=True)
    again.load_state_dict(saved)
    assert again.at(0) == 20


def test_by_time_without_a_budget_is_refused() -> None:
    with pytest.raises(UsageError, match="by_time = true needs a budget; add --budget"):
        of(by_time=True)
