"""A run with a budget: a real probe, steps that a budget cuts, the same bits by the same steps, a resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import vitbench
from vitbench.api import Results
from vitbench.records import Record
from vitbench.report import render
from vitbench.running import pacing
from vitbench.running.budget import Cost

MODEL = "scratch/vit:depth=1,width=16,heads=2"
CUT = 5
"""Steps that a budget leaves; an epoch has eight."""


def run(
    output: Path, *, budget: str | None = "20m", rerun: Any = None, timeout: float | None = None, **options: Any
) -> Results:
    return vitbench.run(
        models=[MODEL],
        datasets=["digits"],
        output=output,
        limit=0.1,
        threads=1,
        budget=budget,
        settings={"supervised": {"epochs": 2, "batch_size": 16, **options}},
        rerun=rerun,
        timeout=timeout,
        quiet=True,
    )


def newest(results: Results) -> Record:
    return results.records[-1]


def weights(output: Path) -> dict[str, Any]:
    [path] = (output / "weights").iterdir()
    return load_file(path)


def test_a_budget_that_is_ample_trains_to_the_recipes_own_length(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = run(tmp_path)
    assert capfd.readouterr() == ("", ""), "a quiet run says nothing"
    record = newest(results)
    given = record.planned.allotted
    assert (results.exit_code, record.warnings) == (0, ())
    assert given is not None
    assert record.training is not None
    assert given.steps == given.planned_steps == given.length == record.training.steps == 16
    assert given.step_seconds > 0
    [row] = results.leaderboard.rows
    assert row.condition.budget == 1200
    assert "digits, budget 20m, partial: limit 0.1" in render(results.leaderboard, "table")


def test_a_training_that_a_budget_cuts_has_the_bits_of_so_many_steps_and_keeps_them_when_it_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost = Cost(fixed=1.0, step=0.1, length=CUT)  # as if no more steps fitted
    monkeypatch.setattr(pacing, "probed", lambda cells, *_: ({cell.key: cost for cell in cells}, {}))
    assert newest(run(tmp_path / "cut", timeout=0.05)).status == "timeout"

    def again(*_: object) -> None:
        raise AssertionError("its steps are fixed already")

    monkeypatch.setattr(pacing, "probed", again)
    record = newest(run(tmp_path / "cut", rerun="failed"))
    assert (record.status, record.reason) == ("ok", "")
    assert record.planned.allotted is not None
    assert record.training is not None
    assert record.training.steps == record.planned.allotted.steps == CUT
    assert [row["epoch"] for row in record.curve] == [1.0]

    plain = newest(run(tmp_path / "plain", budget=None, steps=CUT))
    assert plain.training is not None
    assert (plain.training.steps, plain.planned.allotted) == (CUT, None)
    cut, whole = weights(tmp_path / "cut"), weights(tmp_path / "plain")
    assert all(cut[name].equal(whole[name]) for name in whole)


def test_too_small_a_budget_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = Cost(fixed=1e4, step=0.1)
    monkeypatch.setattr(pacing, "probed", lambda cells, *_: ({cell.key: cost for cell in cells}, {}))
    with pytest.raises(vitbench.UsageError, match=r"--budget 20m is too small: .*; give --budget \S+ or more"):
        run(tmp_path / "none")
    assert not (tmp_path / "none").exists()
