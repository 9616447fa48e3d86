"""How far the same speed lies on two occasions, from hand-made figures."""

from __future__ import annotations

import math
from collections.abc import Mapping

import factories as f
import msgspec
import pytest

from vitbench.leaderboard.occasion_spread import LEAST, OccasionSpread, occasion_spreads
from vitbench.records import Record

HERE = (f.MACHINE, "cpu")


def repeated(figures: Mapping[str, Mapping[str, float]], **fields: object) -> list[Record]:
    """Return records of models, each with its ratio in each run."""
    return [
        f.relative_speed(label, (ratio, ratio), occasion=f"{run}/1", **fields)
        for label, ratios in figures.items()
        for run, ratio in ratios.items()
    ]


def test_it_is_the_pooled_deviation_of_logarithms_and_its_freedom_the_occasions_less_one() -> None:
    # Of "a" the logarithms are 0 and 0.2, of "b" 1, 1 and 1.3: squares 0.02 and 0.06, freedom 1 and 2.
    figures = {
        "a": {"one": 1.0, "two": math.exp(0.2)},
        "b": {"one": math.e, "two": math.e, "three": math.exp(1.3)},
        "once": {"one": 50.0},
    }
    found = occasion_spreads(repeated(figures))
    assert found.keys() == {HERE}
    spread = found[HERE]
    assert spread.deviation == pytest.approx(math.sqrt(0.08 / 3))
    assert spread.variance == pytest.approx(0.08 / 3)
    assert (spread.freedom, spread.figures, spread.occasions) == (2, 2, 3)


def test_it_is_never_nothing() -> None:
    assert occasion_spreads(repeated({"a": {"one": 1.0, "two": 1.0, "three": 1.0}}))[HERE].deviation == LEAST > 0


def test_two_occasions_are_too_few() -> None:
    figures = {"a": {"one": 1.0, "two": 1.1, "three": 1.2}, "b": {"one": 1.0, "two": 1.1}}
    records = repeated(figures)
    assert HERE in occasion_spreads(records)
    assert occasion_spreads([each for each in records if not each.occasion.startswith("three")]) == {}


def test_a_withdrawn_figure_does_not_count() -> None:
    records = repeated({"a": {"one": 1.0, "two": 1.0, "three": 1.0, "four": 9.0}})
    assert occasion_spreads(records)[HERE].deviation > 1
    withdrawn = msgspec.structs.replace(records[-1], status="withdrawn", measurements=())
    assert occasion_spreads([*records, withdrawn])[HERE].deviation == LEAST


@pytest.mark.parametrize(
    "records",
    [
        [],
        repeated({"a": {"one": 1.0}, "b": {"one": 2.0}}),
        # A run that is continued in the same minutes: two groups of one run are one occasion.
        [f.relative_speed("a", (1.0, 1.0), occasion=f"one/{group}") for group in (1, 2)],
        # What took no turns, as of an earlier method, and what did not end well.
        [
            f.record(planned=each.planned, measurements=each.measurements, occasion=run)
            for run in "xy"
            for each in f.speed()
        ],
        [msgspec.structs.replace(each, status="failed") for each in repeated({"a": {"one": 1.0, "two": 1.1}})],
        # Other code is another key: that is no repetition.
        [
            f.relative_speed("a", (ratio, ratio), occasion=f"{run}/1", code=run)
            for run, ratio in (("one", 1.0), ("two", 1.1))
        ],
    ],
    ids=["nothing", "one run", "one run's groups", "no ratios", "failures", "other code"],
)
def test_without_repetitions_it_is_not_known(records: list[Record]) -> None:
    assert occasion_spreads(records) == {}


def test_machines_and_devices_have_their_own() -> None:
    records = [
        *repeated({"a": {"one": 1.0, "two": math.exp(0.1), "three": math.exp(0.2)}}),
        *repeated({"a": {"one": 1.0, "two": math.exp(0.3), "three": math.exp(0.6)}}, machine="another"),
    ]
    found = occasion_spreads(records)
    assert {place: round(spread.deviation, 6) for place, spread in found.items()} == {
        HERE: 0.1,
        ("another", "cpu"): 0.3,
    }


def test_where_the_figure_itself_decides_it_is_of_that() -> None:
    """On a machine where dividing widens the interval; the reference alone moved here, by a tenth."""
    records = [
        msgspec.structs.replace(
            each,
            measurements=tuple(
                msgspec.structs.replace(one, ratio=msgspec.structs.replace(one.ratio, decides=False))
                for one in each.measurements
            ),
        )
        for run, reference in (("one", 1000.0), ("two", 1000.0 * math.exp(0.1)), ("three", 1000.0 * math.exp(0.2)))
        for each in [f.relative_speed("a", (2.0, 2.0), (reference,), occasion=f"{run}/1")]
    ]
    assert occasion_spreads(records)[HERE].deviation == pytest.approx(0.1)


def test_a_spread_says_its_variance() -> None:
    assert OccasionSpread(deviation=0.1, freedom=3, figures=1, occasions=4).variance == pytest.approx(0.01)
