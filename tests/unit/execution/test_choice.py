"""One place chooses the executor, and nothing else names one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vitbench
from vitbench.errors import UsageError
from vitbench.execution.choice import chosen_executor, opened_executor
from vitbench.execution.local import LocalExecutor

PACKAGE = Path(vitbench.__file__).parent


def test_each_command_has_an_executor_of_its_own() -> None:
    first, second = chosen_executor(), chosen_executor()
    assert isinstance(first, LocalExecutor)
    assert first is not second


def test_no_other_module_imports_an_executor_that_runs_something() -> None:
    importing = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(from|import) vitbench\.execution\.local\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert importing == {"execution/choice.py", "execution/ray_task.py"}


@pytest.mark.parametrize(("asked", "parallel"), [("local", 2), ("ray", 0), ("slurm", None)])
def test_several_at_once_are_for_several_machines(asked: str, parallel: int | None) -> None:
    with pytest.raises(UsageError, match=r"--parallel|give local"), opened_executor(asked, parallel, print):
        pass
