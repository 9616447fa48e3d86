"""Differences in words."""

from __future__ import annotations

import re

import factories as f
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitbench.leaderboard.leaderboard import build
from vitbench.report.metric_styles import MetricStyle, gap_in_words, interval_head, threshold_in_words

SHARE, NAT, PLAIN = (
    MetricStyle("top1", "top1", "%", 100),
    MetricStyle("nll", "nll", "nat"),
    MetricStyle("kappa", "kappa", ""),
)


@pytest.mark.parametrize(
    ("figure", "size", "words"),
    [
        (SHARE, 0.008, "0.8 points"),
        (SHARE, 0.0, "0.0 points"),
        (SHARE, 1e-7, "0.00001 points"),
        (NAT, 0.031, "0.031 nat"),
        (NAT, 1.23e-7, "0.000000123 nat"),
        (NAT, 12345.6, "12,346 nat"),
        (PLAIN, 0.1, "0.1"),
    ],
)
def test_a_gap(figure, size, words):
    assert gap_in_words(figure, size, 1) == words


@pytest.mark.parametrize(
    ("figure", "size", "words"),
    [
        (SHARE, 1.0, "100 points"),
        (SHARE, 0.07, "7.0 points"),
        (SHARE, 0.0191, "2.0 points"),
        (SHARE, 0.501, "51 points"),
        (SHARE, 0.996, "100 points"),
        (NAT, 0.000001234, "0.0000013 nat"),
        (NAT, 12345, "13,000 nat"),
        (PLAIN, 0.2, "0.20"),
    ],
)
def test_a_threshold_is_rounded_up(figure, size, words):
    assert threshold_in_words(figure, size) == words


@given(st.floats(1e-9, 1e6))
def test_a_threshold_is_never_below_what_it_says(size):
    words = threshold_in_words(PLAIN, size)
    assert re.fullmatch(r"[\d,]+(\.\d+)?", words)
    shown = float(words.replace(",", ""))
    assert size * (1 - 1e-9) <= shown <= size * 1.11


def test_a_count_is_whole_and_what_was_measured_has_its_digits():
    layers, time = MetricStyle("layers", "layers", ""), MetricStyle("time", "time", "ms", 1000)
    assert [layers.number(value) for value in (3, 33, 12345, 0.5)] == ["3", "33", "12,345", "0.5"]
    assert time.number(0.002) == "2.00"


def test_the_head_of_intervals_is_what_is_stored_with_them():
    def head(*ends: dict[str, object]) -> tuple[str, str]:
        given = {"unit": "B", "better": "lower", "n": 3}
        records = [
            f.record(f.speed_cell(f"m{i}"), [f.measurement("peak_memory", 2.0, **given, **each)])
            for i, each in enumerate(ends)
        ]
        return interval_head([row.metrics.get("peak_memory") for row in build(records, [], "peak_memory").rows])

    of_processes, own = {"low": 1.0, "high": 3.0, "processes": (1.0, 2.0, 3.0)}, {"low": 1.5, "high": 2.5}
    assert head(of_processes) == ("", "range")
    assert head(own) == ("95 %", "interval"), "a metric that holds for one machine may have an interval of its own"
    assert head(of_processes, own, {}) == ("95 %", "or range")
