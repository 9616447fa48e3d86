"""docs/write-a-plugin.md, done as it says: its files, its commands, from an empty folder to a tracked model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "write-a-plugin.md"
FILES = {
    match["path"]: match["text"]
    for match in re.finditer(
        r"^```(?:python|toml)\n(?P<text># (?P<path>\S+)\n.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
}
QUICKLY = ("--set", "supervised.epochs=2", "--threads", "1")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the files of the page, and beside them what an editable installation writes."""
    folder = tmp_path_factory.mktemp("mobile")
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    info = folder / "src" / "vitbench_mobile-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vitbench-mobile\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[vitbench]\nmobile = vitbench_mobile\n")
    return folder


def python(folder: Path, *arguments: str, installed: bool = True) -> str:
    path = {"PYTHONPATH": str(folder / "src")} if installed else {}
    finished = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def rows(output: str) -> dict[str, dict]:
    board = json.loads(output)
    assert board["failed"] == []
    return {row["model"]: row for row in board["rows"]}


def test_the_page_shows_a_file_for_each_hook() -> None:
    assert set(FILES) == {
        "mobile.py",
        "pyproject.toml",
        *(f"src/vitbench_mobile/{name}" for name in ("__init__.py", "models.py", "bars.py", "metrics.py", "sgd.py")),
        "src/vitbench_mobile/bars.toml",
        "tests/test_mobile.py",
    }


@pytest.mark.slow
def test_one_file_is_ranked_against_the_built_in_models(package: Path) -> None:
    selection = ["--model", "mobile/v3-small", "--model", "vit-p4", "--model", "baseline/majority"]
    command = ["vitbench", "run", "--plugin", "./mobile.py", *selection, "--suite", "quick", *QUICKLY]
    found = rows(python(package, *command, "--output", "one-file", "--json", installed=False))
    assert set(found) == {"mobile/v3-small", "vit-p4", "baseline/majority"}
    assert all(row["rank"] for row in found.values())
    assert found["mobile/v3-small"]["metrics"]["throughput"]["value"] > 0
    again = subprocess.run(
        [sys.executable, "-m", *command, "--output", "one-file", "--dry-run", "--json"],
        cwd=package,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not any(cell["run"] for cell in json.loads(again.stdout))


@pytest.mark.slow
def test_the_package_is_listed_checked_and_its_suite_runs(package: Path) -> None:
    assert "mobile/v3-small" in python(package, "vitbench", "ls", "models")
    checked = json.loads(python(package, "vitbench", "check", "mobile", "--json"))
    assert {outcome["status"] for outcome in checked["outcomes"]} <= {"passed", "skipped"}
    found = rows(python(package, "vitbench", "run", "--suite", "bars", *QUICKLY, "--json"))
    assert set(found) == {"mobile/v3-small", "vit", "baseline/majority"}
    assert found["mobile/v3-small"]["recipe"] == "mobile/sgd"
    assert "confidence_when_wrong" in found["baseline/majority"]["metrics"]


@pytest.mark.slow
def test_its_tests_pass_and_its_speed_is_saved_and_compared(package: Path) -> None:
    python(package, "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-save=before")
    [saved] = (package / ".benchmarks").rglob("*_before.json")
    [benchmark] = json.loads(saved.read_text())["benchmarks"]
    assert benchmark["extra_info"]["images_per_second"] > 0
    compared = python(package, "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-only", "--benchmark-compare=0001")
    assert "0001_before" in compared
