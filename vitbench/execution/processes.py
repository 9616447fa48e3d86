"""Processes that end: each in a group of its own that goes with it, its end in words, one question to a fresh one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["SIGKILL", "ProgramError", "answer_of", "end_group", "how_it_ended", "last_words", "run_program"]

SIGKILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""Windows knows no SIGKILL."""


class ProgramError(Exception):
    """A program ended with an exit code that is not 0, or by a signal."""

    def __init__(self, code: int, said: bytes) -> None:
        """Keep how it ended and its last output, which may be empty."""
        self.how, self.words = how_it_ended(code), last_words(said)
        super().__init__(f"{self.how}{f'; last output: {self.words}' if self.words else ''}")


def end_group(pid: int, number: int = SIGKILL) -> None:
    """Send a signal to a process that leads a group, and to whatever it started; nothing happens where all is over.

    What is in a session of its own is found while the process lives.
    """
    import psutil

    others: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        others = psutil.Process(pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS forbids it where all are dead
        if hasattr(os, "killpg"):
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    for other in others:
        with contextlib.suppress(psutil.Error):
            other.send_signal(number)


def how_it_ended(code: int | None) -> str:
    """Return how a process ended, after "the process": its exit code, or the signal that killed it."""
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # one of the real-time signals
        name = f"signal {-code}"
    return f"was killed by {name}{'; the system may have run out of memory' if name == 'SIGKILL' else ''}"


def last_words(text: bytes) -> str:
    """Return the last line that says something, where programs put why they failed; empty where none does."""
    lines = (line.strip() for line in reversed(text.decode(errors="replace").split("\n")))
    return next(filter(None, lines), "")


def run_program(
    command: Sequence[str] | str,
    *,
    environment: Mapping[str, str],
    cwd: Path | None = None,
    given: bytes = b"",
    timeout: float | None = None,
    aloud: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, in a process group of its own that ends with it, with Ctrl-C, or with the time.

    Args:
        command: words, or a line for the shell.
        environment: all of its variables.
        cwd: its working directory; None: that of this process.
        given: its stdin.
        timeout: seconds.
        aloud: pass all that it says on to stderr instead of returning it.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it took too long.
    """
    with subprocess.Popen(
        command,
        shell=isinstance(command, str),
        cwd=cwd,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=2 if aloud else subprocess.PIPE,
        stderr=None if aloud else subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(given, timeout)
        finally:
            end_group(process.pid)  # what it left running would run beside a measurement
            process.wait()  # `with` does not, after Ctrl-C
    return subprocess.CompletedProcess(command, process.returncode, out or b"", err or b"")


def answer_of(
    command: Sequence[str], given: bytes, *, environment: Mapping[str, str], timeout: float, cwd: Path | None = None
) -> bytes:
    """Return the last line that a program writes to stdout, its answer to what it is given on stdin.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it took too long.
        ProgramError: it failed.
    """
    done = run_program(command, environment=environment, cwd=cwd, given=given, timeout=timeout)
    if done.returncode:
        raise ProgramError(done.returncode, done.stderr)
    return done.stdout.rstrip().rpartition(b"\n")[2]
