"""Other programs (git, pip, the environments' interpreters), run to their end and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["last_line", "run"]


def run(
    command: Sequence[str] | str,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    given: bytes = b"",
    timeout: float | None = None,
    aloud: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, in a process group of its own that ends with it, with Ctrl-C, or with the time.

    Args:
        command: words, or a line for the shell.
        cwd: its working folder.
        environment: all of its variables.
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
        except BaseException:
            _end_group(process)
            process.wait()  # `with` does not, after Ctrl-C
            raise
        _end_group(process)  # what it left running would run beside the measurement
    return subprocess.CompletedProcess(command, process.returncode, out or b"", err or b"")


def last_line(text: bytes) -> str:
    """Return the last line that says something, where programs put why they failed."""
    lines = [line.strip() for line in text.decode(errors="replace").split("\n") if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _end_group(process: subprocess.Popen[bytes]) -> None:
    if not hasattr(os, "killpg"):
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS forbids it where all are dead
        os.killpg(process.pid, signal.SIGKILL)
