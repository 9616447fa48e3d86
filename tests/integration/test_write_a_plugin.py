"""docs/write-a-plugin.md, done as it says: its files, its commands, from an empty folder to a tracked model.

Beside its package, the environment has the one that `vitbench plugin new` writes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fresh_environment import OFFLINE, FreshEnvironment, fresh_environment

from vitbench import load
from vitbench.scaffold import write_package

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "write-a-plugin.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FILES = {text.split()[1]: text for language, text in BLOCKS if language in ("python", "toml")}
COMMANDS = [shlex.split(line, comments=True) for language, text in BLOCKS if not language for line in text.splitlines()]
ONE_FILE, INSTALL, PLUGINS, CHECK, RANK, SUITE = COMMANDS
SAVE, COMPARE = (shlex.split(command) for command in re.findall(r"`(pytest [^`]+)`", PAGE))
QUICKLY = ("--set", "supervised.epochs=1", "--threads", "1", "--speeds", "none")
UNIX = pytest.mark.skipif(sys.platform == "win32", reason="the environment's layout is that of Unix")


def write_files(folder: Path) -> None:
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    """Return an environment whose folder has the files of the page, with their package installed as the page says.

    A package that `vitbench plugin new` writes is installed with it, since a start of pip takes seconds.
    """
    environment = fresh_environment(tmp_path_factory.mktemp("mobile"))
    write_files(environment.folder)
    write_package("mine", environment.folder / "vitbench-mine")
    environment.run(*INSTALL, *OFFLINE, "--editable", "./vitbench-mine")
    return environment


def rows(output: str) -> dict[str, dict]:
    board = json.loads(output)
    assert board["failed"] == []
    return {row["model"]: row for row in board["rows"]}


def test_the_page_shows_a_file_for_each_hook() -> None:
    assert set(FILES) == {
        "mobile.py",
        "pyproject.toml",
        *(f"src/vitbench_mobile/{name}.py" for name in ("__init__", "models", "bars", "metrics", "slopes", "sgd")),
        "src/vitbench_mobile/bars.toml",
        "tests/test_mobile.py",
    }


def test_the_page_goes_from_one_file_to_a_package_that_is_checked_ranked_and_tracked() -> None:
    assert [" ".join(command[:2]) for command in COMMANDS] == [
        "vitbench run",
        "pip install",
        "vitbench plugins",
        "vitbench check",
        "vitbench run",
        "vitbench run",
    ]
    assert [command[1].partition("=")[0] for command in (SAVE, COMPARE)] == ["--benchmark-save", "--benchmark-compare"]


@UNIX
@pytest.mark.slow
def test_one_file_and_then_its_package_are_ranked_against_the_built_in_models(newcomer: FreshEnvironment) -> None:
    # The first command of the page, where the package is not installed yet.
    command = [sys.executable, "-m", *ONE_FILE, *QUICKLY, "--json"]
    finished = subprocess.run(command, cwd=newcomer.folder, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    first = rows(finished.stdout)
    assert set(first) == {"mobile/v3-small", "vit-p4", "baseline/majority"}
    before = {record.key for record in load(os.environ["VITBENCH_OUTPUT"]).records}
    assert len(before) == 3

    second = rows(newcomer.run(*RANK, *QUICKLY, "--json").stdout)
    assert set(second) == {*first, "mobile/v3-small:dropout=0.2"}
    assert all(row["rank"] for row in (*first.values(), *second.values()))
    records = load(os.environ["VITBENCH_OUTPUT"]).records
    made = [record.planned.label for record in records if record.key not in before]
    assert made == ["mobile/v3-small"], "the others were there already"

    name = "average_recall"  # computed for the results that were there before it, too
    assert name not in first["baseline/majority"]["metrics"]
    balanced = second["baseline/majority"]["metrics"][name]
    assert balanced["value"] == pytest.approx(0.1)
    assert balanced["unit"] == "fraction"


@UNIX
@pytest.mark.slow
def test_the_packages_are_listed_and_checked(newcomer: FreshEnvironment) -> None:
    listed = newcomer.run(*PLUGINS).stdout
    lines = [" ".join(line.split()) for line in listed.splitlines()]
    assert "mobile vitbench-mobile 0.1.0: 1 model, 1 dataset, 1 recipe, 1 metric, 1 figure, 1 suite" in lines, listed
    assert "mine vitbench-mine 0.1.0: 1 model" in lines, listed
    assert "Problems" not in listed, listed
    outcomes = json.loads(newcomer.run(*CHECK, "--json").stdout)["outcomes"]
    assert {outcome["status"] for outcome in outcomes} <= {"passed", "skipped"}
    offers = ("v3-small", "bars", "average_recall", "slopes", "sgd")
    assert {outcome["subject"] for outcome in outcomes} == {"mobile", *(f"mobile/{name}" for name in offers)}


@UNIX
@pytest.mark.slow
def test_its_suite_runs(newcomer: FreshEnvironment) -> None:
    found = rows(newcomer.run(*SUITE, *QUICKLY, "--set", "sgd.epochs=1", "--json").stdout)
    assert set(found) == {"mobile/v3-small", "vit", "baseline/majority"}
    assert found["mobile/v3-small"]["recipe"] == "mobile/sgd"
    assert all(row["rank"] for row in found.values()), "by the package's own metric"
    assert found["baseline/majority"]["metrics"]["average_recall"]["value"] == pytest.approx(1 / 3)


@UNIX
@pytest.mark.slow
def test_the_tests_of_both_packages_pass_and_a_speed_is_saved(newcomer: FreshEnvironment) -> None:
    """The package of the page is checked above; here its checks are only collected."""
    which = ("tests", "vitbench-mine", "-k", "inference_speed or not mobile")
    said = newcomer.run(*SAVE, "-q", "-p", "no:cacheprovider", *which).stdout
    found = re.search(r"(\d+) passed.* (\d+) deselected", said)
    assert found, said
    passed, deselected = map(int, found.groups())
    assert passed > 5, "one test for each check of a model"
    assert deselected > passed, "a package with an offer of each kind has more checks"
    assert "failed" not in said
    [saved] = (newcomer.folder / ".benchmarks").rglob("*_before.json")
    [benchmark] = json.loads(saved.read_text())["benchmarks"]
    assert benchmark["extra_info"]["images_per_second"] > 0
