"""`vitbench compare` from the command line: exit codes, one line for each mistake, and both models live in turn."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comparisons as c
import factories as f
import msgspec
import psutil
import pytest

from vitbench.cli import main
from vitbench.comparing import remeasure
from vitbench.environment import machine_class
from vitbench.installed import version_of
from vitbench.lockstep import compare as lockstep
from vitbench.lockstep.process import Side
from vitbench.records import Record

Vitbench = Callable[..., tuple[int, str, str]]
TESTS = str(Path(__file__).parents[1])
GOOD, BAD, NEAR = c.right(380), c.right(350), c.right(380, start=2)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vitbench:
    """Run the command line in this process."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vitbench", "compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a folder in which b is worse than a, c the same, d not told apart, e on other data, and f failed."""
    failed = f.record(f.quality_cell("f"), status="oom", reason="out of memory")
    parts = [c.quality(label, scores) for label, scores in (("a", GOOD), ("b", BAD), ("c", GOOD), ("d", NEAR))]
    return c.write(tmp_path / "results", *parts, c.quality("e", GOOD, data=f.data_info("pets")), [failed])


def test_the_exit_code_is_the_outcome_and_nothing_is_written(call: Vitbench, results: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    for first, second, code, words in (
        ("a", "c", 0, "same"),
        ("b", "a", 0, "improved"),
        ("a", "b", 10, "regressed"),
        ("a", "e", 12, "not comparable"),
        ("a", "d", 13, "not resolved"),
    ):
        found, out, err = call(first, second, "--output", results)
        assert (found, err) == (code, "")
        assert out.splitlines()[-1] == f"Outcome: {words} (exit code {code})."
    found, out, err = call("a", "b", "--output", results, "--json")
    assert (found, err) == (10, "")
    assert json.loads(out)["exit_code"] == 10
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before


def test_a_mistake_is_one_line(call: Vitbench, results: Path) -> None:
    for words, code, reason in (
        ("a f", 11, "digits, seed 0: oom, out of memory"),
        ("a bb", 11, 'has no model "bb". Did you mean "b"?'),
        ("a b --dataset pets", 11, '"a" has no such result'),
        ("a b --device cuda", 11, '"a" has no such result'),
        ("a a", 2, "are the same model"),
        ("a b --model a", 2, "--model applies when A and B are folders"),
        ("a b --threshold 0", 2, "0.0 is not in the range 0<x<1"),
        ("a", 2, "Missing argument 'B'"),
        ("a b --measure", 11, "nothing to measure again"),
        ("a b --measure --plugin absent.py", 2, "plugin file absent.py cannot be read"),
        ("a b --plugin mine.py", 2, "--plugin requires --measure"),
        (f"a b --output {results}-nowhere", 4, "nowhere"),
    ):
        found, out, err = call("--output", results, *words.split())
        assert (found, out) == (code, ""), words
        (line,) = err.splitlines()
        assert line.startswith("Error: ")
        assert reason in line


def test_two_folders_are_told_from_two_names(
    call: Vitbench, tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = c.write(tmp_path / "other", c.quality("a", BAD), c.quality("b", BAD))
    assert call(results, other)[0] == 10
    assert call("results", "other", "--model", "b")[0] == 0
    assert call("other", "results", "--model", "a")[0] == 0
    assert call("./results", "other/", "--dataset", "digits")[0] == 10
    code, _, err = call("results", "a")
    assert code == 2
    assert '"results" is a folder and "a" is not' in err
    assert call("./nowhere", "other")[0] == 4
    # With --output both are names, even where folders are called so.
    c.write(tmp_path / "a", c.quality("x", GOOD))
    c.write(tmp_path / "b", c.quality("x", GOOD))
    assert call("a", "b")[0] == 0
    assert call("a", "b", "--output", "results")[0] == 10
    monkeypatch.setenv("VITBENCH_OUTPUT", "results")
    assert call("c", "d")[0] == 13


def test_no_name_is_too_strange(call: Vitbench, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITBENCH_OUTPUT", str(results))
    for name in ("x" * 5000, "\0", "\udc80", "", "a/b/c", "a:", "--"):
        code, out, err = call("--", "a", name)
        assert code in (2, 11), name
        assert out == ""
        assert len(err.splitlines()) == 1


def test_hostile_names_reach_no_terminal(call: Vitbench, tmp_path: Path) -> None:
    name = "\x1b[2J<script>\u202e|\n"
    results = c.write(tmp_path / "results", c.quality("a", GOOD), c.quality(name, BAD))
    code, out, _ = call("a", name, "--output", results)
    assert code == 10
    assert "\\x1b[2J<script>\\u202e|\\n" in out
    code, _, err = call("a", name + "?", "--output", results)
    assert code == 11
    assert "\x1b" not in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(("encoding", "shown"), [("latin-1", "\\u6a21\\u578b"), ("utf-8", "\u6a21\u578b")])
def test_every_terminal_gets_the_characters_that_it_takes(
    call: Vitbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str
) -> None:
    name = "\u6a21\u578b"
    results = c.write(tmp_path / "results", c.quality("a", GOOD), c.quality(name, BAD))
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    code, _, err = call("a", name, "--output", results)
    terminal.seek(0)
    assert (code, err) == (10, "")
    assert f"B  {shown}" in terminal.read()


# In lockstep


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers sleep for the option `seconds` in place of running a model, for as short as can be."""

    def side(**fields: Any) -> Side:
        environment = {**fields.pop("environment"), "PYTHONPATH": TESTS}
        return Side(**fields, environment=environment, target="lockstep_targets:sleeper")

    monkeypatch.setattr(remeasure, "Side", side)
    monkeypatch.setattr(lockstep, "BLOCK_SECONDS", 0.02)
    monkeypatch.setattr(lockstep, "QUADS", 3)
    monkeypatch.setattr(lockstep, "SHARP", 1.0)


def here(label: str, seconds: float) -> list[Record]:
    """Return the stored throughput of a model that sleeps, as if it were measured on this machine."""
    replace = msgspec.structs.replace
    throughput = c.speeds(label, 1000, options={"seconds": seconds}, machine=machine_class("cpu"))[1]
    planned = throughput.planned
    made = replace(planned.provenance, torch=version_of("torch"))
    return [replace(throughput, planned=replace(planned, provenance=made))]


def test_a_model_that_takes_longer_is_found_slower_in_turn(call: Vitbench, tmp_path: Path, sleepers: None) -> None:
    results = c.write(tmp_path / "results", here("vit", 0.02), here("resnet18", 0.03))
    before = set(psutil.Process().children(recursive=True))
    assert call("vit", "resnet18", "--output", results)[0] == 13
    code, out, err = call("vit", "resnet18", "--output", results, "--measure", "--threshold", "0.1", "--json")
    assert code == 10
    speed = json.loads(out)["pairs"][0]["speed"]["throughput"]
    assert speed["finding"] == "worse"
    assert speed["measured"]["ratio"] == pytest.approx(2 / 3, rel=0.1)
    assert speed["measured"]["pairs"] >= 3
    assert [line.partition(",")[0] for line in err.splitlines()] == [
        "Preparing: examining this machine before measuring on it.",
        "Measuring vit and resnet18 in turn",
    ]
    remaining = set(psutil.Process().children(recursive=True)) - before
    assert not [process for process in remaining if "vitbench.lockstep.worker" in process.cmdline()]


def test_another_machine_is_refused(call: Vitbench, tmp_path: Path, sleepers: None) -> None:
    results = c.write(tmp_path / "results", c.speeds("vit", 1000), c.speeds("resnet18", 1000))
    code, out, err = call("vit", "resnet18", "--output", results, "--measure")
    assert (code, out) == (12, "")
    assert f"was measured with machine {f.MACHINE}, but this is {machine_class('cpu')}" in err


def test_an_interruption_ends_it(call: Vitbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(remeasure, "compare_speeds", interrupt)
    results = c.write(tmp_path / "results", here("vit", 0.02), here("resnet18", 0.03))
    code, out, _ = call("vit", "resnet18", "--output", results, "--measure")
    assert (code, out) == (130, "")
