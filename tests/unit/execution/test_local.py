"""One call in a process of its own: what it answers, how it can end, and that nothing of it stays."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import psutil
import pytest
from waiting import PATIENCE, is_alive, wait_for

from vitbench.execution import local
from vitbench.execution.executor import Ending, Job
from vitbench.execution.local import LocalExecutor
from vitbench.execution.messages import CellResult, Message, Progress, Say
from vitbench.planning.messages import Prepared

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def executor() -> LocalExecutor:
    executor = LocalExecutor()
    assert run(executor, "echo").kind == "answered"  # the fork server's start counts for no test
    return executor


def run(executor: LocalExecutor, target: str, text: str = "", **arguments: object) -> Ending[CellResult]:
    arguments = {"timeout": PATIENCE, **({"message": Message} if "on_message" in arguments else {}), **arguments}
    return executor.run(f"executor_targets:{target}", Say(text=text), CellResult, **arguments)


def test_the_answer_comes_back(executor: LocalExecutor) -> None:
    ending = run(executor, "echo", "a text", timeout=1e300)  # more than the system can wait
    assert ending.kind == "answered"
    assert ending.answer == CellResult(status="ok", reason="a text")
    assert ending.seconds > 0


def test_an_answer_larger_than_a_pipe_comes_back_whole(executor: LocalExecutor) -> None:
    result = run(executor, "large").answer
    assert isinstance(result, CellResult)
    assert len(result.reason) == 1_000_000


def test_messages_are_forwarded_in_order_and_output_goes_to_the_log(executor: LocalExecutor, tmp_path: Path) -> None:
    messages: list[object] = []
    log = tmp_path / "log.txt"
    ending = run(executor, "talk", on_message=messages.append, log=log, environment={"VITBENCH_TEST_VARIABLE": "set"})
    assert messages == [Progress(epoch=1, epochs=2, stage="training"), Say(text="half way")]
    assert ending.answer == CellResult(status="ok", facts={"variable": "set"})
    assert sorted(log.read_text().splitlines()) == ["written to stderr", "written to stdout"]


def test_the_environment_is_that_of_the_call_not_of_the_server(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VITBENCH_TEST_VARIABLE", "of the parent, set late")
    result = run(executor, "talk", log=tmp_path / "log.txt").answer
    assert isinstance(result, CellResult)
    assert result.facts == {"variable": "of the parent, set late"}


def test_a_loss_may_become_nan(executor: LocalExecutor) -> None:
    result = run(executor, "diverge").answer
    assert isinstance(result, CellResult)
    assert str(result.curve) == "({'epoch': 1.0, 'loss': nan, 'largest': inf},)"


def test_an_exception_is_a_crash_whose_traceback_is_in_the_log(executor: LocalExecutor, tmp_path: Path) -> None:
    ending = run(executor, "fail", log=tmp_path / "log.txt")
    assert (ending.kind, ending.answer) == ("crashed", None)
    assert ending.reason == "the process ended with exit code 1 before it answered; see its log"
    assert "ValueError: this text is in the log" in (tmp_path / "log.txt").read_text()


def test_a_target_that_does_not_exist_is_a_crash(executor: LocalExecutor, tmp_path: Path) -> None:
    ending = run(executor, "no_such_function", log=tmp_path / "log.txt")
    assert ending.kind == "crashed"
    assert "cannot import executor_targets:no_such_function" in (tmp_path / "log.txt").read_text()


def test_a_kill_is_a_crash_in_words(executor: LocalExecutor) -> None:
    ending = run(executor, "kill_itself")
    assert ending.kind == "crashed"
    assert ending.reason == "the process was killed by SIGKILL; the system may have run out of memory"


@pytest.mark.parametrize(("target", "kind"), [("kill_itself", "oom"), ("leave", "crashed")])
def test_a_kill_while_the_system_kills_for_memory_is_oom(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch, target: str, kind: str
) -> None:
    kills = itertools.count()
    monkeypatch.setattr("vitbench.execution.local._memory_kills", lambda: next(kills))
    ending = run(executor, target)
    assert ending.kind == kind
    assert ("the system ran out of memory" in ending.reason) == (kind == "oom")


def test_a_process_that_takes_too_long_is_ended(executor: LocalExecutor, tmp_path: Path) -> None:
    ending = run(executor, "sleep", str(tmp_path / "pid"), timeout=2)
    assert (ending.kind, ending.reason) == ("timeout", "took more than 2 s")
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_process_that_is_deaf_is_ended_too(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "TERMINATE_SECONDS", 0.2)
    assert run(executor, "sleep_stubbornly", str(tmp_path / "pid"), timeout=2).kind == "timeout"
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_silent_process_is_taken_for_stuck(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "SILENCE_SECONDS", 2.0)
    ending = run(executor, "sleep", str(tmp_path / "pid"), timeout=None)
    assert (ending.kind, ending.reason) == ("timeout", "no heartbeat for 2 s")


def test_grandchildren_end_with_the_process_even_if_they_ignore_sigterm(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    result = run(executor, "leave_a_grandchild", str(tmp_path / "ready")).answer
    assert isinstance(result, CellResult)
    assert wait_for(lambda: not is_alive(int(result.reason)))


def test_a_crash_is_seen_at_once_though_a_grandchild_holds_the_pipes(executor: LocalExecutor, tmp_path: Path) -> None:
    ending = run(executor, "crash_beside_a_grandchild", str(tmp_path / "pid"))
    assert ending.kind == "crashed"
    assert "exit code 9" in ending.reason
    assert wait_for(lambda: not is_alive(int((tmp_path / "pid").read_text())))


@pytest.mark.parametrize("target", ["leave_a_daemon", "leave_a_daemon_and_die"])
def test_a_daemon_ends_with_the_process_that_started_it(executor: LocalExecutor, tmp_path: Path, target: str) -> None:
    ending = run(executor, target, str(tmp_path / "pid"))
    assert (ending.kind, ending.reason) in [("answered", ""), ("crashed", "the process was killed by SIGSEGV")]
    assert not is_alive(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("target", "kind", "reason", "timeout"),
    [
        ("write_everywhere", "crashed", "stray bytes", PATIENCE),
        ("write_half_a_message", "timeout", "took more than", 2.0),
        ("end_within_a_message", "crashed", "was killed by SIGKILL", PATIENCE),
    ],
)
def test_what_a_model_writes_to_the_pipe_costs_its_own_call(
    executor: LocalExecutor, capfd: pytest.CaptureFixture[str], target: str, kind: str, reason: str, timeout: float
) -> None:
    ending = run(executor, target, timeout=timeout)
    assert ending.kind == kind
    assert reason in ending.reason
    assert run(executor, "echo").kind == "answered"
    assert capfd.readouterr().err == ""


def test_a_process_that_the_target_forked_says_nothing(executor: LocalExecutor) -> None:
    result = run(executor, "come_back_twice").answer
    assert isinstance(result, CellResult)
    assert result.reason == "the process itself"


def test_where_the_working_folder_was_removed_calls_go_on(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run(executor, "echo").kind == "answered"


def test_an_interruption_ends_the_process_and_goes_on(executor: LocalExecutor, tmp_path: Path) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(executor, "talk", on_message=interrupt, log=tmp_path / "log.txt")
    assert run(executor, "echo", "still works").kind == "answered"


def test_the_script_of_the_user_is_not_run_again(executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    script = sys.modules["__main__"]
    result = run(executor, "main_module").answer
    assert isinstance(result, CellResult)
    assert result.reason == "not run again"
    assert sys.modules["__main__"] is script


def test_what_goes_wrong_in_prepare_is_refused_in_one_line(executor: LocalExecutor, tmp_path: Path) -> None:
    ending = executor.run(
        "vitbench.planning.prepare:prepare_in_child",
        Say(text="no request"),
        Prepared,
        timeout=PATIENCE,
        log=tmp_path / "log.txt",
    )
    assert (ending.kind, ending.exit_code) == ("refused", 3)
    assert ending.reason.startswith("preparing the run failed: ValidationError: ")
    assert "\n" not in ending.reason


def test_a_refusal_comes_back_with_its_exit_code(executor: LocalExecutor) -> None:
    ending = run(executor, "refuse")
    assert (ending.kind, ending.exit_code, ending.reason) == ("refused", 2, "there is no such thing")


def test_files_go_and_come_in_the_jobs_folder(executor: LocalExecutor, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a file")
    assert run(executor, "copy_file", folder=tmp_path).kind == "answered"
    assert (tmp_path / "out.txt").read_text() == "A FILE"


def job(target: str, text: str = "") -> Job:
    return Job(target=f"executor_targets:{target}", request=msgspec.msgpack.encode(Say(text=text)), timeout=PATIENCE)


def test_jobs_run_one_at_a_time_in_their_order(executor: LocalExecutor, tmp_path: Path) -> None:
    first, second, third = (executor.submit(job("echo", text)) for text in ("1", "2", "3"))
    ended = executor.wait([third])
    assert list(ended) == [third]
    assert msgspec.msgpack.decode(ended[third].answer, type=CellResult).reason == "3"
    assert set(executor.wait([first, second])) == {first, second}, "those before it ended before it"
    with pytest.raises(KeyError):
        executor.wait([first])


def test_a_cancelled_job_ends_and_the_next_one_starts(executor: LocalExecutor, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    stuck, waiting, never = (
        executor.submit(job("sleep", str(pid))),
        executor.submit(job("echo", "next")),
        executor.submit(job("echo", "never")),
    )
    assert wait_for(lambda: pid.exists() and pid.read_text())
    executor.cancel(never)
    executor.cancel(stuck)
    executor.cancel(stuck)  # it is gone already
    assert not is_alive(int(pid.read_text()))
    assert executor.wait([waiting])[waiting].kind == "answered"
    for gone in (stuck, never):
        with pytest.raises(KeyError):
            executor.wait([gone])


def test_what_was_said_in_time_counts_though_nobody_waited(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_time, next_one = executor.submit(replace(job("echo", "early"), timeout=0.5)), executor.submit(job("echo"))
    time.sleep(1.5)
    assert executor.wait([in_time])[in_time].kind == "answered"
    assert executor.wait([next_one])[next_one].kind == "answered"
    monkeypatch.setattr(local, "SILENCE_SECONDS", 0.5)
    silent = executor.submit(replace(job("talk"), timeout=None))
    time.sleep(1.5)
    assert executor.wait([silent])[silent].kind == "answered"


PARENT = """
import multiprocessing, sys
from vitbench.execution.local import LocalExecutor
from vitbench.execution.messages import CellResult, Say

MARK = "run again"
executor = LocalExecutor()
multiprocessing.get_context("forkserver").set_forkserver_preload([])  # quick: the targets need no torch
sys.path.insert(0, {tests!r})
print(executor.run("executor_targets:{target}", Say(text={text!r}), CellResult, timeout=600).answer.reason)
"""


def parent(target: str, text: str = "") -> str:
    return PARENT.format(tests=str(Path(__file__).parents[2]), target=target, text=text)


def test_nothing_outlives_the_parent(tmp_path: Path) -> None:
    """Neither the process, deaf to SIGTERM, nor a daemon of it, nor what multiprocessing started."""
    pid = tmp_path / "pid"
    script = subprocess.Popen([sys.executable, "-c", parent("leave_a_daemon_and_sleep", str(pid))])
    assert wait_for(lambda: pid.exists())
    started = psutil.Process(script.pid).children(recursive=True)
    assert {int(pid.read_text())} < {process.pid for process in started}
    os.kill(script.pid, signal.SIGKILL)
    script.wait()
    assert wait_for(lambda: not any(is_alive(process.pid) for process in started))


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_script_without_a_main_guard_runs_once(way: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(parent("main_module") + "print('the end')\n")
    with script.open() as file:
        command = [sys.executable, str(script)] if way == "file" else [sys.executable, "-"]
        done = subprocess.run(command, stdin=file, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["not run again", "the end"]
    assert done.stderr == ""
