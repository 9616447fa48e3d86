"""The executor `local`: each call in a process of its own, in its own session, one at a time, with a time-out.

On Linux a fork server with torch imported starts a process in about 0.1 s, and a keeper ends all that it started
(`vitbench.execution.keeper`); elsewhere processes are spawned, and their process group ends with them. What goes
through the pipes is bytes, nothing is pickled. The parent sleeps until something comes, since a parent that spins would
disturb what the child times.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import multiprocessing.connection
import multiprocessing.util
import os
import signal
import sys
import tempfile
import threading
import time
import types
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import msgspec

from vitbench.errors import VitbenchError, reason_of
from vitbench.execution.executor import Ending, Executor, Handle, Job
from vitbench.execution.framing import CutShortError, Incoming, NotOursError, packed
from vitbench.execution.keeper import END, GIVE_UP_SECONDS, can_keep, keep
from vitbench.execution.output import Output
from vitbench.execution.processes import SIGKILL, end_group, how_it_ended

__all__ = ["LocalExecutor"]

SILENCE_SECONDS = 600.0
"""A process that shows no sign of life for this long counts as stuck."""
TERMINATE_SECONDS = 3.0
"""What a process group gets between SIGTERM and SIGKILL."""
LONGEST_SECONDS = 1e6
"""Of one wait, which the system counts in milliseconds of 31 bits; a longer one is made of several."""
BACKLOG_SECONDS = 1.0
"""For reading what a process said before its time was up."""
CLOSED_SECONDS = 10.0
"""From the end of the pipe to that of the process: longer takes one that closed what it does not own."""
_MESSAGE, _ANSWER, _REFUSAL = b"m", b"a", b"r"
"""Kinds of what a child sends."""
_STRAY = "the process wrote stray bytes to vitbench's internal pipe"


@dataclass(kw_only=True, slots=True)
class _RunningJob:
    """A job whose process runs."""

    job: Job
    process: BaseProcess
    incoming: Incoming
    output: Output | None
    """None: the child writes to its log by itself."""
    leash: Connection
    """Held by this process: its end ends the child."""
    started: float = field(default_factory=time.monotonic)
    last_sign: float = field(default_factory=time.monotonic)
    """When it was last heard of."""
    killed_before: int
    """Processes that the system had killed for want of memory."""


class LocalExecutor(Executor):
    """Runs one job at a time, in the order of submission, so that each has the machine. Use it from one thread."""

    def __init__(self, *, preload: Sequence[str] = ("vitbench.worker.preload",)) -> None:
        """Choose the start method; nothing is started yet.

        Args:
            preload: modules that the fork server imports once for all jobs, which a single job gains nothing from.
        """
        self._context: ForkServerContext | SpawnContext
        if sys.platform == "linux":
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload(list(preload))
        else:
            self._context = multiprocessing.get_context("spawn")
        self._numbers = itertools.count()
        self._queue: dict[Handle, Job] = {}
        self._running: dict[Handle, _RunningJob] = {}
        self._ended: dict[Handle, Ending[bytes]] = {}

    def submit(self, job: Job) -> Handle:
        """See `Executor`: a job's process starts when the one before it has been waited for, or cancelled."""
        handle = Handle(next(self._numbers))
        self._queue[handle] = job
        self._start_next()
        return handle

    def wait(self, handles: Collection[Handle]) -> dict[Handle, Ending[bytes]]:
        """See `Executor`."""
        for handle in handles:
            if not any(handle in known for known in (self._queue, self._running, self._ended)):
                raise KeyError(handle)
        while handles and not any(handle in self._ended for handle in handles):
            self._start_next()
            for handle, call in list(self._running.items()):
                ended = _wait(call)
                self._end(handle)
                self._ended[handle] = _explained(ended, call)
            self._start_next()
        return {handle: self._ended.pop(handle) for handle in handles if handle in self._ended}

    def cancel(self, handle: Handle) -> None:
        """See `Executor`."""
        self._queue.pop(handle, None)
        self._ended.pop(handle, None)
        self._end(handle)
        self._start_next()

    def _start_next(self) -> None:
        while self._queue and not self._running:
            handle = next(iter(self._queue))
            started = time.monotonic()
            try:
                self._running[handle] = self._start(self._queue.pop(handle))
            except (OSError, EOFError) as error:  # no process is left for it, or no file
                reason = f"its process cannot be started: {reason_of(error)}"
                self._ended[handle] = Ending(kind="crashed", seconds=time.monotonic() - started, reason=reason)

    def _start(self, job: Job) -> _RunningJob:
        _stand_somewhere()
        receiver, sender = self._context.Pipe(duplex=False)
        leash, held = self._context.Pipe(duplex=False)
        printed, prints = self._context.Pipe(duplex=False) if os.name == "posix" else (None, None)
        process = self._context.Process(
            target=_child,
            args=(
                job.target,
                job.request,
                str(job.folder) if job.folder else None,
                sender,
                leash,
                prints or (str(job.log) if job.log else None),
                {**os.environ, **job.environment},
                TERMINATE_SECONDS,
            ),
        )
        killed_before = _memory_kills()
        _start_tracker()
        with _hidden_main():
            process.start()
        for given in filter(None, (sender, leash, prints)):
            given.close()
        return _RunningJob(
            job=job,
            process=process,
            incoming=Incoming(receiver),
            output=Output(printed, job.log) if printed else None,
            leash=held,
            killed_before=killed_before,
        )

    def _end(self, handle: Handle) -> None:
        if call := self._running.pop(handle, None):
            _end_process(call.process, call.leash)
            call.incoming.connection.close()
            if call.output:
                call.output.close()


def _wait(call: _RunningJob) -> Ending[bytes]:
    """Sleep until the child answers, ends, or is out of time."""
    job, started, overdue = call.job, call.started, None
    said, sentinel = call.incoming.connection, call.process.sentinel
    printed = call.output.connection if call.output else None
    waited: list[Any] = [one for one in (said, printed, sentinel) if one is not None]
    while True:
        now = time.monotonic()
        left = (started + job.timeout if job.timeout is not None else call.last_sign + SILENCE_SECONDS) - now
        ready = multiprocessing.connection.wait(waited, min(max(left, 0), LONGEST_SECONDS))
        # Nobody may have waited meanwhile: what it said in time lies in the pipe, and is read first.
        overdue = (overdue or now) if left <= 0 else None
        if overdue and (not ready or now - overdue > BACKLOG_SECONDS):
            silent = f"no heartbeat for {SILENCE_SECONDS:g} s"
            reason = silent if job.timeout is None else f"took more than {job.timeout:g} s"
            return Ending(kind="timeout", seconds=now - started, reason=reason)
        if printed in ready and call.output and not call.output.pass_on():
            waited.remove(printed)
        if said in ready:
            try:
                told = [_Told.of(kind, content) for kind, content in call.incoming.read()]
            except (EOFError, OSError, CutShortError) as error:
                # The pipe's other end is closed, and stays readable: waiting on it would spin.
                multiprocessing.connection.wait([sentinel], min(max(left, 0), CLOSED_SECONDS))
                # Where the process was ended within a message, how it ended says more.
                reason = _STRAY if isinstance(error, CutShortError) and not call.process.exitcode else ""
                return Ending(kind="crashed", seconds=time.monotonic() - started, reason=reason)
            except NotOursError:
                return Ending(kind="crashed", seconds=time.monotonic() - started, reason=_STRAY)
            call.last_sign = time.monotonic()
            for one in told:
                if one.last:
                    return replace(one.last, seconds=call.last_sign - started)
                if job.on_message:
                    job.on_message(one.message)
        elif sentinel in ready:
            return Ending(kind="crashed", seconds=time.monotonic() - started)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    """What a child said: a message on its way, or its last word."""

    message: bytes = b""
    last: Ending[bytes] | None = None

    @classmethod
    def of(cls, kind: bytes, content: bytes) -> _Told:
        """Return what one message means.

        Raises:
            NotOursError: no child of ours says so.
        """
        if kind == _MESSAGE:
            return cls(message=content)
        if kind == _ANSWER:
            return cls(last=Ending(kind="answered", seconds=0.0, answer=content))
        try:
            exit_code, reason = msgspec.msgpack.decode(content, type=tuple[int, str])
        except msgspec.DecodeError as error:
            raise NotOursError from error
        return cls(last=Ending(kind="refused", seconds=0.0, reason=reason, exit_code=exit_code))


def _explained(ended: Ending[bytes], call: _RunningJob) -> Ending[bytes]:
    """Say how a process that gave no answer ended, now that it has."""
    if ended.kind != "crashed" or ended.reason:
        return ended
    code = call.process.exitcode
    if code == -SIGKILL and _memory_kills() > call.killed_before:
        words = "the system ran out of memory and killed the process"
        return Ending(kind="oom", seconds=ended.seconds, reason=words)
    more = "; see its log" if call.job.log else ""
    words = f" before it answered{more}" if code is None or code >= 0 else ""
    return Ending(kind="crashed", seconds=ended.seconds, reason=f"the process {how_it_ended(code)}{words}")


def _memory_kills(counters: Path = Path("/proc/vmstat")) -> int:
    """Return how many processes Linux has killed for want of memory since it started; 0 where it does not tell."""
    try:
        lines = counters.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _end_process(process: BaseProcess, leash: Connection) -> None:
    """End a child and whatever it started."""
    process.join(0.05)
    if process.pid is None:
        return
    if can_keep():
        with contextlib.suppress(OSError):  # it has ended
            leash.send_bytes(END)
        leash.close()
        process.join(TERMINATE_SECONDS + GIVE_UP_SECONDS)
    else:
        leash.close()
        for number, patience in ((signal.SIGTERM, TERMINATE_SECONDS), (SIGKILL, 0.05)):
            end_group(process.pid, number)
            process.join(patience)
    if process.is_alive():  # it was not yet the leader of a group, or its keeper is stuck
        process.kill()
        process.join()


def _stand_somewhere() -> None:
    """Leave a working folder that was removed, in which no process can be started."""
    try:
        os.getcwd()  # noqa: PTH109 - the call that multiprocessing makes
    except OSError:
        os.chdir(tempfile.gettempdir())


def _start_tracker() -> None:
    """Start what multiprocessing cleans up with, if it does not run, without a stderr.

    Each child holds a pipe to it, into which a model may write: it would answer with a traceback.
    """
    if os.name != "posix":
        return
    from multiprocessing import resource_tracker

    try:
        kept = os.dup(2)
    except OSError:  # there is none
        resource_tracker.ensure_running()
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        resource_tracker.ensure_running()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Hide the user's script from multiprocessing, which would run it again in the child.

    So `vitbench.run()` works in a script without a main guard, from stdin and in a notebook.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _child(
    target: str,
    request: bytes,
    folder: str | None,
    sender: Connection,
    leash: Connection,
    output: Connection | str | None,
    environment: dict[str, str],
    patience: float,
) -> None:
    """Run in the child: take leave of the parent's terminal, then call the target and send its answer."""
    if hasattr(os, "setsid"):
        os.setsid()
    _redirect_output(output)
    if can_keep():
        _let_go_of_fork_server()
        keep(leash, patience=patience, closed=[sender])
        os.setsid()
    else:
        threading.Thread(target=_die_with_parent, args=(leash,), daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    from vitbench.printable import plain
    from vitbench.specs import load_target

    encode = msgspec.msgpack.encode  # and not JSON, which cannot say that a loss became nan
    own, one_at_a_time = os.getpid(), threading.Lock()

    def send(kind: bytes, content: bytes) -> None:
        if os.getpid() == own:  # and not a process that a model forked, which comes back from its call as well
            with one_at_a_time:
                sender.send_bytes(packed(kind, content))

    call = load_target(target)
    try:
        answer: msgspec.Struct = call(
            request, Path(folder) if folder else None, lambda message: send(_MESSAGE, encode(message))
        )
        last = _ANSWER, encode(answer)
    except VitbenchError as error:
        last = _REFUSAL, encode((error.exit_code, plain(str(error))))
    # Semaphores that libraries made (torch's compiler does) outlive a process that just stops, and are warned of later.
    multiprocessing.util._run_finalizers(0)  # type: ignore[attr-defined]
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a model may have closed it, or put anything in its place
            stream.flush()
    send(*last)
    os._exit(0)  # all is said; what an interpreter tears down takes time and may print


def _redirect_output(output: Connection | str | None) -> None:
    """Send stdout and stderr into a pipe, or into a log; None: both to stderr."""
    if isinstance(output, str):
        target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    else:
        target = os.dup(output.fileno() if output else 2)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    if isinstance(output, Connection):
        output.close()


def _let_go_of_fork_server() -> None:
    """Close what holds the fork server up: it ends with the parent, and nothing that is written here can end it."""
    from multiprocessing import forkserver

    server: Any = forkserver._forkserver
    if server._forkserver_alive_fd is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None


def _die_with_parent(leash: Connection) -> None:
    """Sleep until the parent's end of the leash is gone, then end this process and what it started."""
    with contextlib.suppress(EOFError, OSError):
        leash.recv_bytes()
    if hasattr(os, "killpg"):
        os.killpg(0, SIGKILL)
    os._exit(1)
