"""Pieces of text tables: widths are those of the display, marks and ranks are the same everywhere."""

from __future__ import annotations

import factories
import pytest
from wcwidth import wcswidth

from vitbench.leaderboard.leaderboard import build
from vitbench.report.metric_styles import style_of
from vitbench.report.terminal_text import (
    WIDTH,
    aligned,
    broken,
    clipped,
    cut,
    marked,
    marked_verdict,
    shown,
    wrapped,
)

WIDE = "\u6a21\u578b"
"""Two characters, four columns."""


def rows_of(*records):
    return build(records, [], "top1").rows


def test_a_value_stands_after_the_mark_of_its_verdict():
    texts = []
    for verdict in ("valid", "warn", "invalid"):
        rows = rows_of(factories.quality(), *factories.speed("vit", 1234, verdict=verdict, reason="r"))
        texts.append(marked(rows[0].metrics["throughput"], style_of("throughput", rows).number))
    assert texts == ["1,234", "~1,234", "!1,234"]
    assert [marked_verdict(level) for level in ("valid", "warn", "invalid")] == ["valid", "~ doubtful", "! invalid"]


@pytest.mark.parametrize("text", ["x" * 300, WIDE * 100, "a b " * 80, "e\u0301" * 200], ids=ascii)
def test_no_line_is_wider_than_the_display(text):
    assert max(map(wcswidth, wrapped(text, hang="  "))) <= WIDTH
    assert "".join("".join(wrapped(text)).split()) == "".join(text.split())
    for width in (5, 6, 31):
        assert max(map(wcswidth, broken(text, width))) <= width
        assert wcswidth(cut(text, width)) <= width
        assert wcswidth(clipped(text, width)) <= width


def test_a_name_is_broken_after_its_separators():
    assert broken("scratch/vit:depth=4,width=192", 12) == ["scratch/vit:", "depth=4,", "width=192"]


def test_what_is_cut_says_so():
    assert cut("abcdefgh", 8) == clipped("abcdefgh", 8) == "abcdefgh"
    assert (cut("abcdefghi", 8), cut("abcdefghi", 8, unicode=False)) == ("abcdefg\u2026", "abcde...")
    assert clipped("abcdefghi", 8) == "abc...hi"


def test_invisible_characters_are_escapes_and_others_where_only_ascii_is_taken():
    assert shown("\x1b[2J\u00e9") == "\\x1b[2J\u00e9"
    assert shown("\x1b[2J\u00e9", unicode=False) == "\\x1b[2J\\xe9"


def test_columns_stand_under_each_other_by_width():
    lines = aligned(["name", "value"], [[WIDE * 2, "1"], ["a\tb", "2"]]).splitlines()
    assert lines == ["name      value", f"{WIDE * 2}  1", "a\\tb      2"]
