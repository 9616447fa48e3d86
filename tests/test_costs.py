"""The marks of cost stay true: what claims no cost can start no process."""

from __future__ import annotations

import multiprocessing
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest


def start_by(method: str) -> None:
    multiprocessing.get_context(method).Process(target=print).start()


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run([sys.executable, "--version"], check=True),
        lambda: subprocess.run("true", shell=True, check=True),
        lambda: os.system("true"),
        lambda: os.posix_spawn(sys.executable, [sys.executable, "--version"], os.environ),
        os.fork,
        lambda: start_by("fork"),
        lambda: start_by("spawn"),
        lambda: start_by("forkserver"),
    ],
    ids=["subprocess", "shell", "system", "posix_spawn", "fork", "fork context", "spawn context", "fork server"],
)
def test_a_test_without_a_mark_of_its_cost_starts_no_process(start: Callable[[], object]) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"^tests/test_costs.py::.* mark it with pytest.mark.process.$"):
        start()


def test_the_name_of_the_processor_may_be_asked_for_and_threads_may_start() -> None:
    assert isinstance(platform.processor(), str)
    thread = threading.Thread(target=len, args=("",))
    thread.start()
    thread.join()


@pytest.mark.process
def test_a_test_that_says_so_may() -> None:
    assert subprocess.run([sys.executable, "-c", ""], check=True).returncode == 0


def test_what_has_no_mark_of_a_cost_is_fast(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("fast")
