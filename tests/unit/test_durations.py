"""Durations as users write them, and back."""

from __future__ import annotations

import pytest

from vitbench.durations import duration_text, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("1h30m", 5400), ("1h5s", 3605), ("600", 600), ("0.5h", 1800), (" 30M ", 1800)],
)
def test_what_a_user_writes_is_read_and_written_so_that_it_reads_the_same(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert parse_duration(duration_text(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "90s"), (900, "15m"), (5400, "1h30m"), (0.25, "0.25s"), (3601, "1h1s")]
)
def test_the_shortest_text_is_written(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize("text", ["", "m", "1h30", "30 min", "-5m", "0", "0s", "1e3", "nan", "30x", "500d", "9999999h"])
def test_what_is_no_duration_is_refused_with_the_way_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"write 90s, 15m, 1h30m|must be above 0"):
        parse_duration(text)
