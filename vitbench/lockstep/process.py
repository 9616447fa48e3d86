"""The parent's end of a live worker: start it, have it run a block, sleep until it answers, end it. And what the
two say to each other; the other end is vitbench/lockstep/worker.py.

A worker is one process with a session and process group of its own, so that all it started ends with it. What it
writes to stdout or stderr is kept for the sentence that says why it died.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from vitbench.catalog.discovery import PluginSelection
from vitbench.errors import VitbenchError
from vitbench.execution.processes import end_group, how_it_ended, last_words
from vitbench.records import KeyedCell, SpeedCell

__all__ = ["Failed", "LiveWorker", "LockstepError", "Order", "Ran", "Ready", "Reply", "RunCalls", "Side", "live_worker"]


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all messages."""


class Order(_Message, frozen=True, kw_only=True):
    """To the worker, first: what to build."""

    planned: KeyedCell
    """A speed cell."""
    target: str
    """Import string of the block maker."""
    plugins: PluginSelection | None = None
    """Which plugins to load; None: what the worker's own environment says."""


class RunCalls(_Message, frozen=True, kw_only=True):
    """To the worker: run one block."""

    calls: int


class Ready(_Message, frozen=True, kw_only=True, tag=True):
    """From the worker: all is built; nothing has been called."""


class Ran(_Message, frozen=True, kw_only=True, tag=True):
    """From the worker: the block is done, and all threads are at rest."""

    seconds: float
    """Wall time of the block; where each call is synchronised, the number of calls times their median."""
    remarks: tuple[str, ...] = ()
    """What may make it doubtful, in words."""
    disturbance: float = 0.0
    """Share of the processor that the machine took from the block, 0 to 1; 1 where a GPU was taken."""


class Failed(_Message, frozen=True, kw_only=True, tag=True):
    """From the worker: it is over, and why."""

    reason: str


Reply = Ready | Ran | Failed
_Reply = TypeVar("_Reply", Ready, Ran)


class LockstepError(VitbenchError):
    """A worker failed, died or was silent for too long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One of the two that are compared."""

    planned: KeyedCell
    """A speed cell."""
    label: str
    """Its name in sentences."""
    python: str = sys.executable
    """The interpreter, in whose environment vitbench and the model's plugin are installed."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables over those of this process."""
    cwd: Path | None = None
    """Working folder; None: that of this process."""
    target: str = "vitbench.lockstep.worker:model_block"
    """Import string of the block maker; see `vitbench.lockstep.worker.Maker`."""
    plugins: PluginSelection | None = None
    """Which plugins its worker loads; None: what its environment says."""

    @property
    def cell(self) -> SpeedCell:
        """What is timed."""
        assert isinstance(self.planned.cell, SpeedCell)
        return self.planned.cell


@contextlib.contextmanager
def live_worker(side: Side, *, timeout: float) -> Iterator[LiveWorker]:
    """Start a worker and give it its order; its first answer is `Ready`. On the way out it ends, whatever it does.

    Args:
        side: what to run, and where.
        timeout: seconds that each answer may take.

    Raises:
        LockstepError: the interpreter cannot be started.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                [side.python, "-m", "vitbench.lockstep.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                cwd=side.cwd,
                env={**os.environ, **side.environment},
                start_new_session=True,
            )
        except OSError as error:
            raise LockstepError(f"{side.label}: cannot start {side.python}: {error}") from error
        with process:
            worker = LiveWorker(side.label, process, errors, timeout)
            try:
                worker.send(Order(planned=side.planned, target=side.target, plugins=side.plugins))
                yield worker
            finally:
                worker.end()


class LiveWorker:
    """A live worker's process, as its parent sees it."""

    def __init__(self, label: str, process: subprocess.Popen[bytes], errors: IO[bytes], timeout: float) -> None:
        self._label, self._process, self._errors, self._timeout = label, process, errors, timeout
        self._late = False

    def run(self, calls: int) -> Ran:
        """Have one block run; raises as `answer` does. The remarks name the side."""
        self.send(RunCalls(calls=calls))
        ran = self.answer(Ran)
        return msgspec.structs.replace(ran, remarks=tuple(f"{self._label}: {remark}" for remark in ran.remarks))

    def answer(self, wanted: type[_Reply]) -> _Reply:
        """Sleep until the worker answers.

        Raises:
            LockstepError: the answer is a failure or not the one wanted, is late, or will never come.
        """
        assert self._process.stdout is not None
        watch = threading.Timer(self._timeout, self._give_up)
        watch.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watch.cancel()
            watch.join()  # so that it does not kill later, when the number may be another process's
        if self._late:
            raise self._error(f"took more than {self._timeout:g} s")
        if not line:
            self.end()  # what closed its end of the pipe is ending, and has its own exit code already
            raise self._error(self._how_it_ended())
        try:
            answer = msgspec.json.decode(line, type=Reply)
        except msgspec.DecodeError as error:
            raise self._error(f"its vitbench is of another version and gave an unknown answer: {error}") from error
        if isinstance(answer, Failed):
            raise self._error(answer.reason)
        if not isinstance(answer, wanted):
            raise self._error(f"answered {type(answer).__name__} where {wanted.__name__} was expected")
        return answer

    def send(self, message: Order | RunCalls) -> None:
        """Tell the worker something."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead; what it should have answered is missed at once
            self._process.stdin.write(msgspec.json.encode(message) + b"\n")

    def end(self) -> None:
        """End the process, and whatever it started; nothing happens where that is done."""
        if self._process.returncode is None:  # once waited for, its number may be another process's
            end_group(self._process.pid)
            self._process.wait()

    def _give_up(self) -> None:
        self._late = True
        end_group(self._process.pid)

    def _how_it_ended(self) -> str:
        code = self._process.returncode
        how = f"its process {how_it_ended(code)}"
        self._errors.seek(0)
        return how if code < 0 else f"{how}: {last_words(self._errors.read()) or 'it said nothing'}"

    def _error(self, words: str) -> LockstepError:
        return LockstepError(f"{self._label}: {words}")
