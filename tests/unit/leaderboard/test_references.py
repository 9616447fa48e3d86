"""Ratios become images/s by one factor for all rows that stand together, and keep their intervals to themselves."""

from __future__ import annotations

from typing import Any

import factories as f
import pytest

from vitbench.leaderboard.leaderboard import build
from vitbench.leaderboard.metric import metric_fields
from vitbench.leaderboard.references import on_one_scale
from vitbench.leaderboard.rows import Row, unranked
from vitbench.records import Record


def rows_of(*records: Record) -> dict[str, Row]:
    return {row.model: row for row in on_one_scale(unranked(records))[0]}


def throughput(row: Row) -> Any:
    return row.metrics["throughput"]


def test_each_value_is_its_ratio_times_the_median_of_the_references_in_all_rows() -> None:
    rows = rows_of(
        f.relative_speed("a", (2.0, 2.0, 2.0), (900.0, 1000.0, 1100.0)),
        f.relative_speed("b", (0.5, 0.5, 0.5), (1200.0, 1300.0, 1400.0)),
    )
    assert throughput(rows["a"]).value == pytest.approx(2.0 * 1150)
    assert throughput(rows["b"]).value == pytest.approx(0.5 * 1150)
    assert {throughput(row).relative.reference for row in rows.values()} == {1150}
    assert throughput(rows["a"]).measured == 2000.0
    assert (throughput(rows["b"]).relative.low, throughput(rows["b"]).relative.high) == (600.0, 700.0)


def test_metrics_have_factors_of_their_own() -> None:
    rows = rows_of(
        f.relative_speed("a", (2.0, 2.0), (1000.0,)),
        f.relative_speed("a", (3.0, 3.0), (0.004, 0.006), metric="latency_p50", batch_size=1),
    )
    assert throughput(rows["a"]).value == pytest.approx(2000)
    assert rows["a"].metrics["latency_p50"].value == pytest.approx(0.015)


def test_the_ratios_interval_never_stands_on_images_per_second() -> None:
    metric = throughput(rows_of(f.relative_speed("a", (1.9, 2.0, 2.1)))["a"])
    assert (metric.low, metric.high, metric.interval) == (None, None, None)
    ratio = metric.relative.ratio
    low, high = metric.ends
    assert low / metric.value == pytest.approx(ratio.low / ratio.value)
    assert high / metric.value == pytest.approx(ratio.high / ratio.value)


def test_programs_get_the_ratio_what_was_measured_and_the_references_value() -> None:
    row = rows_of(f.relative_speed("a", (1.9, 2.0, 2.1), (1000.0, 1000.0, 1200.0)))["a"]
    told = metric_fields(throughput(row))
    ratio = throughput(row).relative.ratio
    assert (told["low"], told["high"], told["interval"]) == (None, None, None)
    assert told["ratio"] == {
        "value": ratio.value,
        "low": ratio.low,
        "high": ratio.high,
        "value_of_all": ratio.value_of_all,
        "quads": 24,
        "left_out": 3,
        "interval": "95%",
    }
    assert told["measured"] == {"value": 2000.0, "low": 1900.0, "high": 2520.0, "interval": "range"}
    assert told["reference"] == {"network": "conv-attention-1", "value": 1000.0, "own": 1000.0}
    raw = unranked(f.speed("a"))[0]
    assert "ratio" not in metric_fields(throughput(raw))


@pytest.mark.parametrize(
    "elsewhere", [{"machine": "another"}, {"threads": 2}, {"device": "cuda:0"}], ids=lambda fields: next(iter(fields))
)
def test_rows_of_another_machine_have_another_factor(elsewhere: dict[str, object]) -> None:
    records = [
        f.relative_speed("a", (2.0, 2.0), (1000.0,)),
        f.relative_speed("b", (2.0, 2.0), (3000.0,), **elsewhere),
    ]
    rows = rows_of(*records)
    assert [throughput(rows[name]).value for name in "ab"] == pytest.approx([2000, 6000])
    references = build(records, [], "throughput").references
    assert sorted(each["throughput"].value for each in references.values()) == [1000, 3000]


def test_the_reference_is_told_with_its_range_over_processes_and_runs() -> None:
    records = [
        f.relative_speed("a", (2.0, 2.0), (900.0, 1000.0)),
        f.relative_speed("b", (1.0, 1.0), (1100.0, 1500.0), occasion="run-2/1"),
    ]
    _, references = on_one_scale(unranked(records))
    (own,) = references.values()
    known = own["throughput"]
    assert (known.value, known.low, known.high) == (1050, 900, 1500)
    assert (known.processes, known.runs, known.network) == (4, 2, "conv-attention-1")


def test_what_took_no_turns_keeps_its_value() -> None:
    records = f.speed("a", 900)
    rows, references = on_one_scale(unranked(records))
    assert throughput(rows[0]).value == 900
    assert throughput(rows[0]).interval == "range"
    assert references == {}


def test_the_ratio_ranks_whatever_the_machine_did_to_both() -> None:
    """The faster model was timed while the machine was slow: its images/s are fewer."""
    metric = "of_a_third_party"
    records = [
        f.relative_speed("slow", (1.0, 1.01, 0.99), (2000.0,), metric=metric),
        f.relative_speed("fast", (1.5, 1.51, 1.49), (1000.0,), metric=metric),
    ]
    board = build(records, [], metric)
    assert [(row.model, row.rank, row.rank_last) for row in board.rows] == [("fast", 1, 1), ("slow", 2, 2)]
    assert [row.metrics[metric].measured for row in board.rows] == [1500, 2000]
