"""VTAB-1k as a user has it: 19 folders in the layouts of the real archives become one board."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import vtab_files
from vitbench_vtab.tasks import TASKS

import vitbench

pytestmark = pytest.mark.slow

MODEL = "scratch/resnet9:width=2,image_size=32,crop_mode=squash"


def test_all_19_tasks_run_to_a_board(tmp_path: Path) -> None:
    data = vtab_files.write_all(tmp_path / "data")
    found = vitbench.run(
        "vtab",
        models=[MODEL],
        recipe="supervised",
        settings={"supervised": {"epochs": 1}},
        seeds=[18],
        data=data,
        speeds="none",
        threads=1,
        output=tmp_path / "results",
        quiet=True,
    )
    assert not found.failed
    command = [sys.executable, "-m", "vitbench", "leaderboard", str(tmp_path / "results"), "--format", "json"]
    board = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert len(board["rows"]) == len(TASKS)
    print(json.dumps(board, indent=1)[:3000])
