"""VTAB-1k as a user has it: 19 folders in the layouts of the real archives become one board."""

from __future__ import annotations

from pathlib import Path

import pytest
import vtab_files
from vitbench_vtab.tasks import TASKS

import vitbench
from vitbench.boards.boards import read_boards

pytestmark = pytest.mark.slow

MODEL = "scratch/resnet9:width=2,image_size=32,crop_mode=squash"


def test_all_19_tasks_run_to_a_board(tmp_path: Path) -> None:
    results = vitbench.run(
        "vtab",
        models=[MODEL],
        settings={"supervised": {"epochs": 1}},
        seeds=[18],
        data=vtab_files.write_all(tmp_path / "data"),
        speeds="none",
        threads=1,
        output=tmp_path / "results",
        quiet=True,
    )
    assert results.exit_code == 0

    [board] = read_boards(results.folder)
    assert board.score == "mean"
    assert board.groups == ("natural", "specialized", "structured")
    assert [(column.name, column.group) for column in board.datasets] == [(task.name, task.group) for task in TASKS]
    assert {column.lineage for column in board.datasets} == {"own split", "own files"}
    [row] = board.rows
    assert row.missing == ()
    values = [value.value for value in row.values if value is not None]
    assert len(values) == len(TASKS)
    assert row.score is not None
    assert row.score.value == pytest.approx(sum(values) / len(TASKS))
