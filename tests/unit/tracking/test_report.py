"""What is told of a comparison: every format holds all results, fits, and takes names for text."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from wcwidth import wcswidth

from vitbench.lockstep.outcome import EXIT_CODES, ComparisonOutcome
from vitbench.tracking.outcome import SideInfo, Tracked, TrackedModel
from vitbench.tracking.report import as_json, as_markdown, as_text

HOSTILE = ["<script>alert(1)</script>", "a|b @you `*_~", "two\nlines\N{RIGHT-TO-LEFT OVERRIDE}abc", "x" * 300]


def result(model: str = "tiny/net", verdict: ComparisonOutcome = "same", **fields: Any) -> TrackedModel:
    figures = {"ratio": 1.0012, "low": 0.9899, "high": 1.0101, "pairs": 3, "quads": 24}
    return TrackedModel(model=model, mode="inference", batch_size=32, verdict=verdict, **{**figures, **fields})


def lacking(model: str, verdict: ComparisonOutcome, *reasons: str) -> TrackedModel:
    return TrackedModel(model=model, mode="training", batch_size=1, verdict=verdict, reasons=reasons)


def tracked(*results: TrackedModel, verdict: ComparisonOutcome = "same", **fields: Any) -> Tracked:
    known: dict[str, Any] = {
        "base": SideInfo(title="main (0123456789)", python="3.11.9", versions={"torch": "2.15.0"}),
        "head": SideInfo(title="the working tree (abcdef0123 with changes)"),
        "machine": "AMD EPYC, 2 cores",
        "device": "cpu",
        "threads": 2,
        "threshold": 0.03,
        "verdict": verdict,
        "exit_code": EXIT_CODES[verdict],
    }
    return Tracked(**{**known, **fields}, results=results)


def test_the_whole_text() -> None:
    slower = result("tiny/slow", "regressed", ratio=0.8, low=0.79, high=0.81, reasons=("one", "two", "three"))
    text = as_text(tracked(result(), slower, lacking("tiny/new", "no data", "base has none"), verdict="regressed"))
    assert (
        text
        == """\
base: main (0123456789), Python 3.11.9, torch 2.15.0
head: the working tree (abcdef0123 with changes)
AMD EPYC, 2 cores; cpu, 2 threads
training: forward, cross-entropy, backward, fused AdamW, whatever the recipe

model      mode         batch    head / base    95 % interval  verdict
---------  ---------  -------  -------------  ---------------  ---------
tiny/net   inference       32          1.001   [0.990, 1.010]  same
tiny/slow  inference       32          0.800   [0.790, 0.810]  regressed
tiny/new   training         1                                  no data

tiny/slow, inference: one; two; and 1 more (--json).
tiny/new, training: base has none.

Slower by more than 3.0%: tiny/slow (inference)."""
    )


def test_the_whole_markdown() -> None:
    text = as_markdown(tracked(result(), lacking("tiny/new", "no data", "base has none"), verdict="no data"))
    assert (
        text
        == """\
### vitbench track

**Without a measurement on both sides: tiny/new (training).**

base: main (0123456789), Python 3.11.9, torch 2.15.0\x20\x20
head: the working tree (abcdef0123 with changes)\x20\x20
AMD EPYC, 2 cores; cpu, 2 threads\x20\x20
training: forward, cross-entropy, backward, fused AdamW, whatever the recipe

| model    | mode      |   batch |   head / base |   95 % interval | verdict   |
|:---------|:----------|--------:|--------------:|----------------:|:----------|
| tiny/net | inference |      32 |         1.001 |  [0.990, 1.010] | same      |
| tiny/new | training  |       1 |               |                 | no data   |

- tiny/new, training: base has none.

"""
    )


@pytest.mark.parametrize("verdict", EXIT_CODES)
def test_each_verdict_has_its_sentence_with_the_models_that_have_it(verdict: ComparisonOutcome) -> None:
    others = [result(f"other-{other}", other) for other in EXIT_CODES if other != verdict]
    last = as_text(tracked(result("mine", verdict), *others, verdict=verdict)).split("\n\n")[-1]
    assert last.endswith("mine (inference).")
    assert "other" not in last


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_text_and_the_table_fits(name: str) -> None:
    found = tracked(
        result(name, "not comparable", reasons=(name,)),
        base=SideInfo(title=name, python="3.11", versions={"torch": name}),
        machine=name,
    )
    text = as_text(found)
    assert max(map(len, text.splitlines())) <= 100
    assert text.isascii()
    markdown = as_markdown(found)
    assert "<" not in markdown
    assert "@" not in markdown
    assert len([line for line in markdown.splitlines() if line.startswith("|")]) == 3
    assert len(json.loads(as_json(found))["results"]) == 1


@pytest.mark.parametrize(
    "name", ["\u6a21\u578b" * 40, "e\u0301" * 60, "\u6a21\u578b/" * 9], ids=["wide", "combining", "parts"]
)
def test_a_wide_name_takes_the_columns_that_it_has_on_the_display(name: str) -> None:
    lines = as_text(tracked(result(name), result("tiny/net"))).splitlines()
    assert max(map(wcswidth, lines)) <= 100
    head, rule, *rows = lines[lines.index("") + 1 : lines.index("", lines.index("") + 1)]
    column = head.index("mode ", len("model"))
    assert column == rule.index(" -") + 1 <= 34
    cells = [next(row[:i] for i in range(len(row), -1, -1) if wcswidth(row[:i]) <= column).rstrip() for row in rows]
    assert "".join(cells[:-1]) == name
    assert cells[-1] == "tiny/net"


def test_the_json_holds_everything() -> None:
    found = tracked(result(reasons=("one", "two", "three")), lacking("b", "no data", HOSTILE[0]), verdict="no data")
    assert msgspec.json.decode(as_json(found), type=Tracked) == found


def test_where_nothing_was_planned_the_conditions_are_left_out() -> None:
    nothing = tracked(lacking("b", "no data", "none"), verdict="no data", machine="", device="", threads=0)
    assert "thread" not in as_text(nothing)
