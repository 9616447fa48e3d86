"""The front by its definition, and by hand."""

from __future__ import annotations

import factories as f
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import COSTLY

from vitbench.leaderboard.leaderboard import Row, build
from vitbench.leaderboard.pareto import OnFront, front, on_fronts

SPEED = ("top1", "throughput")
BOTH = ("top1", "throughput", "peak_memory")


def row(label: str, **figures: object) -> Row:
    """Return a row of these figures: a value, or a value and a verdict."""
    better = {"latency": "lower", "peak_memory": "lower", "size": "neither"}
    measured = []
    for name, given_ in figures.items():
        value, verdict = given_ if isinstance(given_, tuple) else (given_, "valid")
        given = {"better": better.get(name, "higher"), "verdict": verdict}
        measured.append(f.measurement(name, value, **given, at=("quality",), machine_bound=False))
    [found] = build([f.record(f.quality_cell(label), measured)], [], "top1").rows
    return found


@COSTLY
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=12))
def test_the_front_is_what_nothing_dominates(points):
    rows = [row(str(i), top1=a, throughput=b, peak_memory=c) for i, (a, b, c) in enumerate(points)]

    def dominates(one, other):
        at_least = one[0] >= other[0] and one[1] >= other[1] and one[2] <= other[2]
        return at_least and one != other

    expected = {i for i, point in enumerate(points) if not any(dominates(other, point) for other in points)}
    assert front(rows, BOTH) == expected


def test_no_better_in_one_and_worse_in_the_other_is_dominated():
    assert front([row("a", top1=1, throughput=2), row("b", top1=1, throughput=1)], SPEED) == {0}


def test_a_doubtful_figure_counts():
    assert front([row("a", top1=1, throughput=1), row("b", top1=2, throughput=(2, "warn"))], SPEED) == {1}


def test_a_metric_without_a_direction_makes_no_front():
    assert front([row("a", top1=1, size=1)], ("top1", "size")) == frozenset()


@pytest.mark.parametrize(
    "figures",
    [
        {"top1": 9},
        {"top1": 9, "throughput": None},
        {"top1": 9, "throughput": (9, "invalid")},
        {"top1": (9, "invalid"), "throughput": 9},
    ],
    ids=["missing", "no value", "invalid speed", "invalid accuracy"],
)
def test_what_lacks_a_figure_is_on_no_front_and_dominates_nobody(figures):
    assert front([row("good", top1=1, throughput=1), row("other", **figures)], SPEED) == {0}


def test_fronts_are_those_of_a_rows_own_condition_and_baselines_have_none():
    records = [
        *(f.quality("a", 350), *f.speed("a", 100), f.quality("b", 300), *f.speed("b", 90)),
        *(f.quality("c", 200, precision="bfloat16"), *f.speed("c", 10, precision="bfloat16")),
        f.quality("knn", 359, baseline=True),
    ]
    rows = build(records, [], "top1").rows
    found = {each.model: place for each, place in zip(rows, on_fronts(rows, "top1"), strict=True)}
    assert found == {
        "a": OnFront(speed=True, speed_memory=True),
        "b": OnFront(speed=False, speed_memory=False),
        "c": OnFront(speed=True, speed_memory=True),
        "knn": OnFront(speed=None, speed_memory=None),
    }


def test_little_memory_brings_a_row_onto_the_second_front_only():
    rows = [row("a", top1=2, throughput=2, peak_memory=9), row("b", top1=1, throughput=1, peak_memory=1)]
    assert on_fronts(rows, "top1")[1] == OnFront(speed=False, speed_memory=True)
