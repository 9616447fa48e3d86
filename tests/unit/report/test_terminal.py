"""A leaderboard in a terminal: the whole table, the width of the display, and names that stay in their columns."""

import re

import factories as f
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import COSTLY
from wcwidth import iter_graphemes, wcswidth

from vitbench.leaderboard.leaderboard import build
from vitbench.printable import plain
from vitbench.report import render
from vitbench.report.terminal_text import WIDTH, display_width

MARK = "\u200e"
HOSTILE = ["1e5", "007", "\x1b[2J\x1b[31mred", "a\nb\r\tc", "\x01", "nan", "=1+1", "a|b", "\u202eevil", "x" * 300]


def table(*records: object, rank_by: str = "top1", pending: tuple[object, ...] = (), unicode: bool = True) -> str:
    return render(build(records, pending, rank_by), "table", unicode=unicode)


def cells(text: str) -> list[list[str]]:
    """Read the rows of the first table by the columns that its rules mark, as they stand on the display."""
    lines = text.replace(MARK, "").split("\n")
    rules = [i for i, line in enumerate(lines) if line and not set(line) - {"\u2500", "-", " "} and "  " in line]
    spans = [match.span() for match in re.finditer(r"\S+", lines[rules[0]])]
    rows = []
    for line in lines[rules[1] + 1 : rules[2]]:
        columns: list[str] = []
        for cluster in iter_graphemes(line):
            if wcswidth(cluster):
                columns += [cluster, *[""] * (wcswidth(cluster) - 1)]
            else:
                columns[-1] += cluster
        rows.append(["".join(columns[start:end]).strip() for start, end in spans])
    return rows


def test_the_whole_table():
    text = table(
        f.quality("scratch/vit-p2", 340),
        *f.speed("scratch/vit-p2", 1000, recipe="recipes/supervised"),
        f.quality("scratch/resnet18", 344),
        *f.speed(
            "scratch/resnet18",
            400,
            verdict="warn",
            reason="load average 4.1 on 2 cores",
            recipe="recipes/supervised",
        ),
        f.quality("baseline/majority", 37, baseline=True),
        f.record(f.quality_cell("timm/vit"), status="failed", reason="no network; give checkpoint=PATH"),
        unicode=False,
    )
    assert (
        text
        == """\
digits
AMD EPYC 9B14, 2 cores; cpu, 1 thread; float32; batch 32, latency at batch 1

----  -----------------  ----  ------------  --------  -----  -----  ------  ------  --------
                         top1          95 %              p50   peak  params             train
rank  model                 %      interval  images/s     ms    MiB       M   GMACs  images/s
----  -----------------  ----  ------------  --------  -----  -----  ------  ------  --------
 1-2  scratch/resnet18   95.6  [92.9, 97.2]      ~400  ~5.00  ~12.0   0.053  0.0015      ~133
 1-2  scratch/vit-p2     94.4  [91.6, 96.4]     1,000   2.00   12.0   0.053  0.0015       333
   3  baseline/majority  10.3  [ 7.5, 13.8]
      (baseline)
----  -----------------  ----  ------------  --------  -----  -----  ------  ------  --------

Ranked by top1 (higher is better), on 360 test images.
Ranks are ranges; rows differ where their 95 % intervals do not overlap.
With one seed each, ranks compare sets of weights, not models.
Pareto front, top1 and throughput: scratch/resnet18, scratch/vit-p2.
Recipe: recipes/supervised.
4 of 8 speed and memory values are doubtful (~): other processes were using the processors;
  `vitbench doctor` says which.
All reasons: `vitbench leaderboard DIR --details`.

Without a result: 1 cell
timm/vit: failed (digits, seed 0)
    no network; give checkpoint=PATH

On digits, scratch/resnet18 is best with 95.6 % top1, 1.1 points ahead of scratch/vit-p2; the gap is
not resolved. With one seed each, ranks compare sets of weights, not models. Fastest within a point
of the best: scratch/resnet18, 400 images/s (doubtful).
"""
    )


def test_rules_and_ranges_have_characters_of_their_own_where_there_are_such():
    text = table(f.quality("a", 340), f.quality("b", 338))
    assert "\u2500\u2500\u2500\u2500  \u2500\u2500\u2500\u2500\u2500  " in text
    assert [row[0] for row in cells(text)] == ["1\u20132", "1\u20132"]
    assert "--" not in text
    plain_text = table(f.quality("a", 340), f.quality("b", 338), unicode=False)
    assert [row[0] for row in cells(plain_text)] == ["1-2", "1-2"]
    assert plain_text.isascii()


def test_in_plain_ascii_other_characters_are_escapes():
    text = table(f.quality("\u6a21", 340, data=f.data_info(title="d\xe4ta")), unicode=False)
    assert text.isascii()
    assert text.startswith("d\\xe4ta\n")
    assert cells(text)[0][1] == "\\u6a21"


def test_the_head_of_ratios_can_be_read_in_plain_ascii():
    records = [f.relative_speed("a", (1.0, 1.1)), f.relative_speed("b", (2.0, 2.1))]
    for unicode, head in ((True, "\u00b1 95 %"), (False, "+/- 95 %")):
        text = table(*records, rank_by="throughput", unicode=unicode)
        assert f"  {head}\n" in text
        assert unicode or text.isascii()


def test_wide_and_combining_characters_keep_the_columns():
    names = ["\u6a21\u578b\u4e00\u53f7", "e\u0301te\u0301", "plain", "\U0001f600 face", "\uff21\uff22"]
    text = table(*(f.quality(name, 340 - 20 * i) for i, name in enumerate(names)))
    assert [row[1] for row in cells(text)] == names
    assert [row[2] for row in cells(text)] == ["94.4", "88.9", "83.3", "77.8", "72.2"]


def test_names_from_right_to_left_leave_the_figures_in_their_place():
    name = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"
    text = table(f.quality(name, 340), f.quality("b", 300))
    # The mark ends the run, without taking room: what follows is again from left to right.
    assert text.count(name + MARK) == text.count(name) == 2
    assert cells(text)[0][1:3] == [name, "94.4"]
    assert MARK not in table(f.quality("b", 300))


@COSTLY
@given(st.text(min_size=1, max_size=24), st.integers(0, 360))
def test_names_and_figures_are_read_back_from_their_columns(name, correct):
    assume(wcswidth(plain(name)) <= 60)
    # A combining character joins the gap before it.
    assume(wcswidth(plain(name)[0]) and next(iter_graphemes(f" {plain(name)}")) == " ")
    [row] = cells(table(f.quality(name, correct)))
    assert row[1] == plain(name).strip()
    assert float(row[2]) == pytest.approx(100 * correct / 360, abs=0.05)


def test_a_long_name_is_broken_after_a_separator_and_stays_whole():
    name = "timm/vit_base_patch16_224.augreg_in21k"
    text = table(f.quality(name), *f.speed(name))
    first, second = (row[1] for row in cells(text))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert first + second == name
    assert first.endswith(".")


def test_columns_without_room_are_named_from_the_right():
    names = [f"zeta_number_{i}" for i in range(6)]
    records = [
        f.quality("a/model-of-some-length"),
        *f.speed("a/model-of-some-length"),
        f.record(f.quality_cell("b"), [f.top1(300), *(f.measurement(name, 123.0, unit="nat") for name in names)]),
    ]
    text = render(build(records, [], "top1"), "table")
    assert max(map(display_width, text.splitlines())) <= WIDTH
    *_, first_table, notes, _ = text.split("\n\n")
    left_out = [name for name in names if name not in first_table]
    assert left_out == names[-len(left_out) :]
    assert len(left_out) < len(names)
    assert f"Not shown for lack of room: {', '.join(left_out)}; see --format csv." in " ".join(notes.split())
    assert "lack of room" not in render(build(records[:2], [], "top1"), "table")


@COSTLY
@given(st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=60)))
def test_no_text_of_a_user_leaves_its_place(name):
    text = table(
        f.quality(name, 340, data=f.data_info(title=name or "x")),
        f.record(f.quality_cell(name, seed=3), status="failed", reason=f"it said {name}"),
    )
    harmless = table(
        f.quality("n", 340, data=f.data_info(title="t")),
        f.record(f.quality_cell("n", seed=3), status="failed", reason="it said n"),
    )
    assert not [c for c in text if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160]
    assert max(map(wcswidth, text.split("\n"))) <= WIDTH
    if wcswidth(plain(name)) <= 20 and plain(name) == " ".join(plain(name).split()):
        assert plain(name) in text.replace(MARK, "")
        assert len(text.split("\n")) == len(harmless.split("\n"))


def test_nothing_yet_says_so_and_names_what_is_pending():
    text = table(pending=(f.quality_cell("vit"),))
    assert text == "No results yet.\n\nWithout a result: 1 cell\nvit: pending (digits, seed 0)\n    not started\n"


@pytest.mark.parametrize(("name", "unicode"), [("m" * 120, False), ("\u6a21" * 60, True)], ids=["narrow", "wide"])
def test_a_metric_with_a_long_name_leaves_the_table_its_width(name, unicode):
    rows = [
        (f.record(f.quality_cell(m), [f.measurement(name, v, unit="nat", low=v - 0.1, high=v + 0.1)]), *f.speed(m))
        for m, v in (("a/model-of-some-length", 0.5), ("b", 0.6))
    ]
    text = table(*(record for row in rows for record in row), rank_by=name, unicode=unicode)
    assert max(map(wcswidth, text.splitlines())) <= WIDTH
    assert ("\u2026" if unicode else "...") in text
    assert [row[2] for row in cells(text) if row[0]] == ["0.6", "0.5"]
