"""Which speed cells a plan gives each model."""

from __future__ import annotations

from typing import Any

import pytest

from vitbench.planning.suite import SpeedPlan


@pytest.mark.parametrize(
    ("given", "cells"),
    [
        ({}, [(1, "inference", False), (32, "inference", False), (32, "training", False)]),
        ({"batch_sizes": (64, 1, 8)}, [(n, "inference", False) for n in (1, 8, 64)] + [(64, "training", False)]),
        ({"modes": ("training",)}, [(32, "training", False)]),
        ({"modes": ("inference",), "batch_sizes": (1,)}, [(1, "inference", False)]),
        (
            {"largest_batch": True, "batch_sizes": (16,)},
            [(16, "inference", False), (16, "inference", True), (16, "training", False)],
        ),
        ({"largest_batch": True, "modes": ("training",)}, [(32, "training", False)]),
        ({"batch_sizes": ()}, []),
        ({"modes": (), "largest_batch": True}, []),
    ],
    ids=str,
)
def test_inference_runs_at_each_batch_and_training_and_the_search_at_the_largest(
    given: dict[str, Any], cells: list[tuple[int, str, bool]]
) -> None:
    assert SpeedPlan(**given).cells == cells


@pytest.mark.parametrize(
    ("batch_sizes", "windows"),
    [
        ((1, 8, 32), [0, 0, 20, 0, 20]),  # single images, batch 8, the fixed batch, the search, training
        ((1,), [0, 0, 20]),  # where there is no fixed batch, training alone
    ],
)
def test_a_window_is_sustained_where_throughput_is(batch_sizes: tuple[int, ...], windows: list[float]) -> None:
    plan = SpeedPlan(batch_sizes=batch_sizes, largest_batch=True, sustained=20.0)
    assert [plan.window(*cell) for cell in plan.cells] == windows
    plain = SpeedPlan(batch_sizes=batch_sizes)
    assert not any(plain.window(*cell) for cell in plain.cells)
