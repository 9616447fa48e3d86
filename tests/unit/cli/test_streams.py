"""stdout and stderr that are closed, full or read no more: no traceback, and a documented exit code."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import click
import pytest

from vitbench.cli import streams
from vitbench.errors import StoreError

VITBENCH = f"{sys.executable} -m vitbench"


@pytest.mark.process
@pytest.mark.parametrize(
    ("line", "code", "out", "said"),
    [
        ("--version > /dev/full", 4, "", "Error: No space left on device\n"),
        ("ls suites > /dev/full", 4, "", "Error: stdout cannot be written (No space left on device)"),
        ("ls suites >&- <&-", 0, "", ""),
        ("ls nothing 2>&-", 2, "", ""),
        ("ls nothing 2>/dev/full", 2, "", ""),
    ],
)
def test_no_stream_ends_in_a_traceback(line: str, code: int, out: str, said: str) -> None:
    command = f"set -o pipefail; {VITBENCH} {line}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout.startswith(out)
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == bool(said)


@pytest.mark.process
def test_what_stands_for_a_closed_stream_is_there_for_children_too() -> None:
    code = "import os; from vitbench.cli import streams; streams.open_closed_streams(); "
    code += "os._exit(sum(os.get_inheritable(number) for number in range(3)))"
    line = f"{sys.executable} -c '{code}' <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", line], check=False).returncode == 3


@pytest.mark.parametrize(("number", "refused"), [(errno.EIO, False), (errno.ENOSPC, True)])
def test_a_terminal_that_is_gone_is_read_by_nobody(number: int, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(click, "echo", fail)
    with open(os.devnull, "w") as terminal:  # noqa: PTH123 - a device, as a terminal is
        monkeypatch.setattr(sys, "stdout", terminal)
        if refused:
            with pytest.raises(StoreError, match="stdout cannot be written"):
                streams.echo("text")
        else:
            streams.echo("text")
