"""The keeper: a process between the parent and the process that does the work, whose end ends all that it started.

On Linux what has lost its parent becomes a child of the keeper (PR_SET_CHILD_SUBREAPER), whatever session or process
group it went to: https://man7.org/linux/man-pages/man2/prctl.2.html. So a worker of a data loader that made itself a
daemon ends with its cell, and so it does when the cell dies, or when the parent is killed. The keeper runs no code of a
model, which might never let its threads come to their turn.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

__all__ = ["END", "adopt_orphans", "can_keep", "keep"]

END = b"end"
"""On the leash: end in good order. The end of the leash means: at once."""
GIVE_UP_SECONDS = 5.0
"""What the system cannot end in this time, it never will: a process in a driver, or of another user."""
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36


def can_keep() -> bool:
    """Return whether this system has what a keeper needs."""
    return sys.platform == "linux"


def adopt_orphans() -> None:
    """Become the parent of what descends from this process and loses its own; nothing happens where none can."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def keep(leash: Connection, *, patience: float, closed: Sequence[Connection] = ()) -> None:
    """Split this process, which must have one thread only: return in the child, which does the work.

    The other, the keeper, never returns. It ends when the child has, and as it did; all that is left of what the child
    started it kills.

    Args:
        leash: held by the parent.
        patience: seconds from SIGTERM to SIGKILL, where the end is asked for.
        closed: what the keeper does not hold open.
    """
    adopt_orphans()
    keeper = os.getpid()
    worker = os.fork()
    if worker == 0:
        leash.close()
        _prctl(_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:  # it was killed before the line above
            os._exit(1)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for connection in closed:
        connection.close()
    threading.Thread(target=_obey, args=(leash, worker, patience), daemon=True).start()
    ended, status = 0, 0
    while ended != worker:
        ended, status = os.waitpid(-1, 0)
    _end_descendants()
    _end_likewise(status)


def _obey(leash: Connection, worker: int, patience: float) -> None:
    """Sleep until the end is asked for, or the parent is gone; then end what runs. The other thread sees it end."""
    asked = b""
    with contextlib.suppress(EOFError, OSError):
        asked = leash.recv_bytes()
    if asked == END:
        _signal_descendants(signal.SIGTERM)
        time.sleep(patience)
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)


def _end_descendants() -> None:
    """Kill what is left below this process, until nothing is."""
    until = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < until:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        _signal_descendants(signal.SIGKILL)
        time.sleep(0.01)


def _signal_descendants(number: int) -> None:
    import psutil

    with contextlib.suppress(psutil.Error):
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)


def _end_likewise(status: int) -> None:
    """End as the worker did: with its exit code, or by the signal that killed it."""
    if os.WIFSIGNALED(status):
        import resource

        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        time.sleep(1)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # a C library without it
            ctypes.CDLL(None).prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0)))
