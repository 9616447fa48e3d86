"""What the page's filter knows; what it does with it is seen in a browser, tests/integration/test_page.py."""

from __future__ import annotations

import factories as f

from vitbench.leaderboard.leaderboard import build
from vitbench.report.html.filtering import filter_data


def test_figures_are_not_rounded_and_invalid_ones_are_named() -> None:
    rows = build([f.quality("a", 341), *f.speed("a", 123.456789, verdict="invalid", reason="load")], [], "top1").rows
    found = filter_data([rows])
    [[row]] = [section["rows"] for section in found["sections"]]
    assert row["name"] == "a"
    assert row["values"]["top1"] == 341 / 360
    assert "throughput" in row["invalid"]
    assert "throughput" not in row["values"]
    assert (found["units"]["throughput"], found["better"]["latency_p50"]) == ("images/s", "lower")
    assert found["dimensions"]["B"]["units"]["GiB"] == [0, 2**30]
