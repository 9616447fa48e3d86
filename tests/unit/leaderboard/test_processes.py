"""The rule by which stored figures of several processes are told apart, and how often it errs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import factories as f
import numpy as np
import pytest
from numpy.typing import NDArray

from vitbench.leaderboard.metric import Metric, Relative
from vitbench.leaderboard.occasion_spread import RATIOS, OccasionSpread, occasion_spreads
from vitbench.leaderboard.processes import (
    FEW_PROCESSES,
    LEVEL,
    Processes,
    comparable,
    in_turn,
    moody,
    tell_p,
    tell_p_values,
    told_apart,
    variance_between,
)
from vitbench.leaderboard.ranking import Entry, rank
from vitbench.records import Ratio, Style
from vitbench.running.attempt import LOOK_CONFIDENCE, SETTLED
from vitbench.running.runner import SPEED_PROCESSES
from vitbench.statistics import process_mean, process_ratio

MIB = 2**20
FEW, MOST = SPEED_PROCESSES


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


def known(*values: float, occasion: str = "here", between: OccasionSpread | None = None) -> Processes:
    return Processes(values=values, occasion=occasion, between=between)


def test_disjoint_ranges_alone_tell_nothing_apart() -> None:
    assert not told_apart(metric(1000, 1003, 1006), metric(1007, 1010, 1013))
    assert told_apart(metric(1000, 1003, 1006), metric(1107, 1110, 1113))


def test_it_is_the_interval_at_the_level_that_decides() -> None:
    one, other = known(980, 1000, 1020), known(1180, 1200, 1220)
    p = tell_p(one, other)
    assert 0 < p < LEVEL
    for level, beyond in ((p * 1.01, True), (p * 0.99, False)):
        found = process_ratio(one.values, other.values, level)
        assert (found.low > 1 / 0.97) is beyond
    assert tell_p(other, one) == pytest.approx(p)
    assert not told_apart(metric(*one.values), metric(*other.values), pairs=1 + int(LEVEL / p))


@pytest.mark.parametrize(("count", "apart"), [(2, False), (FEW_PROCESSES, False), (FEW_PROCESSES + 1, True)])
def test_few_processes_must_have_disjoint_ranges_too(count: int, apart: bool) -> None:
    """Of one side, however many the other has; where both have more, the interval is enough."""
    many = [1.0] * 9 + [2.0]
    few = [2.0] * count
    assert process_ratio(many, few).low > 1.5
    for pair in ((known(*many), known(*few)), (known(*few), known(*many))):
        assert (tell_p(*pair) < LEVEL) is apart


def test_processes_that_agree_are_known_to_the_threshold() -> None:
    assert tell_p(known(100, 100, 100), known(103, 103, 103)) == 1
    assert tell_p(known(100, 100, 100), known(104, 104, 104)) == 0
    assert tell_p(known(100, 100, 100), known(104, 104, 104), 0.1) == 1


def test_memory_is_known_to_no_less_than_a_huge_page_or_two() -> None:
    def apart(one: float, other: float) -> bool:
        return told_apart(*(metric(each * MIB, each * MIB, unit="B") for each in (one, other)))

    assert not apart(1, 4)
    assert not apart(0, 5.5)
    assert apart(0, 6.5)
    assert apart(20, 30)


def test_only_what_took_turns_is_compared() -> None:
    figures = [known(1, 1, occasion=occasion) for occasion in ("x", "y", "x", "", "")]
    assert np.argwhere(in_turn(figures)).tolist() == [[0, 2], [2, 0]]
    apart = [known(value, value, occasion=occasion) for value, occasion in ((1, "x"), (2, "y"), (3, "x"), (4, ""))]
    assert np.argwhere(tell_p_values(apart) < 1).tolist() == [[0, 2], [2, 0]]


def test_ratios_are_compared_with_ratios_to_the_same_network_alone() -> None:
    """A value as it was measured is a thousand times as large as a ratio, and means nothing against it."""
    one, other, measured = (
        replace(known(*values, between=SPREAD), network=network)
        for values, network in (((2.0, 2.1), "n"), ((3.0, 3.1), "m"), ((2000.0, 2100.0), ""))
    )
    like = replace(one, values=(4.0, 4.1))
    assert np.argwhere(comparable([one, other, measured, like])).tolist() == [[0, 3], [3, 0]]
    assert np.argwhere(tell_p_values([one, other, measured, like]) < 1).tolist() == [[0, 3], [3, 0]]


SPREAD = OccasionSpread(deviation=0.05, freedom=9, figures=20, occasions=10)


def test_figures_of_two_occasions_are_compared_where_it_is_known_what_these_differ_by() -> None:
    figures = [
        known(1, 1, occasion=occasion, between=between)
        for occasion, between in (("x", SPREAD), ("y", SPREAD), ("x", None), ("z", None), ("", SPREAD))
    ]
    pairs = [(i, j) for i, j in np.argwhere(comparable(figures)).tolist() if i < j]
    assert pairs == [(0, 1), (0, 2)]
    assert [(i, j) for i, j in np.argwhere(in_turn(figures)).tolist() if i < j] == [(0, 2)]


def test_their_variance_is_added_for_each_side_and_of_one_occasion_nothing() -> None:
    one, same, other = (known(1, 1, occasion=occasion, between=SPREAD) for occasion in ("x", "x", "y"))
    assert variance_between(one, same) == (0.0, math.inf)
    assert variance_between(one, other) == (pytest.approx(2 * 0.05**2), 9)
    rough = OccasionSpread(deviation=0.1, freedom=2, figures=1, occasions=3)
    assert variance_between(one, known(1, 1, occasion="y", between=rough)) == (pytest.approx(0.05**2 + 0.1**2), 2)


def test_two_occasions_differ_by_the_wider_interval() -> None:
    """The p-value stands at the interval's own end, as within an occasion."""
    values = (0.98, 0.99, 1.0, 1.01, 1.02), tuple(1.3 * each for each in (0.98, 0.99, 1.0, 1.01, 1.02))
    within = tell_p(*(known(*each, between=SPREAD) for each in values))
    one, other = (known(*each, occasion=where, between=SPREAD) for each, where in zip(values, "xy", strict=True))
    p = tell_p(one, other)
    assert within < p < LEVEL
    end = process_ratio(*values, p, beside=variance_between(one, other))
    assert end.low == pytest.approx(1 / 0.97)
    table = tell_p_values([one, other, known(*values[1], occasion="x", between=SPREAD)])
    assert (table[0, 1], table[0, 2]) == (pytest.approx(p), pytest.approx(within))


def test_ratios_to_the_reference_are_what_is_known_of_a_figure() -> None:
    ratio = Ratio(
        value=2.0, value_of_all=2.0, reference=1.0, network="n", quads=1, left_out=0, processes=(1.9, 2.0, 2.1)
    )
    own = metric(100.0, 200.0, 300.0, occasion_spread=SPREAD)
    own = replace(own, relative=Relative(ratio=ratio, measured=1.0, low=1.0, high=1.0, reference=1.0))
    found = Processes.of(own)
    assert found == replace(known(1.9, 2.0, 2.1, between=SPREAD), network="n")


def test_memory_has_no_occasions() -> None:
    found = Processes.of(metric(100 * MIB, 100 * MIB, unit="B", occasion_spread=SPREAD))
    assert found is not None
    assert found.between is None


def test_what_is_no_sample_of_processes_is_unknown() -> None:
    assert Processes.of(metric(1.0)) is None
    assert Processes.of(metric(1.0, 0.0)) is None
    own = metric(0.5, 0.5, 0.5)
    assert Processes.of(own) is not None
    assert Processes.of(replace(own, low=0.4, high=0.6)) is None, "an interval of its own"


@pytest.mark.parametrize(("unit", "depends"), [("s", True), ("images/s", True), ("J", True), ("B", False)])
def test_times_rates_and_energy_depend_on_the_mood_and_memory_does_not(unit: str, depends: bool) -> None:
    pair = [metric(100 * MIB, 100 * MIB, unit=unit), metric(400 * MIB, 400 * MIB, unit=unit, occasion="there")]
    assert [moody(each) for each in pair] == [depends] * 2
    assert told_apart(*pair) is not depends


def ranks(figures: list[Processes]) -> list[tuple[int, int]]:
    """Return each figure's rank and its last rank."""
    entries = [Entry(value=float(np.median(own.values)), low=-np.inf, high=np.inf, processes=own) for own in figures]
    return [(each.rank, each.rank_last) for each in rank(entries, "higher").standings]


def false_ranks(models: int, draw: Callable[[], list[Processes]], tables: int) -> float:
    """Return the share of tables of equal models in which any has a rank that is not 1 to last."""
    return sum(set(ranks(draw())) != {(1, models)} for _ in range(tables)) / tables


def drawn(
    random: np.random.Generator,
    models: int,
    deviation: float,
    *,
    processes: int | None = None,
    moods: NDArray[np.float64] | float = 0.0,
    occasions: int = 1,
    between: OccasionSpread | None = None,
) -> list[Processes]:
    """Return equal models whose processes' logarithms have a deviation, by turns of so many occasions.

    Each has as many processes as are given, or as a run would take.
    """
    values = np.exp(moods + random.normal(0, deviation, (models, processes or MOST))).tolist()
    if processes is None:
        values = [own[: taken(own)] for own in values]
    return [known(*own, occasion=str(i % occasions), between=between) for i, own in enumerate(values)]


def taken(ratios: Sequence[float]) -> int:
    """Return how many processes a run would take."""
    mean = process_mean(ratios[:FEW], LOOK_CONFIDENCE)
    assert mean.low is not None
    assert mean.high is not None
    return FEW if math.sqrt(mean.high / mean.low) - 1 <= SETTLED else MOST


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("models", "processes", "deviation"),
    [(2, 3, 0.03), (5, 3, 0.01), (10, 3, 0.06), (2, None, 0.06), (5, None, 0.01), (10, None, 0.03)],
)
def test_equal_models_have_a_false_rank_in_few_tables(models: int, processes: int | None, deviation: float) -> None:
    random = np.random.default_rng(0)
    draw = partial(drawn, random, models, deviation, processes=processes)
    assert false_ranks(models, draw, 400) < 0.05


@pytest.mark.simulation
def test_and_so_they_have_where_each_occasion_has_a_mood() -> None:
    """By thirds the rows are of three occasions, with moods of 20 %, which alone would give ranks."""
    models = 10
    random = np.random.default_rng(0)

    def draw(occasions: int) -> list[Processes]:
        moods = random.normal(0, 0.2, 3)[np.arange(models) % 3, None]
        return drawn(random, models, 0.01, processes=3, moods=moods, occasions=occasions)

    assert false_ranks(models, lambda: draw(3), 400) < 0.05
    assert false_ranks(models, lambda: draw(1), 100) > 0.3


@pytest.mark.simulation
def test_and_so_they_have_over_occasions_by_a_spread_that_was_estimated() -> None:
    """Each model has moods of its own, of 5 % from occasion to occasion; earlier occasions say by how much."""
    models = 5
    random = np.random.default_rng(0)
    assert false_ranks(models, partial(across, random, models, 3), 200) < 0.05


def across(random: np.random.Generator, models: int, known_occasions: int, factor: float = 1.0) -> list[Processes]:
    """Return models each of its own occasion, with the spread that other occasions of theirs give.

    The first is faster by a factor.
    """
    deviation = 0.02

    def ratios() -> tuple[float, ...]:
        return tuple(np.exp(random.normal(0, 0.05) + random.normal(0, deviation, FEW)).tolist())

    records = [
        f.relative_speed(f"m{model}", ratios(), occasion=f"{occasion}/1")
        for model in range(models)
        for occasion in range(known_occasions)
    ]
    spread = occasion_spreads(records)[f.MACHINE, "cpu", RATIOS]
    found = [known(*ratios(), occasion=f"now {model}", between=spread) for model in range(models)]
    return [replace(found[0], values=tuple(factor * each for each in found[0].values)), *found[1:]]


@pytest.mark.simulation
def test_a_tenth_is_found_between_two_models_of_one_run() -> None:
    random = np.random.default_rng(0)
    assert found_faster(random, 2, 0.03, 1.1, 400) >= 0.8


def found_faster(random: np.random.Generator, models: int, deviation: float, factor: float, tables: int) -> float:
    """Return the share of tables in which a model that is faster than the others, which are equal, is first alone."""
    found = 0
    for _ in range(tables):
        figures = drawn(random, models, deviation)
        faster = replace(figures[0], values=tuple(factor * each for each in figures[0].values))
        found += ranks([faster, *figures[1:]])[0] == (1, 1)
    return found / tables
