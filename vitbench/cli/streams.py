"""stdout and stderr of the command line, where one may be closed, full, or a terminal that is gone."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from typing import TextIO

import click

from vitbench.errors import StoreError

__all__ = ["echo", "end_of_streams", "note", "open_closed_streams"]


def open_closed_streams() -> None:
    """Put the empty device in the place of what a shell closed (``>&-``), before another file gets its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
            os.set_inheritable(opened, True)  # for children, as a standard stream is
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def echo(message: str | bytes, *, nl: bool = True) -> None:
    """Print on stdout; nothing happens where nobody reads it any more.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        click.echo(message, nl=nl)
    except OSError as error:
        unread = _is_unread(error)
        _empty(sys.stdout)
        if unread:  # `vitbench ... | head` has read enough; the command's exit code is the answer all the same
            return
        raise StoreError(f"stdout cannot be written ({error.strerror}); nothing else went wrong.") from error


def note(message: str) -> None:
    """Print on stderr, if it can be written: no command depends on it."""
    try:
        click.echo(message, err=True)
    except OSError:
        _empty(sys.stderr)


def end_of_streams() -> None:
    """Write what is left in the buffers, or drop it, about which Python complains and ends with a code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _empty(stream)


def _is_unread(error: OSError) -> bool:
    """Whether nobody reads stdout any more: a pipe's reader has ended, or a terminal was closed."""
    if error.errno != errno.EIO:
        return isinstance(error, BrokenPipeError)
    return stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)


def _empty(stream: TextIO) -> None:
    """Send what is left in a stream's buffer, and what comes, to the empty device."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
