"""Whether rows meet a condition, and which come nearest where none does."""

from __future__ import annotations

from where_examples import UNITS

from vitbench.leaderboard.where import parse_where


def test_a_missing_value_counts_only_where_it_decides():
    row = {"params": 5.0, "throughput": None}
    for text, holds in {
        "throughput > 1": None,
        "not throughput > 1": None,
        "throughput > 1 or params > 1": True,
        "throughput > 1 and params > 9": False,
        "throughput > 1 and params > 1": None,
        "throughput > 1 or params > 9": None,
    }.items():
        assert parse_where(text, UNITS).holds(row) is holds, text

    assert parse_where("throughput > 1 or top1 > 1% or params > 9", UNITS).lacking(row) == ("throughput", "top1")


def test_the_nearest_to_what_nothing_meets_are_named_with_what_they_miss():
    where = parse_where("throughput > 500 and (peak_memory < 1 GiB or params < 1)", UNITS)
    rows = {
        "far": {"throughput": 100.0, "peak_memory": 1.0, "params": 5.0},
        "close": {"throughput": 499.99, "peak_memory": 1.0, "params": 5.0},
        "big": {"throughput": 600.0, "peak_memory": 1.5 * 2**30, "params": 5.0},
        "unknown": {"throughput": None, "peak_memory": 1.0, "params": 5.0},
    }

    assert where.nearest(rows) == ("close (throughput 499.99), big (peak_memory 1.50 GiB), far (throughput 100)")
    assert where.nearest(rows, most=1) == "close (throughput 499.99)"
