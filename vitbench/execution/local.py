"""The executor `local`: each call in a process of its own, in its own process group, one at a time, with a time-out.

On Linux a fork server with torch imported starts a process in about 0.1 s; elsewhere processes are spawned. What goes
through the pipe is bytes, nothing is pickled. The parent sleeps until a message comes, since a parent that spins would
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
import threading
import time
import types
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import msgspec

from vitbench.errors import VitbenchError
from vitbench.execution.executor import Ending, Executor, Handle, Job
from vitbench.execution.processes import SIGKILL, end_group, how_it_ended

__all__ = ["LocalExecutor"]

SILENCE_SECONDS = 600.0
"""Without a sign of life for so long, a process is taken for stuck."""
TERMINATE_SECONDS = 3.0
"""What a process group gets between SIGTERM and SIGKILL."""
LONGEST_SECONDS = 1e6
"""Of one wait, which the system counts in milliseconds of 31 bits; a longer one is made of several."""
BACKLOG_SECONDS = 1.0
"""For reading what a process said before its time was up."""
_MESSAGE, _ANSWER, _REFUSAL = b"m", b"a", b"r"
"""The first byte of what a child sends."""


@dataclass(kw_only=True, slots=True)
class _RunningJob:
    """A job whose process runs."""

    job: Job
    process: BaseProcess
    receiver: Connection
    leash: Connection
    """Held by this process: its end ends the child."""
    started: float = field(default_factory=time.monotonic)
    last_sign: float = field(default_factory=time.monotonic)
    """When it was last heard of."""
    killed_before: int
    """Processes that the system had killed for want of memory."""


class LocalExecutor(Executor):
    """Runs one job at a time, in the order of submission, so that each has the machine. Use it from one thread."""

    def __init__(self) -> None:
        """Choose the start method; nothing is started yet."""
        self._context: ForkServerContext | SpawnContext
        if sys.platform == "linux":
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload(["vitbench.worker.preload"])
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
            [(handle, call)] = self._running.items()
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
        if self._queue and not self._running:
            handle = next(iter(self._queue))
            self._running[handle] = self._start(self._queue.pop(handle))

    def _start(self, job: Job) -> _RunningJob:
        receiver, sender = self._context.Pipe(duplex=False)
        leash, held = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_child,
            args=(
                job.target,
                job.request,
                str(job.folder) if job.folder else None,
                sender,
                leash,
                str(job.log) if job.log else None,
                {**os.environ, **job.environment},
            ),
        )
        killed_before = _memory_kills()
        with _hidden_main():
            process.start()
        sender.close()
        leash.close()
        return _RunningJob(job=job, process=process, receiver=receiver, leash=held, killed_before=killed_before)

    def _end(self, handle: Handle) -> None:
        if call := self._running.pop(handle, None):
            _end_process(call.process)
            call.receiver.close()
            call.leash.close()


def _wait(call: _RunningJob) -> Ending[bytes]:
    """Sleep until the child answers, ends, or is out of time."""
    job, started, overdue = call.job, call.started, None
    while True:
        now = time.monotonic()
        left = (started + job.timeout if job.timeout is not None else call.last_sign + SILENCE_SECONDS) - now
        left = min(left, LONGEST_SECONDS)
        ready = multiprocessing.connection.wait([call.receiver, call.process.sentinel], max(left, 0))
        # Nobody may have waited meanwhile: what it said in time lies in the pipe, and is read first.
        overdue = (overdue or now) if left <= 0 else None
        if overdue and (not ready or now - overdue > BACKLOG_SECONDS):
            silent = f"no sign of life for {SILENCE_SECONDS:g} s"
            reason = silent if job.timeout is None else f"took more than {job.timeout:g} s"
            return Ending(kind="timeout", seconds=now - started, reason=reason)
        if call.receiver in ready:
            try:
                content = call.receiver.recv_bytes()
            except (EOFError, OSError):  # the pipe's other end is closed, and stays readable: waiting on it would spin
                multiprocessing.connection.wait([call.process.sentinel], max(left, 0))
                return Ending(kind="crashed", seconds=time.monotonic() - started)
            call.last_sign = time.monotonic()
            if ended := _told(content, call.last_sign - started):
                return ended
            if job.on_message:
                job.on_message(content[1:])
        elif call.process.sentinel in ready and not call.receiver.poll():
            return Ending(kind="crashed", seconds=time.monotonic() - started)


def _told(content: bytes, seconds: float) -> Ending[bytes] | None:
    """Return what a child's last word means; None for a message on its way, and for what no child of ours says."""
    kind, content = content[:1], content[1:]
    if kind == _ANSWER:
        return Ending(kind="answered", seconds=seconds, answer=content)
    if kind != _REFUSAL:
        return None
    exit_code, reason = msgspec.msgpack.decode(content, type=tuple[int, str])
    return Ending(kind="refused", seconds=seconds, reason=reason, exit_code=exit_code)


def _explained(ended: Ending[bytes], call: _RunningJob) -> Ending[bytes]:
    """Say how a process that gave no answer ended, now that it has."""
    if ended.kind != "crashed":
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


def _end_process(process: BaseProcess) -> None:
    """End a child and whatever it started."""
    process.join(0.05)
    if process.pid is None:
        return
    for number, patience in ((signal.SIGTERM, TERMINATE_SECONDS), (SIGKILL, 0.05)):
        end_group(process.pid, number)
        process.join(patience)
    if process.is_alive():  # it was not yet the leader of a group
        process.kill()
        process.join()


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
    log: str | None,
    environment: dict[str, str],
) -> None:
    """Run in the child: take leave of the parent's terminal, then call the target and send its answer."""
    if hasattr(os, "setsid"):
        os.setsid()
    threading.Thread(target=_die_with_parent, args=(leash,), daemon=True).start()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if log else os.dup(2)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    from vitbench.printable import plain
    from vitbench.specs import load_target

    encode = msgspec.msgpack.encode  # and not JSON, which cannot say that a loss became nan
    call = load_target(target)
    try:
        answer: msgspec.Struct = call(
            request,
            Path(folder) if folder else None,
            lambda message: sender.send_bytes(_MESSAGE + encode(message)),
        )
        last = _ANSWER + encode(answer)
    except VitbenchError as error:
        last = _REFUSAL + encode((error.exit_code, plain(str(error))))
    # Semaphores that libraries made (torch's compiler does) outlive a process that just stops, and are warned of later.
    multiprocessing.util._run_finalizers(0)  # type: ignore[attr-defined]
    sys.stdout.flush()
    sys.stderr.flush()
    sender.send_bytes(last)
    os._exit(0)  # all is said; what an interpreter tears down takes time and may print


def _die_with_parent(leash: Connection) -> None:
    """Sleep until the parent's end of the leash is gone, then end this process and what it started."""
    with contextlib.suppress(EOFError, OSError):
        leash.recv_bytes()
    if hasattr(os, "killpg"):
        os.killpg(0, SIGKILL)
    os._exit(1)
