"""Two live workers in lockstep: what is said of their speeds, how a worker can end, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import factories
import msgspec
import psutil
import pytest
from waiting import PATIENCE, is_alive, wait_for

from vitbench.lockstep import SpeedComparison, compare_speeds
from vitbench.lockstep import compare as lockstep
from vitbench.lockstep.process import LockstepError, Ready, Side, live_worker

TESTS = str(Path(__file__).parents[1])
VIT = factories.SMALL_VIT


@pytest.fixture(autouse=True)
def _short_and_without_remains(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Measure as little as can be, and leave no process."""
    monkeypatch.setattr(lockstep, "BLOCK_SECONDS", 0.02)
    monkeypatch.setattr(lockstep, "QUADS", 3)
    monkeypatch.setattr(lockstep, "SHARP", 1.0)
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before


def side(target: str, label: str = "vit", **options: object) -> Side:
    planned = factories.speed_cell(label, options=options)
    return Side(planned=planned, label=label, target=f"lockstep_targets:{target}", environment={"PYTHONPATH": TESTS})


def compare(first: Side, second: Side, **settings: float) -> SpeedComparison:
    return compare_speeds(first, second, **{"timeout": PATIENCE, **settings})


def test_a_slower_model_is_found_and_by_how_much() -> None:
    found = compare(side("sleeper", "short", seconds=0.02), side("sleeper", "long", seconds=0.03))
    assert found.verdict == "slower"
    assert found.ratio == pytest.approx(2 / 3, rel=0.1)
    assert found.sentence().startswith("long is 3")
    assert len(found.pairs) >= 3
    assert found.reasons == (f"all {found.quads} quads: short: slept", f"all {found.quads} quads: long: slept")


def test_what_a_model_prints_or_reads_does_not_break_the_talk() -> None:
    with live_worker(side("talker"), timeout=PATIENCE) as worker:
        worker.answer(Ready)
        assert [worker.run(calls).seconds for calls in (1, 2)] == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("broken", "second: ValueError: no such weights"),
        ("failing", "second: SystemExit: 3"),
        ("killed", "second: its process was killed by SIGKILL; the system may have run out of memory"),
        ("leaving", "second: its process ended with exit code 7: the last words"),
        ("missing", "second: cannot import lockstep_targets:missing: AttributeError: "),
    ],
)
def test_a_worker_that_fails_is_one_error_in_words(target: str, words: str) -> None:
    with pytest.raises(LockstepError) as caught:
        compare(side("sleeper", "first", seconds=0.03), side(target, "second"))
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_a_worker_that_is_stuck_is_ended_with_what_it_started(tmp_path: Path) -> None:
    told = tmp_path / "pids"
    with live_worker(side("stuck", file=str(told)), timeout=0.2) as worker:
        pids = told_pids(told)
        with pytest.raises(LockstepError, match=r"^vit: took more than 0.2 s$"):
            worker.answer(Ready)
    assert wait_for(lambda: not any(map(is_alive, pids)))


PARENT = """
import sys, time, msgspec
from vitbench.lockstep.process import Side, live_worker
from vitbench.records import KeyedCell

planned = msgspec.json.decode(sys.argv[1], type=KeyedCell)
with live_worker(Side(planned=planned, label="x", target="lockstep_targets:stuck"), timeout=60):
    time.sleep(60)
"""


def test_a_worker_ends_with_its_parent_even_while_it_builds(tmp_path: Path) -> None:
    told = tmp_path / "pids"
    planned = msgspec.json.encode(factories.speed_cell(options={"file": str(told)}))
    with subprocess.Popen([sys.executable, "-c", PARENT, planned.decode()], env={"PYTHONPATH": TESTS}) as parent:
        pids = told_pids(told)
        parent.kill()
    assert wait_for(lambda: not any(map(is_alive, pids)))


def told_pids(told: Path) -> list[int]:
    """Wait until a stuck worker has told its own process id and its child's."""
    assert wait_for(lambda: told.exists() and told.read_text().endswith("\n"))
    pids = [int(pid) for pid in told.read_text().split()]
    assert len(pids) == 2
    assert all(map(is_alive, pids))
    return pids


def test_an_interpreter_that_is_not_there_or_has_no_vitbench(tmp_path: Path) -> None:
    planned = factories.speed_cell()
    gone = Side(planned=planned, label="old", python=str(tmp_path / "python"))
    with pytest.raises(LockstepError, match=r"^old: cannot start .*python: .*No such file"):
        compare(gone, gone)
    # `-S` by variable does not exist, so an empty program stands in for a Python without vitbench.
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(LockstepError, match=r"^old: its process ended with exit code 1: .*No module named 'vitbench'"):
        compare(*[Side(planned=planned, label="old", python=str(bare), cwd=tmp_path)] * 2)


def test_an_answer_of_another_version_is_said_so(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text('#!/bin/sh\nread order\necho \'{"type":"Prepared"}\'\n')
    other.chmod(0o755)
    strange = Side(planned=factories.speed_cell(), label="old", python=str(other))
    with pytest.raises(LockstepError, match=r"^old: its vitbench is of another version"):
        compare(strange, strange)


def test_an_answer_that_is_not_due_is_an_error(tmp_path: Path) -> None:
    hasty = tmp_path / "hasty"
    hasty.write_text('#!/bin/sh\nread order\necho \'{"type":"Ran","seconds":0.1}\'\n')
    hasty.chmod(0o755)
    side = Side(planned=factories.speed_cell(), label="old", python=str(hasty))
    with pytest.raises(LockstepError, match=r"^old: answered Ran where Ready was expected$"):
        compare(side, side)


@pytest.mark.parametrize("target", ["leaving", "broken"])
def test_a_process_is_killed_only_while_its_number_is_its_own(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    ours: list[bool] = []

    def killpg(pid: int, number: int) -> None:
        ours.append(Path(f"/proc/{pid}").exists())  # a zombie's number is not given to another yet
        kill(pid, number)

    kill = os.killpg
    monkeypatch.setattr(os, "killpg", killpg)
    with pytest.raises(LockstepError), live_worker(side(target), timeout=PATIENCE) as worker:
        worker.answer(Ready)
    assert ours == [True]


def test_what_a_dead_worker_started_is_ended(tmp_path: Path) -> None:
    told = tmp_path / "pids"
    with live_worker(side("stuck", file=str(told)), timeout=0.2) as worker:
        pids = told_pids(told)
        os.kill(pids[0], signal.SIGKILL)
        # Its child holds the pipe.
        with pytest.raises(LockstepError, match=r"^vit: took more than 0.2 s$"):
            worker.answer(Ready)
    assert wait_for(lambda: not any(map(is_alive, pids)))


def test_a_real_model_runs_in_its_own_folder_and_environment(tmp_path: Path) -> None:
    vit = Side(planned=factories.speed_cell(options=VIT), label="vit", cwd=tmp_path)
    with live_worker(vit, timeout=PATIENCE) as worker:
        worker.answer(Ready)
        assert worker.run(1).seconds > 0
        assert worker.run(50).seconds > 0
