"""A training whose whole run is killed goes on by the same command, and ends with the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import toy_resumable
from waiting import is_alive, wait_for

import vitbench
from vitbench.cli import main

SUITE = """
name = "toy"
summary = "one training"
datasets = ["digits"]
threads = 1
speed = {batch_sizes = []}
[[models]]
name = "scratch/vit"
options = {depth = 1, width = 16, heads = 2, dropout = 0.1}
recipe = "toy_resumable/resumable"
"""


def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, sign, folder = tmp_path / "toy.toml", tmp_path / "sign", tmp_path / "results"
    suite.write_text(SUITE)
    command = ["vitbench", "run", "--suite", str(suite), "--plugin", toy_resumable.__file__, "--limit", "0.1"]
    command += ["--output", str(folder)]

    def run(*more: str) -> tuple[str, bytes]:
        """Run the command in this process; return what it said and the weights."""
        monkeypatch.setattr(sys, "argv", [*command, *more])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err
        assert not ended.value.code, said
        [weights] = (folder / "weights").iterdir()
        return said, weights.read_bytes()

    environment = {**os.environ, "TOY_WAITS_AT": "9", "TOY_SIGN": str(sign)}
    with subprocess.Popen([sys.executable, "-m", *command], env=environment, stderr=subprocess.DEVNULL) as process:
        assert wait_for(lambda: sign.exists() and sign.read_text())
        process.kill()
    assert wait_for(lambda: not is_alive(int(sign.read_text()))), "the training ends with its parent"
    said, resumed = run()
    assert "resuming a killed training at step 9 (" in said
    assert list((folder / "checkpoints").iterdir()) == []

    said, whole = run("--rerun", "all")
    assert "resumes" not in said
    assert resumed == whole
    assert [record.status for record in vitbench.load(folder).records] == ["ok", "ok"], "the kill left no record"
