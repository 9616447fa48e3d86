"""Programs are run to their end, and nothing of them stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import PATIENCE, is_alive, wait_for

from vitbench.execution.processes import ProgramError, answer_of, how_it_ended, last_words, run_program

pytestmark = pytest.mark.process

PARENT_OF_A_SLEEPER = "sleep 600 & echo $! > pid; wait"


def test_words_are_run_without_a_shell_and_a_line_with_one(tmp_path: Path) -> None:
    words = run_program(
        [sys.executable, "-c", "import sys; print(sys.argv[1])", "$A && b"], cwd=tmp_path, environment={}
    )
    assert words.stdout == b"$A && b\n"
    line = run_program("echo $A && pwd; exit 3", cwd=tmp_path, environment={"A": "x", "PATH": os.defpath})
    assert (line.returncode, line.stdout) == (3, f"x\n{tmp_path}\n".encode())


def test_stdin_is_what_is_given_and_else_empty(tmp_path: Path) -> None:
    environment = {"PATH": os.defpath}
    assert run_program(["cat"], cwd=tmp_path, environment=environment, given=b"a\nb").stdout == b"a\nb"
    assert run_program(["cat"], cwd=tmp_path, environment=environment).stdout == b""


def test_aloud_all_goes_to_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = run_program("echo out; echo err >&2", cwd=tmp_path, environment={"PATH": os.defpath}, aloud=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    out, err = capfd.readouterr()
    assert (out, sorted(err.split())) == ("", ["err", "out"])


def test_what_takes_too_long_ends_with_what_it_started(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_program(PARENT_OF_A_SLEEPER, cwd=tmp_path, environment={"PATH": os.defpath}, timeout=1)
    pid = int((tmp_path / "pid").read_text())
    assert wait_for(lambda: not is_alive(pid))


def test_what_it_leaves_running_ends_with_it(tmp_path: Path) -> None:
    line = "sleep 600 >/dev/null 2>&1 & echo $! > pid"
    assert run_program(line, cwd=tmp_path, environment={"PATH": os.environ["PATH"]}).returncode == 0
    pid = int((tmp_path / "pid").read_text())
    assert wait_for(lambda: not is_alive(pid))


def test_an_interruption_ends_it_with_what_it_started(tmp_path: Path) -> None:
    told = tmp_path / "pid"

    def interrupt() -> None:
        wait_for(lambda: told.exists() and told.read_text())
        os.kill(os.getpid(), 2)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start us deaf, in its background
    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_program(PARENT_OF_A_SLEEPER, cwd=tmp_path, environment={"PATH": os.defpath}, timeout=PATIENCE)
    finally:
        signal.signal(signal.SIGINT, before)
    pid = int(told.read_text())
    assert wait_for(lambda: not is_alive(pid))


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run_program([str(tmp_path / "none")], cwd=tmp_path, environment={})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"one\ntwo \n\n", "two"),
        (b" \n", ""),
        (b"a\xff", "a\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_the_last_line_says_why(text: bytes, line: str) -> None:
    assert last_words(text) == line


def test_a_question_to_a_fresh_process_is_answered_by_its_last_line() -> None:
    script = "import sys; print('noise'); print(sys.stdin.read().upper())"
    assert answer_of([sys.executable, "-c", script], b"a question", environment={}, timeout=PATIENCE) == b"A QUESTION"


def test_a_program_that_fails_says_how_and_its_last_words() -> None:
    script = "import sys; sys.exit('first\\nno such thing')"
    with pytest.raises(ProgramError) as raised:
        answer_of([sys.executable, "-c", script], b"", environment={}, timeout=PATIENCE)
    assert str(raised.value) == "ended with exit code 1; last output: no such thing"
    assert raised.value.words == "no such thing"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (7, "ended with exit code 7"),
        (-11, "was killed by SIGSEGV"),
        (-9, "was killed by SIGKILL; the system may have run out of memory"),
        (-40, "was killed by signal 40"),
    ],
)
def test_an_end_in_words(code: int, words: str) -> None:
    assert how_it_ended(code) == words


def test_what_is_in_a_session_of_its_own_ends_too(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_program(
            "setsid sleep 600 & echo $! > pid; wait", cwd=tmp_path, environment={"PATH": os.environ["PATH"]}, timeout=1
        )
    pid = int((tmp_path / "pid").read_text())
    assert wait_for(lambda: not is_alive(pid))
