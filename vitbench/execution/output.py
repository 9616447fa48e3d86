"""Where the output of a child's process goes: into its log or to stderr, as far as there is room.

It comes through a pipe, so that neither a full disk nor a closed terminal reaches the child, and so that what it prints
has a bound: the beginning is kept, and the last output, which says why a process died.
"""

from __future__ import annotations

import contextlib
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

__all__ = ["ROOM", "Output"]

ROOM = 8 << 20
"""Bytes up to which a log grows, except for the last output of a process."""
_KEPT = _CHUNK = 1 << 16
"""Bytes that are kept of what there is no room for, and that are read at once."""


class Output:
    """The end of a pipe where a child's output comes out."""

    def __init__(self, connection: Connection, log: Path | None) -> None:
        """Take what comes; `log` is a file that is appended to, None: stderr."""
        self.connection = connection
        self._file: int | None = None
        self._room = ROOM
        self._last = b""
        self._unkept = 0
        with contextlib.suppress(OSError, ValueError):  # without a log, or without a stderr, a child runs all the same
            if log is not None:
                self._file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                self._room -= os.fstat(self._file).st_size
            elif sys.__stderr__ is not None:
                self._file = os.dup(sys.__stderr__.fileno())

    def pass_on(self) -> bool:
        """Take what there is and pass it on; call it where the pipe is ready to be read. False: nothing comes more."""
        content = os.read(self.connection.fileno(), _CHUNK)
        if len(content) <= self._room:
            self._room -= len(content)
            self._write(content)
        else:
            self._room = 0  # a shorter piece that would fit comes later than this one
            self._last = (self._last + content)[-_KEPT:]
            self._unkept += len(content)
        return bool(content)

    def close(self) -> None:
        """Take what is left of a child that has ended, then close; somebody may still hold the other end."""
        os.set_blocking(self.connection.fileno(), False)
        with contextlib.suppress(OSError):  # BlockingIOError
            for _ in range(128):  # what a pipe holds at most: one that still writes is not waited for
                if not self.pass_on():
                    break
        if self._last:
            self._write(b"\n... %d bytes are left out ...\n" % (self._unkept - len(self._last)) + self._last)
        self.connection.close()
        if self._file is not None:
            os.close(self._file)

    def _write(self, content: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk, a terminal that is gone: what the child does is worth more
            while self._file is not None and content:
                content = content[os.write(self._file, content) :]
