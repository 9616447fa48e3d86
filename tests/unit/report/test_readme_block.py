"""The block in a README: only what stands between the markers changes, whatever stands there."""

from __future__ import annotations

import factories as f
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitbench.errors import UsageError
from vitbench.leaderboard.leaderboard import build
from vitbench.report import render
from vitbench.report.readme_block import END, START, with_block


def test_the_block_is_replaced_and_the_rest_stays():
    document = f"# Mine\n\n{START}\nold\ntable\n{END}\ntail without an end"
    found = with_block(document.encode(), "new\n\ntable\n")
    assert found.decode() == f"# Mine\n\n{START}\n\nnew\n\ntable\n\n{END}\ntail without an end"
    assert with_block(found, "new\n\ntable\n") == found


def test_windows_line_endings_are_kept():
    found = with_block(f"a\r\n{START}\r\nold\r\n{END}\r\nb\n".encode(), "x\ny\n")
    assert found.decode() == f"a\r\n{START}\r\n\r\nx\r\ny\r\n\r\n{END}\r\nb\n"


@given(st.binary(), st.binary(), st.binary())
def test_bytes_outside_the_block_are_never_touched(before, between, after):
    markers = START.encode(), END.encode()
    if any(marker in part for marker in markers for part in (before, between, after)):
        return
    found = with_block(before + markers[0] + between + markers[1] + after, "t")
    assert found.startswith(before + markers[0])
    assert found.endswith(markers[1] + after)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("nothing", f"the line {START} is missing; put it once, and {END} after it"),
        (START, f"the line {END} is missing; put it once, and {START} before it"),
        (START + START + END, f"the line {START} is there 2 times; "),
        (START + END + END, f"the line {END} is there 2 times; "),
        (END + START, f"the line {END} comes before {START}; swap the two."),
    ],
)
def test_markers_that_are_wrong_are_named(document, words):
    with pytest.raises(UsageError) as caught:
        with_block(document.encode(), "t")
    assert words in str(caught.value)


@pytest.mark.parametrize("name", [END, START, f"a {END} b"])
def test_no_name_can_close_the_block(name):
    records = [f.quality(name, data=f.data_info(title=name)), f.record(f.quality_cell("b"), status="oom", reason=name)]
    found = with_block(f"{START}{END}".encode(), render(build(records, [], "top1"), "md"))
    assert with_block(found, "t").decode() == f"{START}\n\nt\n\n{END}"
