"""Findings as text and as JSON: verdict, comparisons and published figures, whatever rows are called."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from comparisons import quality, right, write

import vitbench
from vitbench.findings.findings import Findings, read_findings
from vitbench.leaderboard.rows import Condition
from vitbench.report.findings_json import render_findings_json
from vitbench.report.findings_table import render_findings

SUITE = """
name = "study"
summary = "for tests"
datasets = ["digits"]
[[models]]
name = "scratch/p4"
published = { digits = 71.9 }
[[models]]
name = "scratch/p8"
published = { digits = 57.2 }
[[models]]
name = "scratch/resnet"
[[claims]]
name = "patch"
text = "Patch 4 is better than patch 8"
rows = ["p4"]
against = ["p8"]
[[claims]]
name = "equal"
text = "Patch 4 is about as accurate as patch 8"
rows = ["p4"]
against = ["p8"]
relation = "equal"
margin = 2.0
[[claims]]
name = "resnet"
text = "A ResNet is better than both \\u0007<b>"
rows = ["resnet"]
against = ["p4", "p8"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, quality("p4", right(300)), quality("p8", right(240)), suite=SUITE)


@pytest.fixture
def found(folder: Path) -> Findings:
    return read_findings(folder)


def test_the_text_says_what_became_of_each_claim(found: Findings) -> None:
    text = render_findings(found, unicode=False)
    assert text.isascii()
    assert "\x07" not in text
    assert max(map(len, text.splitlines())) <= 100
    lines = [" ".join(part.split()) for part in text.split("\n\n")]
    assert lines[1] == (
        "confirmed Patch 4 is better than patch 8 digits p4 against p8: +15.0 points, "
        "95 % interval +11.8 to +18.8, p <0.001"
    )
    assert lines[2].startswith("refuted Patch 4 is about as accurate")
    assert lines[2].endswith("+18.8: against the claim")
    assert lines[3].startswith("not run A ResNet is better than both")
    assert lines[3].endswith("missing: resnet (not asked for)")
    assert "p4 digits 71.9 75.0 (70.5 to 79.0) +3.1" in lines[4]
    assert "One seed: two trainings are compared" in lines[5]


def test_the_json_has_the_numbers_in_base_units(found: Findings) -> None:
    content = json.loads(render_findings_json(found))
    assert (content["suite"], content["exit_code"]) == ("study", 10)
    assert [claim["outcome"] for claim in content["claims"]] == ["confirmed", "refuted", "not run"]
    (pair,) = content["claims"][0]["comparisons"]
    assert (pair["row"], pair["against"], pair["says"], pair["difference"]) == ("p4", "p8", "for", 0.15)
    assert content["claims"][2]["missing"] == [{"row": "resnet", "reason": "not asked for"}]
    told = {
        *content["claims"][0]["conditions"],
        "apart",
        "dataset",
        "timing_variables",
        "batch_size",
        "train_batch_size",
    }
    assert told == {field.name for field in fields(Condition)}, "what tells two conditions apart"
    assert content["published"][0]["published"] == pytest.approx(0.719)
    assert content["published"][0]["difference"] == pytest.approx(0.031)


def test_the_page_has_them_whatever_rows_it_shows(folder: Path) -> None:
    page = vitbench.load(folder, models=["p4"]).page()
    section = page[page.index('<section id="findings"') :].partition("</section>")[0]
    assert re.findall(r'class="outcome [a-z-]+">([a-z ]+)<', section) == ["confirmed", "refuted", "not run"]
    assert "p4 against p8: +15.0 points" in section
    assert "both \\x07&lt;b&gt;" in section
    assert "<td>71.9<td>75.0 (70.5 to 79.0)<td>+3.1" in section
