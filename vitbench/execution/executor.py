"""The executor: one function call elsewhere, bytes and files in, bytes and files out. A protocol that knows no feature.

`submit` hands a job over, `wait` sleeps until one of some jobs has ended, `cancel` ends one; `run` is the three for a
single job. What a job asks, says on its way and answers are msgspec types that the caller and the target agree on:
they are encoded and decoded here at the edge, and never looked into. Files travel in one folder.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, NewType, Protocol, TypeVar

import msgspec

from vitbench.errors import UnusableError, VitbenchError, error_of
from vitbench.records import Place

__all__ = ["Ending", "Executor", "Handle", "Job", "Needs", "Send", "decoded", "job_of"]

Answer = TypeVar("Answer")
Handle = NewType("Handle", int)
"""A job that was submitted, by number."""
Send = Callable[[msgspec.Struct], None]
"""What a target calls to say something on its way; each message is a sign of life, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What a job needs of the place where it runs."""

    cores: int = 1
    """Threads that it computes with."""
    device: str = "cpu"
    """As torch names it: ``cpu``, ``cuda:0``, ``mps``; or ``auto``, the best that there is."""
    alone: bool = False
    """Whether nothing else may run on the machine, since it times something."""
    series: str = ""
    """Jobs of one series run on one machine, which is theirs from the first of them until `Executor.release`."""
    seconds: float = 0.0
    """How long it is expected to take; 0: nothing says. Where there are several machines, it helps to choose one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One call."""

    target: str
    """Import string of the function ``target(request, folder, send) -> msgspec.Struct``: it gets the bytes of the
    request, the folder (None: there is none) and a `Send`, and may raise a `VitbenchError` to refuse."""
    request: bytes
    """msgspec msgpack."""
    needs: Needs = field(default_factory=Needs)
    folder: Path | None = None
    """Its files: what lies there goes with it, what the target writes there comes back."""
    on_message: Callable[[bytes], None] | None = None
    """Gets each message as it comes, while somebody waits; None: nobody wants them."""
    timeout: float | None = None
    """Seconds from its start to its answer; None: no limit, but to give signs of life."""
    log: Path | None = None
    """File for what the target and its children print, on a crash too; None: this process's stderr."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables, over those of the process that submits the job."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending(Generic[Answer]):
    """How a job ended; its answer in bytes, or decoded."""

    kind: Literal["answered", "refused", "timeout", "oom", "crashed"]
    seconds: float
    answer: Answer | None = None
    """Given where it is of the kind `answered`."""
    reason: str = ""
    """Why there is no answer."""
    exit_code: int = VitbenchError.exit_code
    """Of a refusal."""
    place: Place | None = None
    """Where it ran; None: on this machine."""
    lost: bool = False
    """Whether the machine or its connection failed and not the call, which may succeed elsewhere."""

    def answered(self, doing: str) -> Answer:
        """Return the answer of a job that the user's command cannot do without.

        Args:
            doing: what failed, for the sentence: "preparing the run".

        Raises:
            VitbenchError: the target's own refusal; or UnusableError, for there is no answer.
        """
        if self.answer is not None:
            return self.answer
        if self.kind == "refused":
            raise error_of(self.exit_code, self.reason)
        raise UnusableError(f"{doing} failed: {self.reason}")


class Executor(Protocol):
    """Runs jobs somewhere."""

    @property
    def parallel(self) -> int:
        """How many jobs are worth submitting at once."""
        return 1

    @property
    def machines(self) -> int:
        """How many machines there are."""
        return 1

    @property
    def elsewhere(self) -> bool:
        """Whether jobs run where the files of this machine may not be."""
        return False

    @abstractmethod
    def submit(self, job: Job) -> Handle:
        """Hand a job over. It starts at once where what it needs is free, else at the latest while somebody waits.

        Messages come, and time limits are kept, while somebody waits.
        """

    @abstractmethod
    def wait(self, handles: Collection[Handle]) -> dict[Handle, Ending[bytes]]:
        """Sleep until one or more of some jobs have ended; return these, which are then forgotten.

        Raises:
            KeyError: a handle is unknown, or was returned before.
        """

    @abstractmethod
    def cancel(self, handle: Handle) -> None:
        """End a job and all that it started, and forget it; nothing happens where that is done."""

    def release(self, series: str) -> None:
        """Let the machine of a series go: no job of it will be submitted any more."""
        return  # this machine runs one job at a time, whatever it is of

    def admit(self, job: Job, refusal: Callable[[Ending[bytes]], str]) -> None:
        """Have this job run once on each machine before any other does, where these are not this machine.

        Args:
            job: asks whether the machine is suitable.
            refusal: returns why it will not, given how the job ended there; empty: it will.
        """
        return  # this machine made the plan

    def run(
        self,
        target: str,
        request: msgspec.Struct,
        answer: type[Answer],
        *,
        message: Any = None,
        on_message: Callable[[Any], None] | None = None,
        needs: Needs | None = None,
        folder: Path | None = None,
        timeout: float | None = None,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Ending[Answer]:
        """Call a target and wait for its answer; whatever ends the wait ends the call.

        Args:
            target, needs, folder, timeout, log, environment: as in `Job`.
            request: what the target is asked.
            answer: the type of what it answers. What is no such thing ends it as `crashed`.
            message: the type of what it says on its way, perhaps a union; what is no such thing is passed over.
            on_message: gets that, decoded. Give both or neither.
        """
        handle = self.submit(
            job_of(
                target,
                request,
                message=message,
                on_message=on_message,
                needs=needs,
                folder=folder,
                timeout=timeout,
                log=log,
                environment=environment,
            )
        )
        try:
            ended = self.wait([handle])[handle]
        finally:
            self.cancel(handle)
        return decoded(ended, answer)


def job_of(
    target: str,
    request: msgspec.Struct,
    *,
    message: Any = None,
    on_message: Callable[[Any], None] | None = None,
    needs: Needs | None = None,
    folder: Path | None = None,
    timeout: float | None = None,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Job:
    """Return the job of a call, with arguments as `Executor.run` takes them."""
    assert (message is None) == (on_message is None), "a message needs a type and a handler"
    return Job(
        target=target,
        request=msgspec.msgpack.encode(request),
        needs=needs or Needs(),
        folder=folder,
        on_message=_decoding(message, on_message) if on_message else None,
        timeout=timeout,
        log=log,
        environment=environment or {},
    )


def decoded(ended: Ending[bytes], answer: type[Answer]) -> Ending[Answer]:
    """Return how a call ended with its answer as a type; an answer of another type ends it as `crashed`."""
    given = None
    kind, reason = ended.kind, ended.reason
    if ended.answer is not None:
        try:
            given = msgspec.msgpack.decode(ended.answer, type=answer)
        except msgspec.DecodeError as error:
            kind, reason = "crashed", f"its answer cannot be read: {error}"
    return Ending(
        kind=kind,
        seconds=ended.seconds,
        answer=given,
        reason=reason,
        exit_code=ended.exit_code,
        place=ended.place,
        lost=ended.lost,
    )


def _decoding(message: Any, on_message: Callable[[Any], None]) -> Callable[[bytes], None]:
    decoder = msgspec.msgpack.Decoder(message)

    def decode(content: bytes) -> None:
        try:
            decoded = decoder.decode(content)
        except msgspec.DecodeError:  # it is a sign of life all the same
            return
        on_message(decoded)

    return decode
