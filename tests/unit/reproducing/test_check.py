"""A row that was made again: the same bits, the same within its interval, or different, with what changed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import factories
import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from vitbench.array_files import write_arrays
from vitbench.errors import UnusableError
from vitbench.records import Record
from vitbench.reproducing import check as module
from vitbench.reproducing.script import again
from vitbench.store import Store


def folder(place: Path, record: Record, *, numbers: int, remark: str = "") -> Path:
    """Write a folder with one record, and predictions and weights made of a number."""
    with Store.open(place, create=True) as store:
        environment = factories.environment()
        run = store.begin_run(command="x", version="1", suite="", environment=environment, rank_by="top1")
        write_arrays(store.predictions_path(record.key), {"labels": np.arange(numbers)})
        save_file({"w": np.full(3, numbers, np.float32)}, store.weights_path(record.key), {"made": remark})
        store.append(msgspec.structs.replace(record, run=run, environment=store.runs()[-1].environment))
    return place


def check(old: Path, new: Path, record: Record, monkeypatch: pytest.MonkeyPatch, code: int = 0) -> module.Checked:
    seen: list[Any] = []

    def ran(command: list[str], **how: Any) -> subprocess.CompletedProcess[bytes]:
        seen.append(command)
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(module, "run_program", ran)
    found = module.check(again(old, record.id), new)
    assert seen[0][1:3] == ["-m", "vitbench"]
    assert seen[0][-2:] == ["--output", str(new)]
    return found


@pytest.mark.parametrize(
    ("correct", "numbers", "code", "outcome", "words"),
    [
        (200, 7, "c0de", "same bits", "of predictions and weights"),
        (204, 8, "c0de", "same within the interval", "other predictions and weights"),
        (300, 8, "0ther", "different", "top1 was 0.555556"),
    ],
)
def test_what_is_the_same(
    correct: int,
    numbers: int,
    code: str,
    outcome: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record, now = factories.quality("vit", 200), factories.quality("vit", correct, code=code)
    old = folder(tmp_path / "old", record, numbers=7, remark="then")
    new = folder(tmp_path / "new", now, numbers=numbers, remark="now")
    found = check(old, new, record, monkeypatch)
    assert (found.outcome, module.EXIT_CODES[found.outcome]) == (outcome, 10 if outcome == "different" else 0)
    assert words in "; ".join(found.cells[0].details)
    assert bool(found.changed) == (code != "c0de")


def test_a_cell_without_a_result_and_a_command_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = factories.quality("vit", 200)
    old = folder(tmp_path / "old", record, numbers=7)
    failed = msgspec.structs.replace(record, status="oom", reason="too large", measurements=())
    found = check(old, folder(tmp_path / "new", failed, numbers=7), record, monkeypatch, code=1)
    assert (found.outcome, found.cells[0].details) == ("no result", ("it was ok, and is now oom: too large",))
    with pytest.raises(UnusableError, match="exit code 3"):
        check(old, tmp_path / "new", record, monkeypatch, code=3)


def test_a_speed_on_another_machine_is_compared_and_the_machine_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [here] = [
        each
        for each in factories.speed("vit")
        if each.planned.cell.batch_size > 1 and "train" not in str(each.planned.cell.mode)
    ][:1]  # type: ignore[union-attr]
    cell = msgspec.structs.replace(here.planned.cell, machine="another")
    planned = msgspec.structs.replace(here.planned, cell=cell, machine="another", id="f" * 16, key="f" * 16)
    slower = tuple(
        msgspec.structs.replace(one, value=one.value / 2, low=None, high=None) if one.unit == "images/s" else one
        for one in here.measurements
    )
    there = msgspec.structs.replace(here, planned=planned, measurements=slower)
    found = check(
        folder(tmp_path / "old", here, numbers=1), folder(tmp_path / "new", there, numbers=1), here, monkeypatch
    )
    assert found.outcome == "different"
    assert any(words.startswith("machine: was AMD EPYC") for words in found.changed)
