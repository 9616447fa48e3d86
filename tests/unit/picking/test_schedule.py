"""How the time of a pick is divided."""

from __future__ import annotations

import pytest

from vitbench.picking.schedule import (
    CELL_SECONDS,
    UNKNOWN_SPEED,
    Clock,
    finalists_within,
    first_pass,
    look_seconds,
    looks_of,
    training_seconds,
)


def test_a_clock_counts_earlier_attempts() -> None:
    now = iter([100.0, 130.0, 130.0]).__next__
    clock = Clock(60.0, 10.0, now=now)
    assert clock.used == 40.0
    assert clock.until(0.5) == -10.0


def test_a_look_that_leaves_too_few_images_of_each_class_is_left_out() -> None:
    shares = (0.125, 0.25, 0.5, 1.0)
    assert looks_of(shares, 1600, 100) == shares
    assert looks_of(shares, 1599, 100) == shares[1:]
    assert looks_of(shares, 10, 100) == (1.0,)


def test_what_a_pass_and_a_look_take() -> None:
    assert first_pass(40, 2.5, 4) == 100 + 4 * CELL_SECONDS
    assert look_seconds([100.0, None], 1000) == pytest.approx(2 * CELL_SECONDS + 10 + 1000 / UNKNOWN_SPEED)


def test_a_model_from_scratch_needs_passes_over_its_images() -> None:
    learned = training_seconds(100.0, learned=True, train_images=10_000, test_images=1000)
    fresh = training_seconds(100.0, learned=False, train_images=10_000, test_images=1000)
    assert learned == (CELL_SECONDS + 106, CELL_SECONDS + 970)
    assert fresh == (CELL_SECONDS + 610, CELL_SECONDS + 6010)


@pytest.mark.parametrize(("seconds", "count"), [(0, 1), (20, 2), (299, 2), (300, 3), (float("inf"), 4)])
def test_as_many_finalists_as_can_be_trained_fully_or_two_that_are_trained_a_little(seconds: float, count: int) -> None:
    assert finalists_within([(10.0, 100.0)] * 4, seconds) == count
    assert finalists_within([(10.0, 100.0)], seconds) == 1
