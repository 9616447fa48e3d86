"""A package that is not ours, from `pip install` to a leaderboard and out again, in an environment of its own."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from fresh_environment import OFFLINE, fresh_environment

TINY = Path(__file__).parents[1] / "third_party" / "vitbench-tiny"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the environment's layout is that of Unix")
def test_a_foreign_package_is_installed_listed_checked_run_and_uninstalled(tmp_path: Path) -> None:
    run = fresh_environment(tmp_path).run
    # A copy, since the build writes beside the source.
    source = shutil.copytree(TINY, tmp_path / "vitbench-tiny")
    run("pip", "install", *OFFLINE, str(source))

    plugins = {plugin["name"]: plugin for plugin in json.loads(run("vitbench", "plugins", "--json").stdout)["plugins"]}
    assert (plugins["tiny"]["distribution"], plugins["tiny"]["version"]) == ("vitbench-tiny", "1.2")
    assert "tiny/mlp" in run("vitbench", "ls", "models").stdout
    assert "failed" not in run("vitbench", "check", "tiny").stdout

    selection = ["--model", "tiny/mlp:width=48", "--model", "baseline/majority"]
    settings = ["--set", "supervised.epochs=10", "--set", "supervised.batch_size=16"]
    asked = [*selection, "--dataset", "tiny/stripes", *settings, "--threads", "1", "--speeds", "none", "--json"]
    board = json.loads(run("vitbench", "run", *asked, "--output", "results").stdout)
    assert board["failed"] == []
    rows = {row["model"]: row for row in board["rows"]}
    assert set(rows) == {"tiny/mlp:width=48", "baseline/majority"}
    for row in rows.values():
        top1, worst = (row["metrics"][name]["value"] for name in ("top1", "worst_class"))
        assert 0 <= worst <= top1
    assert rows["tiny/mlp:width=48"]["metrics"]["top1"]["value"] > 0.8
    assert rows["baseline/majority"]["metrics"]["worst_class"]["value"] == 0

    run("pip", "uninstall", "--quiet", "--yes", "vitbench-tiny")
    # What it measured stays readable without it.
    assert "tiny/mlp:width=48" in run("vitbench", "leaderboard", "results").stdout
    missing = run("vitbench", "run", *asked, "--output", "results", code=2)
    assert "tiny" in missing.stderr
