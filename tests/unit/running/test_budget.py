"""How the time of a run is shared among its trainings."""

from __future__ import annotations

import pytest

from vitbench.running.budget import Cost, pace_of, shared


def cost(*, step: float = 0.1, length: int = 0, fixed: float = 5.0, epoch: int = 0, validation: float = 0.0) -> Cost:
    return Cost(fixed=fixed, step=step, length=length, epoch=epoch, validation=validation)


def test_trainings_get_equal_seconds_of_what_start_and_evaluation_leave() -> None:
    costs = {"slow": cost(step=0.5), "fast": cost(fixed=15.0)}
    assert shared(costs, 120.0) == {"slow": 50.0, "fast": 50.0}
    assert [costs[key].steps_within(50.0) for key in costs] == [100, 500]


def test_what_a_short_recipe_leaves_goes_to_the_others() -> None:
    costs = {"long": cost(), "short": cost(length=100), "endless": cost(), "untrained": cost(step=0.0)}
    shares = shared(costs, 130.0)
    assert shares == pytest.approx({"long": 50.0, "short": 10.0, "endless": 50.0, "untrained": 0.0})
    assert costs["short"].steps_within(shares["short"] + 1e-9) == 100


def test_all_recipes_reach_their_length_where_there_is_time_and_nothing_left_is_one_step() -> None:
    costs = {"a": cost(length=100), "b": cost(length=7, step=1.0)}
    assert {key: costs[key].steps_within(share) for key, share in shared(costs, 1e6).items()} == {"a": 100, "b": 7}

    assert shared({"a": cost()}, 1.0) == {"a": 0.0}
    assert cost().steps_within(0.0) == 1


def test_validation_counts_after_each_epoch_and_the_last_one_cut_short() -> None:
    one = cost(step=1.0, epoch=10, validation=2.0)
    assert [one.training(steps) for steps in (1, 10, 11, 20)] == [3.0, 12.0, 15.0, 24.0]
    for seconds in (3.0, 11.9, 12.0, 14.9, 15.0, 23.9, 24.0, 240.0):
        steps = one.steps_within(seconds)
        assert one.training(steps) <= seconds < one.training(steps + 1)


def test_the_pace_is_that_of_all_cells_and_believes_no_extremes() -> None:
    assert pace_of([]) == 1.0
    assert pace_of([(10.0, 12.0), (30.0, 36.0)]) == pytest.approx(1.2)
    assert pace_of([(1.0, 100.0)]) == 4.0
    slow = cost(epoch=10, validation=1.0, length=50).at_pace(2.0)
    assert (slow.fixed, slow.step, slow.validation, slow.length) == (10.0, 0.2, 2.0, 50)
