"""The executor `local`: one function call in a process of its own, in its own process group, with a time-out.

On Linux a fork server with torch imported starts a process in about 0.1 s; elsewhere processes are spawned. The
request and the messages are bytes, nothing is pickled. The parent sleeps until a message comes, since a parent that
spins would disturb what the child times.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.util
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from typing import Literal

import msgspec

from vitbench.execution.messages import Answer, Examined, Message, Outcome, Progress, Refusal, Say

__all__ = ["Ending", "LocalExecutor"]

SILENCE_SECONDS = 600.0
"""Without a sign of life for so long, a process is taken for stuck."""
TERMINATE_SECONDS = 3.0
"""What a process group gets between SIGTERM and SIGKILL."""

Result = Outcome | Answer | Refusal | Examined


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a process ended."""

    kind: Literal["answered", "timeout", "oom", "crashed"]
    seconds: float
    result: Result | None = None
    """What it answered."""
    reason: str = ""
    """Why there is no answer."""


class LocalExecutor:
    """Runs functions ``bytes, send -> Outcome | Answer | Refusal`` in fresh processes, one at a time."""

    def __init__(self) -> None:
        """Choose the start method; nothing is started yet."""
        self._context: ForkServerContext | SpawnContext
        if sys.platform == "linux":
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload(["vitbench.worker.preload"])
        else:
            self._context = multiprocessing.get_context("spawn")

    def run(
        self,
        target: str,
        request: msgspec.Struct,
        *,
        on_message: Callable[[Progress | Say], None],
        timeout: float | None = None,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Ending:
        """Call ``target(request bytes, send)`` in a process of its own and wait for its answer.

        Args:
            target: import string of the function.
            request: encoded as msgspec JSON; messages and the answer come back as msgpack.
            on_message: gets progress and sentences as they come.
            timeout: seconds for the whole call; None: no limit but 600 s without a sign of life.
            log: file for the child's stdout and stderr; None: both go to this process's stderr.
            environment: variables to set in the child.
        """
        receiver, sender = self._context.Pipe(duplex=False)
        leash, held = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_child,
            args=(
                target,
                msgspec.json.encode(request),
                sender,
                leash,
                str(log) if log else None,
                {**os.environ, **(environment or {})},
            ),
        )
        killed_before = _memory_kills()
        started = time.monotonic()
        with _hidden_main():
            process.start()
        sender.close()
        leash.close()
        try:
            ending = _wait(receiver, process.sentinel, started, timeout, on_message)
        finally:
            _end_group(process)
            receiver.close()
            held.close()
        if ending.kind != "crashed":
            return ending
        if process.exitcode == -_SIGKILL and _memory_kills() > killed_before:
            words = "the system ran out of memory and killed the process"
            return Ending(kind="oom", seconds=ending.seconds, reason=words)
        return Ending(kind="crashed", seconds=ending.seconds, reason=_explain_exit(process.exitcode, log))


def _wait(
    receiver: Connection,
    sentinel: int,
    started: float,
    timeout: float | None,
    on_message: Callable[[Progress | Say], None],
) -> Ending:
    """Sleep until the child answers, ends, or is out of time."""
    decoder = msgspec.msgpack.Decoder(Message)
    last_sign = started
    while True:
        now = time.monotonic()
        left = started + timeout - now if timeout is not None else last_sign + SILENCE_SECONDS - now
        if left <= 0:
            words = (
                f"took more than {timeout:g} s" if timeout is not None else f"no sign of life for {SILENCE_SECONDS:g} s"
            )
            return Ending(kind="timeout", seconds=now - started, reason=words)
        ready = multiprocessing.connection.wait([receiver, sentinel], left)
        if receiver in ready:
            try:
                message = decoder.decode(receiver.recv_bytes())
            except (EOFError, OSError):  # the pipe's other end is closed, and stays readable: waiting on it would spin
                multiprocessing.connection.wait([sentinel], left)
                return Ending(kind="crashed", seconds=time.monotonic() - started)
            else:
                last_sign = time.monotonic()
                if isinstance(message, (Progress, Say)):
                    on_message(message)
                    continue
                return Ending(kind="answered", seconds=last_sign - started, result=message)
        if sentinel in ready and not receiver.poll():
            return Ending(kind="crashed", seconds=time.monotonic() - started)


def _memory_kills(counters: Path = Path("/proc/vmstat")) -> int:
    """Return how many processes Linux has killed for want of memory since it started; 0 where it does not tell."""
    try:
        lines = counters.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _explain_exit(code: int | None, log: Path | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; the system may have run out of memory" if name == "SIGKILL" else ""
        return f"the process was killed by {name}{hint}"
    return f"the process ended with exit code {code} before it answered{'; its log tells more' if log else ''}"


def _end_group(process: multiprocessing.process.BaseProcess) -> None:
    """End the child and whatever it started."""
    process.join(0.05)
    if process.pid is None:
        return
    for number, patience in ((signal.SIGTERM, TERMINATE_SECONDS), (_SIGKILL, 0.05)):
        with contextlib.suppress(OSError):
            _kill_group(process.pid, number)
        process.join(patience)
    if process.is_alive():  # it was not yet the leader of a group
        process.kill()
        process.join()


_SIGKILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def _kill_group(pid: int, number: int) -> None:
    if hasattr(os, "killpg"):
        os.killpg(pid, number)
    else:
        os.kill(pid, number)


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
    target: str, request: bytes, sender: Connection, leash: Connection, log: str | None, environment: dict[str, str]
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
    from vitbench.specs import load_target

    encode = msgspec.msgpack.encode  # and not JSON, which cannot say that a loss became nan
    answer: Result = load_target(target)(request, lambda message: sender.send_bytes(encode(message)))
    # Semaphores that libraries made (torch's compiler does) outlive a process that just stops, and are warned of later.
    multiprocessing.util._run_finalizers(0)  # type: ignore[attr-defined]
    sys.stdout.flush()
    sys.stderr.flush()
    sender.send_bytes(encode(answer))
    os._exit(0)  # all is said; what an interpreter tears down takes time and may print


def _die_with_parent(leash: Connection) -> None:
    """Sleep until the parent's end of the leash is gone, then end this process and what it started."""
    with contextlib.suppress(EOFError, OSError):
        leash.recv_bytes()
    if hasattr(os, "killpg"):
        os.killpg(0, _SIGKILL)
    os._exit(1)
