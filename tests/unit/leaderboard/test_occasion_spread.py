"""How far the same speed lies on two occasions, from hand-made figures."""

from __future__ import annotations

import math
from collections.abc import Mapping

import factories as f
import msgspec
import pytest

from vitbench.leaderboard.leaderboard import build
from vitbench.leaderboard.occasion_spread import LEAST, RATIOS, occasion_spreads
from vitbench.records import Record

HERE = (f.MACHINE, "cpu", RATIOS)


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


def test_machines_and_devices_have_their_own() -> None:
    records = [
        *repeated({"a": {"one": 1.0, "two": math.exp(0.1), "three": math.exp(0.2)}}),
        *repeated({"a": {"one": 1.0, "two": math.exp(0.3), "three": math.exp(0.6)}}, machine="another"),
    ]
    found = occasion_spreads(records)
    assert {kind: round(spread.deviation, 6) for kind, spread in found.items() if kind[2] == RATIOS} == {
        HERE: 0.1,
        ("another", "cpu", RATIOS): 0.3,
    }


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
    assert occasion_spreads(records)[f.MACHINE, "cpu", "throughput"].deviation == pytest.approx(0.1)
    board = build(records, [], "throughput")
    spread = board.rows[0].metrics["throughput"].occasion_spread
    assert spread is not None
    assert spread.deviation == pytest.approx(0.1)


def test_what_ratios_differ_by_says_nothing_of_plain_times() -> None:
    """Occasions leave the ratio as it is, and move the 95th percentile, which is no ratio, by a tenth."""
    records = []
    for number, run in enumerate(("one", "two", "three")):
        ratio = f.relative_speed("a", (2.0, 2.0), metric="latency_p50", occasion=f"{run}/1", batch_size=1)
        moved = f.measurement("latency_p95", 0.01 * math.exp(0.1 * number), unit="s", better="lower")
        records.append(msgspec.structs.replace(ratio, measurements=(*ratio.measurements, moved)))
    metrics = build(records, [], "latency_p50").rows[0].metrics
    known = {name: metric.occasion_spread for name, metric in metrics.items()}
    assert {name: spread and round(spread.deviation, 6) for name, spread in known.items()} == {
        "latency_p50": LEAST,
        "latency_p95": 0.1,
    }


def test_what_was_never_repeated_is_not_known_by_what_was() -> None:
    records = repeated({"a": {"one": 1.0, "two": 1.0, "three": 1.0}})
    alone = f.measurement("latency_p95", 0.01, unit="s", better="lower")
    last = msgspec.structs.replace(records[-1], planned=f.speed_cell("a", batch_size=1), measurements=(alone,))
    metrics = build([*records, last], [], "throughput").rows[0].metrics
    assert metrics["throughput"].occasion_spread is not None
    assert metrics["latency_p95"].occasion_spread is None
