"""Text made fit to print."""

from __future__ import annotations

import pytest

from vitbench.printable import describe_seconds, plain


def test_what_moves_a_cursor_or_turns_the_reading_direction_is_escaped() -> None:
    assert plain("a\x1b[2J\n\u202eb\udc80") == r"a\x1b[2J\n\u202eb\udc80"
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
