"""What a plugin does to this process while it is loaded or asked is undone, and told.

stdout belongs to the answer of a command (``--json``), and relative paths to the working folder. Nothing here stops a
plugin that ends the process, hangs, or changes torch: plugins are code that the user trusts.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

__all__ = ["stdout_kept", "undone"]

SHOWN = 60
"""Characters of what a plugin wrote that are told."""


@contextlib.contextmanager
def undone() -> Iterator[list[str]]:
    """Send what Python code writes to stdout to stderr, and put the working folder back.

    Yields a list that holds, afterwards, one sentence for each thing that was undone.
    """
    remarks: list[str] = []
    folder, heard = _working_folder(), _Heard()
    try:
        with contextlib.redirect_stdout(cast(IO[str], heard)):
            yield remarks
    finally:
        after = _working_folder()
        if folder and after != folder:
            os.chdir(folder)
            remarks.append(f"changed the working folder to {after or 'one that is gone'}; it was put back")
        if heard.beginning.strip():
            remarks.append(f"wrote to stdout, which was sent to stderr: {heard.told()}")


@contextlib.contextmanager
def stdout_kept() -> Iterator[None]:
    """Send to stderr what libraries and child processes write to the file descriptor of stdout, below Python."""
    if sys.__stdout__ is None or sys.__stderr__ is None:  # a process without a console
        yield
        return
    out, err = sys.__stdout__, sys.__stderr__
    try:
        number, target = out.fileno(), err.fileno()
        kept = os.dup(number)
    except (OSError, ValueError):  # closed
        yield
        return
    out.flush()
    os.dup2(target, number)
    try:
        yield
    finally:
        out.flush()
        os.dup2(kept, number)
        os.close(kept)


class _Heard:
    """stderr, which also keeps the beginning of what is written. A plugin may hold on to it, as a logger does."""

    def __init__(self) -> None:
        self.beginning = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)

    def write(self, text: str) -> int:
        """Write to stderr, and return the number of characters."""
        self.beginning += text[: SHOWN + 1 - len(self.beginning)]
        return sys.stderr.write(text)

    def told(self) -> str:
        """Return the beginning as a quotation in one line."""
        words = " ".join(self.beginning.split())
        return f'"{words[:SHOWN]}{"..." if len(words) > SHOWN else ""}"'


def _working_folder() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was removed
        return None
