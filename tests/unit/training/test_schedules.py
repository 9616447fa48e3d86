"""The length of a run and its learning rate."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import toy_training
from hypothesis import given
from hypothesis import strategies as st

from vitbench.errors import UsageError
from vitbench.protocols import Budget
from vitbench.training import set_lr, total_steps, warmup_cosine


def test_warm_up_rises_in_equal_steps_to_the_peak() -> None:
    factors = [warmup_cosine(step, total_steps=20, warmup_steps=4) for step in range(5)]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_the_rate_is_half_in_the_middle_of_the_cosine_and_nearly_zero_at_the_end() -> None:
    assert warmup_cosine(60, total_steps=100, warmup_steps=20) == pytest.approx(0.5)
    assert warmup_cosine(99, total_steps=100, warmup_steps=20) == pytest.approx((1 - math.cos(math.pi / 80)) / 2)


def test_the_rate_stays_at_zero_after_the_end() -> None:
    assert [warmup_cosine(step, total_steps=10, warmup_steps=2) for step in (10, 11, 18)] == pytest.approx([0, 0, 0])


@given(total=st.integers(1, 500), warmup=st.integers(0, 600))
def test_the_rate_rises_to_the_peak_once_and_falls_towards_zero(total: int, warmup: int) -> None:
    factors = [warmup_cosine(step, total_steps=total, warmup_steps=warmup) for step in range(total)]
    peak = min(warmup, total - 1)
    assert all(0 < factor <= 1 for factor in factors)
    assert (factors[peak], factors.count(1)) == (1, 1)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert factors[-1] <= (math.pi / 2 / (total - peak)) ** 2


@pytest.mark.parametrize("options", [{"epochs": 50}, {"steps": 500}])
def test_the_users_epochs_come_before_the_recipes_length(options: dict[str, int]) -> None:
    assert total_steps(toy_training.run(options, budget=Budget(epochs=2)), 130, 64) == 4


def test_epochs_count_full_batches_and_steps_come_before_epochs_where_there_are_any() -> None:
    assert total_steps(toy_training.run({"epochs": 3}), 130, 64) == 6
    assert total_steps(toy_training.run({"epochs": 3}), 10, 64) == 3

    assert total_steps(toy_training.run({"steps": 500}), 130, 64) == 500

    assert total_steps(toy_training.run({"epochs": 3, "steps": 5}), 130, 64) == 5
    assert total_steps(toy_training.run({"epochs": 3, "steps": 0}), 130, 64) == 6


@pytest.mark.parametrize("options", [{"epochs": 50}, {"steps": 500}])
def test_a_budget_ends_a_training_and_lengthens_none(options: dict[str, int]) -> None:
    run = partial(toy_training.run, options)
    assert total_steps(run(budget=Budget(steps=7)), 130, 64) == 7
    assert total_steps(run(budget=Budget(steps=10_000)), 130, 64) == total_steps(run(), 130, 64)


@pytest.mark.parametrize("options", [{"epochs": 0}, {"steps": 0}])
def test_a_length_below_one_is_refused_in_words(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(options))} must be at least 1, not 0"):
        total_steps(toy_training.run(options), 10, 2)


def test_the_rate_is_set_in_all_groups() -> None:
    first, second = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": 3.0}], lr=1.0)
    set_lr(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
