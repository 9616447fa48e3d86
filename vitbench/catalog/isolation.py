"""What a plugin does to this process while it is loaded or asked is undone, and told.

stdout belongs to the answer of a command (``--json``), the standard streams and the environment to all, relative paths
to the working folder. Nothing here stops a plugin that ends the process, hangs, or changes torch: plugins are code that
the user trusts. Filters of warnings stay changed, since libraries set their own as they are imported (numpy, torch).
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["stdout_kept", "undone", "working_folder"]

SHOWN = 60
"""Characters of what a plugin wrote that are told."""
OF_LIBRARIES = frozenset({"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR"})
"""Environment variables that scikit-learn and torchvision set for themselves as they are imported."""


@contextlib.contextmanager
def undone() -> Iterator[list[str]]:
    """Send what Python code writes to stdout to stderr; put streams, environment and working folder back.

    Yields a list that holds, afterwards, one sentence for each thing that was done.
    """
    remarks: list[str] = []
    folder, variables, places = working_folder(), dict(os.environ), list(sys.path)
    heard = _ToStderr()
    out, err = _text(heard), _text(_ToStderr())
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield remarks
        finally:
            replaced = [stream for stream, ours in ((sys.stdout, out), (sys.stderr, err)) if stream is not ours]
            for stream in replaced:
                with contextlib.suppress(Exception):  # it may be anything
                    stream.flush()
            after = working_folder()
            if folder and after != folder:
                os.chdir(folder)
                remarks.append(f"changed the working directory to {after or 'one that is gone'}; it was restored")
            if heard.beginning.strip():
                remarks.append(f"wrote to stdout, which was sent to stderr: {heard.told()}")
            if replaced:
                remarks.append("replaced sys.stdout or sys.stderr; they were restored")
            if changed := _put_back(variables):
                remarks.append(f"changed environment variables ({', '.join(changed)}); they were restored")
            if sys.path != places:  # what its import strings name may lie there
                remarks.append("changed the module path (sys.path); this was not undone")


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
    _flush(out)
    os.dup2(target, number)
    try:
        yield
    finally:
        _flush(out)
        os.dup2(kept, number)
        os.close(kept)


def working_folder() -> Path | None:
    """Return the working folder; None where it was removed."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def _flush(stream: TextIO) -> None:
    with contextlib.suppress(OSError):  # who writes to it next is told
        stream.flush()


class _ToStderr(io.RawIOBase):
    """The bytes of a stream that ends in the stderr of its making, and keeps the beginning of what is written.

    A plugin may hold on to it, as a logger does; may wrap it in a stream of its own, whose end closes it; and may take
    its file descriptor and close that. stderr is left as it is by all of these.
    """

    def __init__(self) -> None:
        self.beginning = ""
        self._stderr: TextIO | None = sys.stderr  # None: a process without a console

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stderr is not None and self._stderr.isatty()

    def fileno(self) -> int:
        """Return a file descriptor of its own for stderr."""
        if self._stderr is None:
            return super().fileno()
        return os.dup(self._stderr.fileno())

    def close(self) -> None:
        """Stay open."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write to stderr, and return the number of bytes."""
        content = bytes(data)
        text = content.decode("utf-8", errors="backslashreplace")
        self.beginning += text[: SHOWN + 1 - len(self.beginning)]
        if self._stderr is not None:
            with contextlib.suppress(OSError):  # a full disk, a terminal that is gone: no fault of the plugin
                self._stderr.write(text)
        return len(content)

    def told(self) -> str:
        """Return the beginning as a quotation in one line."""
        words = " ".join(self.beginning.split())
        return f'"{words[:SHOWN]}{"..." if len(words) > SHOWN else ""}"'


def _text(stream: _ToStderr) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, encoding="utf-8", errors="backslashreplace", newline="\n", write_through=True)  # type: ignore[arg-type]


def _put_back(variables: dict[str, str]) -> list[str]:
    """Give the environment these variables again, and return the names of those that had changed."""
    if dict(os.environ) == variables:
        return []
    names = sorted({*variables, *os.environ} - OF_LIBRARIES)
    changed = [name for name in names if os.environ.get(name) != variables.get(name)]
    for name in changed:
        if name in variables:
            os.environ[name] = variables[name]
        else:
            del os.environ[name]
    return changed
