"""The mutants of benchmarks/mutants.toml fit the code as it is: each applies once, and leaves Python that is Python."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest
from mutations import ROOT, Mutant, load_mutants, main

MUTANTS = load_mutants()


def test_each_mutant_applies_once_leaves_python_and_names_tests_that_are_there() -> None:
    for mutant in MUTANTS:
        ast.parse(mutant.mutated((ROOT / mutant.file).read_text(encoding="utf-8")), mutant.breaks)
        assert mutant.old != mutant.new, mutant.breaks
        assert mutant.tests, mutant.breaks
        assert [test for test in mutant.tests if not (ROOT / test.partition("::")[0]).is_file()] == [], mutant.breaks


def test_no_mutant_stands_there_twice() -> None:
    assert max(Counter((mutant.file, mutant.old, mutant.new) for mutant in MUTANTS).values()) == 1


@pytest.mark.parametrize("source", ["", "a = 1\na = 1\n"])
def test_a_mutant_whose_text_is_not_there_once_is_an_error(source: str) -> None:
    with pytest.raises(ValueError, match=r"^m.py holds the text of the mutant 'it' [02] times, not once$"):
        Mutant(breaks="it", file="m.py", old="a = 1", new="a = 2", tests=("t.py",)).mutated(source)


def test_mutants_are_listed_by_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", "MULTIPLE of 4,096"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("vitbench/leaderboard/ranking.py: ")
    assert main(["--only", "no such words"]) == 2


PACKAGE = "def double(number):\n    return 2 * number\n"
TESTS = (
    "import sys\n\nsys.path.insert(0, '.')\nfrom package import double\n\n\ndef test_it():\n    assert double(1) == 2\n"
)


@pytest.mark.process
def test_what_fails_is_caught_and_what_passes_survives_and_the_copy_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mutations import is_caught

    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # so that pytest starts four times as fast
    (tmp_path / "package.py").write_text(PACKAGE)
    (tmp_path / "test_it.py").write_text(TESTS)
    for number, (new, caught) in enumerate([("3 * number", True), ("number + number", False), ("2 *", True)], start=1):
        mutant = Mutant(breaks="it", file="package.py", old="2 * number", new=new, tests=("test_it.py",))
        assert is_caught(mutant, tmp_path, number, timeout=100) == caught
        assert (tmp_path / "package.py").read_text() == PACKAGE
    absent = Mutant(breaks="it", file="package.py", old="2 * number", new="2", tests=("test_gone.py",))
    with pytest.raises(RuntimeError, match="pytest ended with 4"):
        is_caught(absent, tmp_path, 1, timeout=100)
