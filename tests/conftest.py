"""Every test runs in folders of its own, on one torch thread, and without the network.

A test that says nothing of its cost is `fast`, and can start no process.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing.process
import os
import sys
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

# Before torch is imported, and inherited by every process that a test starts.
os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")
# A pytest that a test starts is no worker of ours: pytest-benchmark would be off in it.
# And no terminal's width is ours: pytest imports readline, which tells the workers of pytest-xdist of 80 columns.
for _name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "COLUMNS", "LINES"):
    os.environ.pop(_name, None)

# What holds for all inputs is tried on a few of them while one works, and on the same many wherever CI runs.
# How long an example takes is the machine's affair.
_profile = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("default", _profile, max_examples=20)
hypothesis.settings.register_profile("ci", _profile, max_examples=200, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))

COSTS = ("process", "compute", "simulation", "browser", "slow", "gpu")
"""Marks that say what a test costs; pyproject.toml has a line on each."""
FOLDERS_OF_PROCESSES = ("faults", "integration")
FOLDER_OF_GPU_TESTS = "gpu"
OF_IMPORTS = ("uname", "sysctl", "ldconfig", "gcc", "cc", "ld", "objdump")
"""Programs by which Python and libraries, as they are imported, find the processor's name and shared libraries."""

_numbers = itertools.count()
_fast_test = ""
"""Name of the test that runs, if it is fast."""


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `process` or `gpu` what stands in a folder of such tests, and as `fast` what has no mark of a cost."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            if item.path.relative_to(Path(__file__).parent).parts[0] == FOLDER_OF_GPU_TESTS:
                item.add_marker("gpu")
                # Warnings of libraries about a GPU are not faults of ours.
                item.add_marker(pytest.mark.filterwarnings("default"))
            if item.path.relative_to(Path(__file__).parent).parts[0] in FOLDERS_OF_PROCESSES:
                item.add_marker("process")
            if not any(map(item.get_closest_marker, COSTS)):
                item.add_marker("fast")


def pytest_collection_finish() -> None:
    """Let garbage collection look at no more than what the tests make.

    The modules and the tests themselves are about a million objects, and each timing begins with a collection.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a fast test, with its fixtures, start no process."""
    global _fast_test
    _fast_test = item.nodeid if item.get_closest_marker("fast") else ""
    try:
        return (yield)
    finally:
        _fast_test = ""


def _refuse(starting: str) -> None:
    if _fast_test:
        pytest.fail(f"{_fast_test} starts a process ({starting}): mark it with pytest.mark.process.", pytrace=False)


def _refuse_programs(event: str, arguments: tuple[object, ...]) -> None:
    """See each start of a program or a fork, whoever asks for it: an audit hook of Python's."""
    if event in ("subprocess.Popen", "os.posix_spawn", "os.system", "os.fork", "os.forkpty", "os.startfile"):
        program = Path(os.fsdecode(arguments[0])).name if arguments else event  # type: ignore[arg-type]
        if program not in OF_IMPORTS:
            _refuse(program)


sys.addaudithook(_refuse_programs)
_start = multiprocessing.process.BaseProcess.start


def _start_unless_fast(self: multiprocessing.process.BaseProcess) -> None:
    """Stand in for `start`, which no audit event tells of where a fork server or a fresh interpreter is asked."""
    _refuse(type(self).__name__)
    _start(self)


multiprocessing.process.BaseProcess.start = _start_unless_fast  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache, results and settings out of the tests, and the tests out of them."""
    # Numbered here: pytest's own `mktemp` reads the names of all earlier folders to find the next one.
    base = tmp_path_factory.getbasetemp()
    place = base / "vitbench" / str(next(_numbers))
    place.mkdir(parents=True)
    # All share what the package of the page's charts gives: two seconds of processor time in each process.
    (base / "scripts").mkdir(exist_ok=True)
    (place / "cache").mkdir()
    (place / "cache" / "scripts").symlink_to(base / "scripts", target_is_directory=True)
    monkeypatch.setenv("VITBENCH_CACHE", str(place / "cache"))
    monkeypatch.setenv("VITBENCH_DATA", str(place / "data"))
    monkeypatch.setenv("VITBENCH_OUTPUT", str(place / "results"))
    monkeypatch.delenv("VITBENCH_PLUGINS", raising=False)


@pytest.fixture
def shared_data() -> Path:
    """Return the folder of real datasets that cannot be shipped; skip the test where there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    place = Path(os.environ.get("VITBENCH_TEST_DATA") or beside)
    if not place.is_dir():
        pytest.skip("no real data here; VITBENCH_TEST_DATA says where they lie")
    return place
