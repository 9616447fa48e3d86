"""How a machine differs from that of the plan, in a sentence that says what to change."""

from __future__ import annotations

from typing import Any

import factories
import msgspec
import pytest

from vitbench.planning.differing import difference
from vitbench.planning.messages import Found
from vitbench.records import KeyedCell

CELL = factories.quality_cell("a")


def differs(other: KeyedCell | None = None, **answer: Any) -> str:
    found = Found(**{"machine": CELL.machine, "metrics": {"metrics/top1": "c0de"}, "other": other, **answer})
    return difference(found, machine=CELL.machine, cells={CELL.id: CELL}, metrics={"metrics/top1": "c0de"})


def made_of(**changes: Any) -> KeyedCell:
    return msgspec.structs.replace(CELL, provenance=msgspec.structs.replace(CELL.provenance, **changes))


def test_a_machine_that_makes_the_same_cells_does_not_differ() -> None:
    assert differs() == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"torch": "1.0"}, "it has torch 1.0 instead of"),
        ({"libraries": {"timm": "9"}}, "it has timm 9 instead of none"),
        ({"vitbench": "other"}, "its vitbench has different code"),
        ({"data_fingerprint": "other"}, "its images of"),
        ({"files": {"model.checkpoint": "other"}}, "the file that model.checkpoint names differs there"),
        (
            {"model": msgspec.structs.replace(CELL.provenance.model, code_hash="other")},
            f"the code of plugin {CELL.provenance.model.plugin} differs there",
        ),
        ({}, "would be computed from something else there"),
    ],
)
def test_it_is_said_what_a_cell_would_be_made_of(changes: dict[str, Any], words: str) -> None:
    assert words in differs(made_of(**changes))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"machine": "abacus"}, "its machine class differs, abacus instead of"),
        ({"missing": 3}, "3 cells of the plan differ there"),
        ({"metrics": {}}, "the code of the metric metrics/top1 differs there"),
    ],
)
def test_so_are_its_class_its_cells_and_its_metrics(answer: dict[str, Any], words: str) -> None:
    assert words in differs(**answer)
