"""The straight line on real images that ship with a dependency: interrupted, resumed, repeated and shown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import vitbench
from vitbench.cli import main
from vitbench.execution.local import LocalExecutor

Vitbench = Callable[..., tuple[int, str, str]]

SUITE = """
name = "tiny"
summary = "a small ViT and a baseline on a few digits"
datasets = ["digits"]
threads = 1
[[models]]
name = "scratch/vit"
label = "tiny-vit"
options = {depth = 1, width = 32, heads = 2}
[[models]]
name = "baseline/majority"
[recipes.supervised]
epochs = 100
warmup = 0
[speed]
batch_sizes = [4]
modes = ["inference"]
"""
# A shell that starts pytest in the background makes it, and what it starts, deaf to SIGINT.
START = """
import signal, vitbench.cli, vitbench.running.runner
signal.signal(signal.SIGINT, signal.default_int_handler)
vitbench.running.runner.SPEED_PROCESSES = (2,)
vitbench.cli.main()
"""


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vitbench:
    """Run the command line in this process, whose fork server all calls share."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vitbench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def interrupt_after(line_start: str, command: list[str]) -> tuple[int, str]:
    """Start a command, interrupt it a moment after it says a line, and return its exit code and what it said."""
    command = [sys.executable, "-c", START, *command]
    said = ""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said += line
            if line.startswith(line_start):
                time.sleep(1.0)  # the next cell is under way
                os.kill(process.pid, signal.SIGINT)
    return process.returncode, said


def statuses(folder: Path) -> dict[tuple[str, str], list[str]]:
    """Return the statuses of all attempts, by label and kind of cell."""
    found: dict[tuple[str, str], list[str]] = {}
    for record in vitbench.load(folder).records:
        kind = record.planned.cell.__struct_config__.tag
        found.setdefault((record.planned.label, str(kind)), []).append(record.status)
    return found


@pytest.mark.slow
def test_a_run_is_interrupted_resumed_repeated_and_shown(
    call: Vitbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, folder = tmp_path / "tiny.toml", tmp_path / "results"
    suite.write_text(SUITE)
    command = ["run", "--suite", str(suite), "--limit", "200", "--speeds", "all", "--output", str(folder)]
    vit, timed, majority = ("tiny-vit", "quality"), ("tiny-vit", "speed"), ("baseline/majority", "quality")

    code, out, said = call(*command, "--dry-run")
    assert code == 0
    assert "test images in 10 classes" in said
    assert out.splitlines()[-1] == "3 cells, 3 to run"
    assert not folder.exists()

    code, said = interrupt_after("[1/3]", command)  # the speed, which comes first
    assert code == 130, said
    assert said.splitlines()[-1] == "Interrupted; run the same command to resume."
    assert "Traceback" not in said
    assert statuses(folder) == {timed: ["ok"], vit: ["interrupted"]}

    monkeypatch.setattr("vitbench.running.runner.SPEED_PROCESSES", (2,))
    code, out, said = call(*command, "--json")
    assert code == 0, said
    assert "1 of 3 cells have results from an earlier run; 2 are left to run." in said
    assert statuses(folder) == {timed: ["ok"], vit: ["interrupted", "ok"], majority: ["ok"]}
    check_leaderboard(json.loads(out))

    before = vitbench.load(folder).records
    with monkeypatch.context() as without_processes:  # of which the first imports torch
        without_processes.delattr(LocalExecutor, "submit")
        again, out_again, said = call(*command, "--json")
    assert (again, out_again) == (0, out)
    assert "3 of 3 cells have results from an earlier run; 0 are left to run." in said
    assert vitbench.load(folder).records == before

    _, out, _ = call(*command, "--dry-run", "--json")
    assert [(cell["status"], cell["run"]) for cell in json.loads(out)] == [("ok", False)] * 3
    assert call("leaderboard", str(folder), "--format", "json")[1].strip() == out_again.strip()
    check_shown(call, folder, before)


def check_leaderboard(board: dict[str, object]) -> None:
    assert set(board) >= {"schema", "rows", "failed"}
    assert board["failed"] == []
    rows = {row["model"]: row for row in board["rows"]}
    assert set(rows) == {"tiny-vit", "baseline/majority"}
    for row in rows.values():
        assert set(row) >= {
            *("rank", "tied_with", "model", "dataset", "recipe", "device", "precision", "machine", "seeds"),
            *("partial", "baseline", "metrics"),
        }
        assert (row["partial"], row["rank"], row["device"], row["seeds"]) == (True, None, "cpu", [0])
    assert (rows["tiny-vit"]["baseline"], rows["baseline/majority"]["baseline"]) == (False, True)
    top1 = rows["baseline/majority"]["metrics"]["top1"]
    assert set(top1) == {"value", "unit", "better", "low", "high", "interval", "spread", "n", "verdict", "reasons"}
    assert top1["low"] < top1["value"] < top1["high"]
    assert 0.08 < top1["value"] < 0.13, "ten classes of about equal size"
    metrics = rows["tiny-vit"]["metrics"]
    assert set(metrics) >= {"top1", "top5", "nll", "ece", "macro_f1", "params", "macs", "train_seconds", "throughput"}
    # 8x8 gray images in patches of 4: 5 tokens of width 32; one block with MLP ratio 2.
    width, tokens, patch = 32, 5, 16
    block = 4 * width**2 + 4 * width + 4 * width**2 + 3 * width + 4 * width
    assert metrics["params"]["value"] == patch * width + width + tokens * width + width + block + 2 * width + 330


def check_shown(call: Vitbench, folder: Path, records: tuple[object, ...]) -> None:
    code, out, _ = call("show", str(folder))
    assert code == 0
    for record in records:
        assert record.id in out
    trained = next(record for record in records if record.planned.label == "tiny-vit" and record.curve)
    assert f"weights/{trained.key}.safetensors" in out
    assert (folder / "weights" / f"{trained.key}.safetensors").is_file()
    assert (folder / "predictions" / f"{trained.key}.npz").is_file()
    code, out, _ = call("show", str(folder), trained.id[:12])
    assert code == 0
    assert "tiny-vit on digits, supervised, seed 0" in out
    assert "epoch 1" in out
    assert call("show", str(folder), "zzzz")[0] == 2


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_is_refused_before_anything_is_written(call: Vitbench, tmp_path: Path) -> None:
    suite, folder, checkpoint = tmp_path / "tiny.toml", tmp_path / "results", tmp_path / "other.safetensors"
    suite.write_text(SUITE)
    save_file({"stranger.weight": torch.zeros(1)}, checkpoint)
    model = f"scratch/vit:depth=1,width=32,heads=2,checkpoint={checkpoint}"
    code, _, said = call("run", "--suite", str(suite), "--output", str(folder), "--model", model)
    assert code == 3
    [progress, line] = said.strip().splitlines()
    assert progress.startswith("Preparing: ")
    assert line.startswith("Error: model scratch/vit:")
    assert str(checkpoint) in line
    assert "cls_token" in line
    assert "stranger.weight" in line
    assert not folder.exists()


@pytest.mark.slow
def test_without_a_suite_the_recipes_keep_their_own_defaults(call: Vitbench) -> None:
    code, out, said = call("run", "--model", "scratch/vit:depth=1", "--dataset", "digits", "--dry-run", "--json")
    assert code == 0, said
    [cell] = [planned["cell"] for planned in json.loads(out) if planned["cell"]["kind"] == "quality"]
    assert (cell["recipe_options"]["epochs"], cell["recipe_options"]["augment"]) == (100, True)
    code, out, said = call("run", "--model", "scratch/vit:depth=1", "--dry-run", "--json")
    assert code == 0, said
    [cell] = [planned["cell"] for planned in json.loads(out) if planned["cell"]["kind"] == "quality"]
    assert (cell["dataset"], cell["recipe_options"]["epochs"], cell["threads"]) == ("datasets/digits", 80, 1)
