"""The one scale of outcomes: their exit codes, and which counts of several."""

from __future__ import annotations

import itertools

from vitbench.lockstep.outcome import EXIT_CODES, ComparisonOutcome, worst


def test_the_exit_codes_are_those_of_the_design() -> None:
    assert list(EXIT_CODES.items()) == [
        ("regressed", 10),
        ("not comparable", 12),
        ("no data", 11),
        ("not resolved", 13),
        ("improved", 0),
        ("same", 0),
    ]


def test_of_several_outcomes_the_worst_counts_in_any_order() -> None:
    order: list[ComparisonOutcome] = ["regressed", "not comparable", "no data", "not resolved", "improved", "same"]
    for pair in itertools.permutations(order, 2):
        assert worst(pair) == min(pair, key=order.index)
    assert worst(reversed(order)) == "regressed"
