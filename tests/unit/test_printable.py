"""Text made fit to print."""

from __future__ import annotations

import pytest

from vitbench.printable import describe_seconds, plain, short_size


def test_what_moves_a_cursor_or_turns_the_reading_direction_is_escaped() -> None:
    assert plain("a\x1b[2J\n\u202eb\udc80") == r"a\x1b[2J\n\u202eb\udc80"
    assert plain("a\u2028b\u2029") == r"a\u2028b\u2029"
    assert plain("Größe ÷ 模型") == "Größe ÷ 模型"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (119.4, "119 s"),
        (119.6, "2 min"),
        (7169, "119 min"),
        (7171, "2.0 h"),
        (9000, "2.5 h"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert describe_seconds(seconds) == words


@pytest.mark.parametrize(("size", "short"), [((32, 32), 32), ((32, 64), "32x64"), ((64, 32), "64x32")])
def test_a_size_is_the_side_of_a_square_or_height_and_width(size: tuple[int, int], short: int | str) -> None:
    assert short_size(size) == short
