"""Wants against what was measured: met, missed, or not sure."""

from __future__ import annotations

import pytest

from vitbench.catalog import load_catalog
from vitbench.errors import UsageError
from vitbench.leaderboard.metric import Metric
from vitbench.leaderboard.where import parse_where
from vitbench.picking.wants import judged, parse_want
from vitbench.records import Level, Style


def metric(
    value: float | None, low: float | None = None, high: float | None = None, verdict: Level = "valid"
) -> Metric:
    return Metric(
        value=value,
        unit="images/s",
        better="higher",
        low=low,
        high=high,
        spread=None,
        n=3,
        verdict=verdict,
        reasons=(),
        taken_at="fixed_batch",
        exact=False,
        machine_bound=True,
        style=Style(),
    )


@pytest.mark.parametrize(
    ("one", "holds", "sure", "words"),
    [
        (metric(600, 580, 620), True, True, ""),
        (metric(400, 380, 420), False, True, "throughput 400 (380 to 420)"),
        (metric(510, 490, 520), True, False, "throughput 510 (490 to 520)"),
        (metric(490, 480, 510), False, False, "throughput 490 (480 to 510)"),
        (metric(400), False, True, "throughput 400"),
        # Of a machine that was busy: only what is far off decides.
        (metric(400, 380, 420, "invalid"), False, False, "throughput 400 (200 to 800)"),
        (metric(240, 230, 250, "invalid"), False, True, "throughput 240 (120 to 480)"),
        (metric(None), None, True, "no throughput"),
    ],
)
def test_a_want_is_judged_by_the_whole_interval(one: Metric, holds: bool | None, sure: bool, words: str) -> None:
    found = judged(parse_where("throughput > 500"), {"throughput": one})
    assert (found.holds, found.sure, found.words) == (holds, sure, words)
    assert found.missed == (holds is False and sure)


def test_corners_of_several_metrics_are_combined() -> None:
    want = parse_where("throughput > 500 or macs > 500")
    found = judged(want, {"throughput": metric(490, 480, 510), "macs": metric(600)})
    assert (found.holds, found.sure) == (True, True)


def test_a_want_takes_the_units_that_metrics_share_as_those_of_their_own() -> None:
    want = parse_want(
        "throughput > 500 images/s and peak_memory < 1 GiB and latency_p50 < 5 ms and top1 > 90% and params < 3 M",
        load_catalog(),
    )
    assert want is not None
    assert [each.value for each in want.comparisons] == [500, 2**30, 0.005, 0.9, 3e6]


def test_without_a_want_all_will_do_and_a_metric_that_there_is_not_is_refused() -> None:
    assert judged(None, {}).holds
    catalog = load_catalog()
    assert parse_want(" ", catalog) is None
    with pytest.raises(UsageError, match=r'no metric "thruput"\. Did you mean "throughput"'):
        parse_want("thruput > 3", catalog)
