"""What is said of times: each rule with times that break it, times that do not, and its false alarms by simulation."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from vitbench.measuring.noise import call_noise_reasons, noise_reasons, relative_spread

Generator = np.random.Generator
Draw = Callable[[Generator, int], NDArray[np.float64]]

UNIMODAL: dict[str, Draw] = {
    "normal": lambda rng, n: 1e-3 * (1 + 0.15 * rng.standard_normal(n)),
    "uniform": lambda rng, n: 1e-3 * rng.uniform(0.5, 1.5, n),
    "lognormal": lambda rng, n: 1e-3 * rng.lognormal(0, 0.3, n),
}


def reasons(judged: tuple[list[str], list[str]], word: str) -> list[str]:
    return [reason for found in judged for reason in found if word in reason]


def test_spread_is_the_interquartile_range_over_the_median() -> None:
    assert relative_spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 3)
    assert relative_spread([7.0]) == 0


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([1.0, 1.01, 1.02, 1.03, 1.04], ([], [])),
        ([1.0, 1.1, 1.0, 1.1, 1.0], (["IQR 10% of the median"], [])),
        (
            [1.0, 1.4, 1.0, 1.4, 1.0],
            (["the slowest blocks pull the mean 16% away from the median"], ["IQR 40% of the median"]),
        ),
        ([0.1, 0.1, 0.1, 0.1, 0.12], ([], [])),
        ([0.1, 0.1, 0.1, 0.15, 0.1], (["the slowest blocks pull the mean 10% away from the median"], [])),
        ([0.1, 0.1, 0.05, 0.1, 0.1], (["the fastest blocks pull the mean 10% away from the median"], [])),
        ([0.1, 0.1, 0.1, 0.1, 1.0], ([], ["the slowest blocks pull the mean 180% away from the median"])),
    ],
)
def test_spread_and_mean_of_blocks(blocks: list[float], expected: tuple[list[str], list[str]]) -> None:
    assert noise_reasons(blocks) == expected


def test_blocks_that_drift_are_told_in_both_directions() -> None:
    slower = [1.0, 1.02, 1.04, 1.06, 1.08, 1.10, 1.17]
    assert reasons(noise_reasons(slower), "drift") == [
        "the times drift: the last third takes 12% longer than the first"
    ]
    faster = [1.2, 1.16, 1.12, 1.08, 1.04, 1.01, 0.99]
    assert reasons(noise_reasons(faster), "drift") == ["the times drift: the last third takes 15% less than the first"]


@pytest.mark.parametrize(
    "blocks",
    [
        [1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06],  # a trend, but less than a tenth
        [1.0, 1.2, 1.05, 1.25, 1.1, 1.3, 1.15],  # a tenth, but within the noise
        [1.0, 1.5],  # too few for thirds
        [1.0, 1.1, 1.2, 1.3],  # one order in twelve
        [1.0, 1.1, 1.05, 1.15, 1.2],  # of five, not in perfect order
    ],
)
def test_no_drift_without_size_and_trend(blocks: list[float]) -> None:
    assert reasons(noise_reasons(blocks), "drift") == []


def test_five_blocks_in_perfect_order_are_a_drift() -> None:
    assert reasons(noise_reasons([1.0, 1.03, 1.06, 1.09, 1.12]), "drift") == [
        "the times drift: the last third takes 12% longer than the first"
    ]


def test_calls_that_drift_within_much_noise_are_told() -> None:
    rng = np.random.default_rng(0)
    calls = UNIMODAL["normal"](rng, 300) * np.linspace(1, 1.3, 300)
    (told,) = reasons(call_noise_reasons(calls), "drift")
    assert "longer" in told
    assert reasons(call_noise_reasons(rng.permutation(calls)), "drift") == []


def test_a_step_is_a_drift_and_two_groups() -> None:
    calls = [0.001 + 1e-6 * (i % 7) for i in range(60)] + [0.002 + 1e-6 * (i % 7) for i in range(60)]
    warnings, _ = call_noise_reasons(calls)
    assert warnings == [
        "the times drift: the last third takes 100% longer than the first",
        "the times fall into two groups: 1 ms (50%) and 2 ms (50%)",
    ]


def test_two_groups_are_told_with_their_times_and_shares() -> None:
    rng = np.random.default_rng(1)
    calls = rng.permutation([*rng.normal(1.02e-3, 2e-5, 47), *rng.normal(3.11e-3, 6e-5, 53)])
    assert reasons(call_noise_reasons(calls), "groups") == [
        "the times fall into two groups: 1.02 ms (47%) and 3.11 ms (53%)"
    ]
    slow = np.tile([1.5, 1.5, 3.25], 30)
    assert reasons(call_noise_reasons(slow), "groups") == [
        "the times fall into two groups: 1.5 s (67%) and 3.25 s (33%)"
    ]


def test_stragglers_do_not_hide_two_groups() -> None:
    rng = np.random.default_rng(2)
    calls = rng.permutation([*rng.normal(1e-3, 2e-5, 140), *rng.normal(2e-3, 4e-5, 52), *rng.uniform(5e-3, 5e-2, 4)])
    assert reasons(call_noise_reasons(calls), "groups")


@pytest.mark.parametrize(
    ("fast", "slow", "distance"),
    [
        (182, 18, 2.0),  # a tail of 9 %
        (100, 100, 0.08),  # nearer than a tenth
        (30, 30, 2.0),  # too few calls
    ],
)
def test_a_tail_near_groups_and_few_calls_are_no_two_groups(fast: int, slow: int, distance: float) -> None:
    rng = np.random.default_rng(3)
    calls = np.concatenate([rng.normal(1, 0.005, fast), rng.normal(1 + distance, 0.005, slow)])
    assert reasons(call_noise_reasons(rng.permutation(calls)), "groups") == []


@pytest.mark.simulation
@pytest.mark.parametrize(("name", "count"), [("normal", 64), ("uniform", 250), ("lognormal", 64)])
def test_false_alarms_on_single_calls_are_at_most_one_in_a_hundred(name: str, count: int) -> None:
    rng = np.random.default_rng(4)
    judged = [call_noise_reasons(UNIMODAL[name](rng, count)) for _ in range(600)]
    assert sum(bool(reasons(one, "groups")) for one in judged) <= 6
    assert sum(bool(reasons(one, "drift")) for one in judged) <= 6


@pytest.mark.simulation
@pytest.mark.parametrize(("count", "told"), [(4, 0), (5, 2), (6, 2 * (1 + 5))])
def test_of_all_orders_of_a_few_blocks_one_in_sixty_or_fewer_are_a_drift(count: int, told: int) -> None:
    """The exact false alarms of noise without a trend, of any distribution and of any size."""
    blocks = 1.5 ** np.arange(count)
    orders = list(itertools.permutations(blocks))
    assert sum(bool(reasons(noise_reasons(order), "drift")) for order in orders) == told <= len(orders) / 60


@pytest.mark.simulation
@pytest.mark.parametrize("share", [0.5, 0.15])
def test_two_speeds_apart_by_eight_deviations_are_found(share: float) -> None:
    rng = np.random.default_rng(6)

    def calls() -> NDArray[np.float64]:
        return rng.normal(1, 0.05, 250) + 0.4 * (rng.random(250) < share)

    assert sum(bool(reasons(call_noise_reasons(calls()), "groups")) for _ in range(200)) >= 190


def test_scatter_of_single_calls_is_no_spread_but_unsteady_parts_are() -> None:
    rng = np.random.default_rng(7)
    assert call_noise_reasons(1e-3 * rng.lognormal(0, 0.1, 300)) == ([], [])
    assert call_noise_reasons([*[1e-3] * 299, 1.0]) == ([], []), "no percentile is pulled by one call"
    waves = 1e-3 * (1 + 0.2 * np.sin(np.arange(300) / 40))
    assert reasons(call_noise_reasons(waves), "IQR")
