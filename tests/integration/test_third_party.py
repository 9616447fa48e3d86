"""A package that is not ours, from `pip install` to a leaderboard and out again, in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

TINY = Path(__file__).parents[1] / "third_party" / "vitbench-tiny"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """Return a folder and a function that runs a module of a fresh environment there.

    The environment sees the packages of this one, torch among them, and has its own place for new ones.
    """
    folder = tmp_path_factory.mktemp("third-party")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    [own] = (folder / "venv" / "lib").glob("python*/site-packages")
    present = [path for path in (*site.getsitepackages(), site.getusersitepackages()) if Path(path).is_dir()]
    own.joinpath("present.pth").write_text(
        "".join(f"import site; site.addsitedir({path!r})\n" for path in present), encoding="utf-8"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "VITBENCH_CACHE": str(folder / "cache")}

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        finished = subprocess.run(
            [str(python), "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert finished.returncode == code, finished.stdout + finished.stderr
        return finished

    return folder, run


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the environment's layout is that of Unix")
def test_a_foreign_package_is_installed_listed_checked_run_and_uninstalled(environment: tuple[Path, Run]) -> None:
    folder, run = environment
    assert "tiny" not in run("vitbench", "plugins").stdout
    # A copy, since the build writes beside the source.
    source = shutil.copytree(TINY, folder / "vitbench-tiny")
    run("pip", "install", "--quiet", "--no-index", "--no-build-isolation", str(source))

    plugins = {plugin["name"]: plugin for plugin in json.loads(run("vitbench", "plugins", "--json").stdout)["plugins"]}
    assert (plugins["tiny"]["distribution"], plugins["tiny"]["version"]) == ("vitbench-tiny", "1.2")
    assert "tiny/mlp" in run("vitbench", "ls", "models").stdout
    assert "tiny/stripes" in run("vitbench", "ls", "datasets").stdout
    assert "failed" not in run("vitbench", "check", "tiny").stdout

    selection = ["--model", "tiny/mlp:width=48", "--model", "baseline/majority"]
    settings = ["--set", "supervised.epochs=10", "--set", "supervised.batch_size=16"]
    asked = [*selection, "--dataset", "tiny/stripes", *settings, "--threads", "1", "--json"]
    board = json.loads(run("vitbench", "run", *asked, "--output", "results").stdout)
    assert board["failed"] == []
    rows = {row["model"]: row for row in board["rows"]}
    assert set(rows) == {"tiny/mlp:width=48", "baseline/majority"}
    for row in rows.values():
        top1, worst = (row["metrics"][name]["value"] for name in ("top1", "worst_class"))
        assert 0 <= worst <= top1
    assert rows["tiny/mlp:width=48"]["metrics"]["top1"]["value"] > 0.8
    assert rows["baseline/majority"]["metrics"]["worst_class"]["value"] == 0
    assert rows["tiny/mlp:width=48"]["metrics"]["throughput"]["value"] > 0

    run("pip", "uninstall", "--quiet", "--yes", "vitbench-tiny")
    assert "tiny" not in run("vitbench", "plugins").stdout
    # What it measured stays readable without it.
    assert "tiny/mlp:width=48" in run("vitbench", "leaderboard", "results").stdout
    missing = run("vitbench", "run", *asked, "--output", "results", code=2)
    assert "tiny" in missing.stderr
