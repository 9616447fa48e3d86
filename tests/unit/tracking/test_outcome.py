"""Which verdict counts of several, and its exit code."""

from __future__ import annotations

import itertools

from vitbench.tracking.outcome import EXIT_CODES, TrackedModel, Verdict, verdict_of_all


def test_the_exit_codes_are_those_of_the_design() -> None:
    assert EXIT_CODES == {
        "same": 0,
        "improved": 0,
        "regressed": 10,
        "no data": 11,
        "not comparable": 12,
        "not resolved": 13,
    }


def test_of_several_verdicts_the_gravest_counts_in_any_order() -> None:
    order: list[Verdict] = ["regressed", "not comparable", "no data", "not resolved", "improved", "same"]

    def result(verdict: Verdict) -> TrackedModel:
        return TrackedModel(model="vit", mode="inference", batch_size=1, verdict=verdict)

    for pair in itertools.permutations(order, 2):
        assert verdict_of_all(map(result, pair)) == min(pair, key=order.index)
    assert verdict_of_all(map(result, reversed(order))) == "regressed"
