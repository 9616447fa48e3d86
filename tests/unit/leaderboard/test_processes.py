"""The rule by which stored figures of several processes are told apart, and how often it errs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vitbench.leaderboard.processes import LEVEL, Processes, in_turn, moody, tell_p, tell_p_values, told_apart
from vitbench.leaderboard.ranking import Entry, rank
from vitbench.leaderboard.rows import Metric
from vitbench.records import Style
from vitbench.statistics import process_ratio

MIB = 2**20


def metric(*processes: float, occasion: str = "here", **fields: object) -> Metric:
    told = {"unit": "images/s", "better": "higher", "machine_bound": True, "exact": False, **fields}
    return Metric(
        value=float(np.median(processes)),
        low=min(processes),
        high=max(processes),
        spread=None,
        n=len(processes),
        verdict="valid",
        reasons=(),
        taken_at="fixed_batch",
        style=Style(),
        processes=processes,
        occasion=occasion,
        **told,
    )


def known(*values: float, occasion: str = "here") -> Processes:
    return Processes(values=values, occasion=occasion)


def test_disjoint_ranges_alone_tell_nothing_apart() -> None:
    assert not told_apart(metric(1000, 1003, 1006), metric(1007, 1010, 1013))
    assert told_apart(metric(1000, 1003, 1006), metric(1107, 1110, 1113))


def test_nor_does_the_interval_where_the_ranges_overlap() -> None:
    low = [1.0] * 9 + [2.0]
    assert process_ratio(low, [2.0] * 10).low > 1.5
    assert tell_p(known(*low), known(*[2.0] * 10)) == 1


def test_it_is_the_interval_at_the_level_that_decides() -> None:
    one, other = known(980, 1000, 1020), known(1180, 1200, 1220)
    p = tell_p(one, other)
    assert 0 < p < LEVEL
    for level, beyond in ((p * 1.01, True), (p * 0.99, False)):
        found = process_ratio(one.values, other.values, level)
        assert (found.low > 1 / 0.97) is beyond
    assert tell_p(other, one) == pytest.approx(p)
    assert not told_apart(metric(*one.values), metric(*other.values), pairs=1 + int(LEVEL / p))


def test_processes_that_agree_are_known_to_the_threshold() -> None:
    assert tell_p(known(100, 100, 100), known(103, 103, 103)) == 1
    assert tell_p(known(100, 100, 100), known(104, 104, 104)) == 0
    assert tell_p(known(100, 100, 100), known(104, 104, 104), 0.1) == 1


def test_only_what_took_turns_is_compared() -> None:
    figures = [known(1, 1, occasion=occasion) for occasion in ("x", "y", "x", "", "")]
    assert np.argwhere(in_turn(figures)).tolist() == [[0, 2], [2, 0]]
    apart = [known(value, value, occasion=occasion) for value, occasion in ((1, "x"), (2, "y"), (3, "x"), (4, ""))]
    assert np.argwhere(tell_p_values(apart) < 1).tolist() == [[0, 2], [2, 0]]


@pytest.mark.parametrize(("unit", "depends"), [("s", True), ("images/s", True), ("J", True), ("B", False)])
def test_times_rates_and_energy_depend_on_the_mood_and_memory_does_not(unit: str, depends: bool) -> None:
    pair = [metric(100 * MIB, 100 * MIB, unit=unit), metric(400 * MIB, 400 * MIB, unit=unit, occasion="there")]
    assert [moody(each) for each in pair] == [depends] * 2
    assert told_apart(*pair) is not depends


def test_memory_is_known_to_no_less_than_a_huge_page_or_two() -> None:
    def apart(one: float, other: float) -> bool:
        return told_apart(*(metric(each * MIB, each * MIB, unit="B") for each in (one, other)))

    assert not apart(1, 4)
    assert not apart(0, 5.5)
    assert apart(0, 6.5)
    assert apart(20, 30)


def test_what_is_no_sample_of_processes_is_unknown() -> None:
    assert Processes.of(metric(1.0)) is None
    assert Processes.of(metric(1.0, 0.0)) is None
    own = metric(0.5, 0.5, 0.5)
    assert Processes.of(own) is not None
    assert Processes.of(replace(own, low=0.4, high=0.6)) is None, "an interval of its own"


def false_ranks(models: int, draw: Callable[[], NDArray[np.float64]], tables: int, occasions: int = 1) -> float:
    """Return the share of tables of equal models in which any has a rank that is not 1 to last."""
    found = 0
    for _ in range(tables):
        entries = [
            Entry(
                value=float(np.median(own)),
                low=-np.inf,
                high=np.inf,
                processes=known(*own, occasion=f"{i % occasions}"),
            )
            for i, own in enumerate(draw().tolist())
        ]
        found += any((each.rank, each.rank_last) != (1, models) for each in rank(entries, "higher").standings)
    return found / tables


@pytest.mark.simulation
@pytest.mark.parametrize("models", [2, 5, 10])
@pytest.mark.parametrize("noise", [0.01, 0.03, 0.1])
def test_equal_models_have_a_false_rank_in_few_tables(models: int, noise: float) -> None:
    random = np.random.default_rng(0)
    assert false_ranks(models, lambda: np.exp(random.normal(0, noise, (models, 3))), 500) < 0.05


@pytest.mark.simulation
@pytest.mark.parametrize("models", [2, 5, 10])
def test_and_so_they_have_where_each_occasion_has_a_mood(models: int) -> None:
    """By thirds the rows are of three occasions, with moods of 20 %, which alone would give ranks."""
    random = np.random.default_rng(0)

    def draw() -> NDArray[np.float64]:
        moods = random.normal(0, 0.2, 3)[np.arange(models) % 3, None]
        return np.exp(moods + random.normal(0, 0.01, (models, 3)))

    assert false_ranks(models, draw, 500, occasions=3) < 0.05
    assert false_ranks(models, draw, 100) > 0.3
