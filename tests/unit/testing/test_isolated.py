"""`vitbench check`: each subject in a child of its own, so that a crash or a hang fails one check; its exit codes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vitbench.cli import main
from vitbench.testing import Outcome, isolated
from vitbench.testing.report import subject_text, sum_text

Run = Callable[..., tuple[int, str, str]]

PLUGIN = '''
"""A plugin with one good recipe and several bad ones."""
import os, signal, time
import vitbench

@vitbench.hookimpl
def vitbench_recipes():
    for name in ("good", "crashes", "exits", "hangs", "wrong"):
        yield vitbench.RecipeSpec(name=name, fit=f"conformance_child:{name}", summary="A recipe", trains=False)

def good(model, data, run):
    return model

def crashes(model, data, run):
    print("about to crash", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)

def exits(model, data, run):
    os._exit(7)

def hangs(model, data, run):
    time.sleep(100)

def wrong(model, data, run):
    return None
'''


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "vitbench_mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vitbench-mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vitbench]\nmine = conformance_child\n")
    (tmp_path / "conformance_child.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process and return its exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vitbench", "check", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def checked(subject: str) -> list[Outcome]:
    subjects = isolated.check_plugin(subject, models=(), data={}, say=lambda _: None)
    return [outcome for outcomes in subjects for outcome in outcomes]


@pytest.mark.process
def test_what_passes_in_a_child_passes() -> None:
    outcomes = checked("mine/good")
    assert [outcome.status for outcome in outcomes if outcome.check == "check_recipe_returns_model"] == ["passed"]
    assert {outcome.status for outcome in outcomes} == {"passed", "skipped"}


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_crash_fails_the_check_under_way_and_keeps_the_others_from_running() -> None:
    first, *others = checked("mine/crashes")
    assert (first.check, first.status) == ("check_recipe_returns_model", "failed")
    assert first.reason == "the process was killed by SIGSEGV; last output: about to crash"
    assert {(one.status, one.reason) for one in others} == {("skipped", "not run: check_recipe_returns_model failed")}


@pytest.mark.process
def test_an_exit_fails_the_check_under_way() -> None:
    first, *_ = checked("mine/exits")
    assert first.reason == "the process ended with exit code 7 before it answered"


@pytest.mark.process
def test_a_hang_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "SECONDS", 1.0)
    first, *others = checked("mine/hangs")
    assert first.status == "failed"
    assert first.reason == "the checks took more than 1 s before this one ended; is it waiting for something?"
    assert {outcome.status for outcome in others} == {"skipped"}


@pytest.mark.process
def test_the_command_tells_what_passed_and_what_did_not(run: Run) -> None:
    code, out, err = run("mine/good")
    assert (code, err) == (0, "Checking mine/good.\n")
    assert out.startswith("mine/good\n  passed   check_recipe_returns_model ")
    assert re.search(r"\n\n\d+ checks: \d passed, \d skipped\n$", out)
    code, out, err = run("mine/wrong", "--json")
    assert (code, err) == (1, "Checking mine/wrong.\n")
    content = json.loads(out)
    assert content["plugin"] == "mine/wrong"
    assert set(content["outcomes"][0]) == {"check", "subject", "status", "reason", "seconds"}
    assert content["outcomes"][0]["reason"].endswith("fit returned NoneType; return the module to evaluate")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["mien"], 2, 'Error: unknown plugin "mien". Did you mean "mine"?'),
        (["mine", "--data", "x"], 2, '"x" must be written NAME=PATH'),
        ([], 2, "Missing argument 'PLUGIN'"),
        (["broken"], 3, "Error: plugin broken (vitbench-broken 1.0), load: ZeroDivisionError: division by zero."),
    ],
)
def test_what_cannot_be_checked_is_one_line_and_an_exit_code(
    arguments: list[str], code: int, words: str, run: Run, tmp_path: Path
) -> None:
    info = tmp_path / "vitbench_broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vitbench-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vitbench]\nbroken = conformance_broken\n")
    (tmp_path / "conformance_broken.py").write_text("1 / 0\n")
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    (line,) = err.splitlines()
    assert words in line


@pytest.mark.process
def test_a_bad_spec_fails_a_check_of_its_plugin_and_the_other_offers_are_checked(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "one_odd_name.py"
    others = '"crashes", "exits", "hangs", "wrong"'
    path.write_text(PLUGIN.replace(others, '"odd name"').replace("conformance_child", path.stem))
    code, out, _ = run(str(path), "--json")
    assert code == 1
    found = json.loads(out)["outcomes"]
    assert [(one["check"], one["subject"]) for one in found if one["status"] == "failed"] == [
        ("check_plugin_offers", "one_odd_name")
    ]
    assert {one["subject"] for one in found} == {"one_odd_name", "one_odd_name/good"}


def test_the_table_shows_names_from_anywhere_as_text() -> None:
    outcomes = [
        Outcome(check="check_a", subject="mine/\u202enet", status="failed", reason="<script>\x1b[2J|", seconds=1.234),
        Outcome(check="check_long", subject="mine/\u202enet", status="passed", seconds=0.5),
    ]
    assert subject_text(outcomes).splitlines() == [
        r"mine/\u202enet",
        r"  FAILED   check_a      1.23 s  <script>\x1b[2J|",
        "  passed   check_long   0.50 s",
    ]
    assert sum_text(outcomes).splitlines() == ["2 checks: 1 passed, 1 failed", r"  mine/\u202enet: check_a"]


def test_the_sum_names_the_models_of_which_shapes_alone_were_checked() -> None:
    def skipped(check: str, reason: str) -> Outcome:
        return Outcome(check=check, subject="mine/large", status="skipped", reason=reason)

    outcomes = [
        skipped("check_a", "too large to run here (98 M parameters, 21.5 GMACs), its shapes are checked"),
        skipped("check_b", "too large to run here: its values are not checked"),
        Outcome(check="check_c", subject="mine/large", status="failed", reason="wrong"),
        Outcome(check="check_c", subject="mine/small", status="skipped", reason="it has no weights"),
    ]
    assert sum_text(outcomes).splitlines() == [
        "4 checks: 1 failed, 3 skipped",
        "  mine/large: shapes only, too large to run here",
        "  mine/large: check_c",
    ]


def test_each_subject_is_shown_before_the_next_one_is_checked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Iterator[list[Outcome]]:
        yield [Outcome(check="check_a", subject="mine/good", status="passed")]
        raise KeyboardInterrupt

    monkeypatch.setattr(isolated, "check_plugin", interrupted)
    assert run("mine") == (130, "mine/good\n  passed   check_a   0.00 s\n\n", "Interrupted.\n")
