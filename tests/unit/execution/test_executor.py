"""The edge of any executor: requests, messages and answers as types here, as bytes beyond it. No process is started."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import pytest

from vitbench.errors import NothingSelectedError, UnusableError, UsageError
from vitbench.execution.executor import Ending, Executor, Handle, Job, Needs
from vitbench.execution.messages import CellResult, Message, Progress, Say


class Scripted(Executor):
    """Ends each job as it is told to, after some messages."""

    def __init__(self, ended: Ending[bytes] | BaseException, *messages: msgspec.Struct | bytes) -> None:
        self.ended, self.messages = ended, messages
        self.jobs: list[Job] = []
        self.cancelled: list[Handle] = []

    def submit(self, job: Job) -> Handle:
        self.jobs.append(job)
        return Handle(len(self.jobs))

    def wait(self, handles: Collection[Handle]) -> dict[Handle, Ending[bytes]]:
        [handle] = handles
        told = self.jobs[-1].on_message
        for message in self.messages:
            if told:
                told(message if isinstance(message, bytes) else msgspec.msgpack.encode(message))
        if isinstance(self.ended, BaseException):
            raise self.ended
        return {handle: self.ended}

    def cancel(self, handle: Handle) -> None:
        self.cancelled.append(handle)


def answering(answer: msgspec.Struct) -> Ending[bytes]:
    return Ending(kind="answered", seconds=1.5, answer=msgspec.msgpack.encode(answer))


def test_request_and_answer_are_types_here_and_bytes_there() -> None:
    executor = Scripted(answering(CellResult(status="ok", reason="a text")))
    ending = executor.run("module:function", Say(text="asked"), CellResult, needs=Needs(cores=2), timeout=3.0)
    assert ending == Ending(kind="answered", seconds=1.5, answer=CellResult(status="ok", reason="a text"))
    [job] = executor.jobs
    assert (job.target, job.needs, job.timeout) == ("module:function", Needs(cores=2), 3.0)
    assert msgspec.msgpack.decode(job.request) == {"text": "asked", "type": "Say"}
    assert job.on_message is None, "nobody wants them, so nobody decodes them"


def test_messages_come_decoded_in_order_and_what_nobody_asked_for_is_passed_over() -> None:
    sent = (Progress(epoch=1, epochs=2), CellResult(status="ok"), b"\xc1 is no msgpack", Say(text="half way"))
    found: list[object] = []
    executor = Scripted(answering(CellResult(status="ok")), *sent)
    executor.run("m:f", Say(text=""), CellResult, message=Message, on_message=found.append)
    assert found == [sent[0], sent[3]]


def test_an_answer_of_another_type_is_a_crash_that_says_so() -> None:
    ending = Scripted(answering(Say(text="no result of a cell"))).run("m:f", Say(text=""), CellResult)
    assert (ending.kind, ending.answer, ending.seconds) == ("crashed", None, 1.5)
    assert ending.reason.startswith("its answer cannot be read: ")


def test_an_end_without_an_answer_keeps_its_reason_and_exit_code() -> None:
    ended: Ending[bytes] = Ending(kind="refused", seconds=2.0, reason="no such thing", exit_code=2)
    ending = Scripted(ended).run("m:f", Say(text=""), CellResult)
    assert ending == Ending(kind="refused", seconds=2.0, reason="no such thing", exit_code=2)


@pytest.mark.parametrize("ended", [KeyboardInterrupt(), answering(CellResult(status="ok"))], ids=["Ctrl-C", "answer"])
def test_whatever_ends_the_wait_ends_the_job(ended: Ending[bytes] | BaseException) -> None:
    executor = Scripted(ended)
    if isinstance(ended, BaseException):
        with pytest.raises(KeyboardInterrupt):
            executor.run("m:f", Say(text=""), CellResult)
    else:
        executor.run("m:f", Say(text=""), CellResult)
    assert executor.cancelled == [1]


def test_an_answer_is_returned_even_where_it_is_empty() -> None:
    assert Ending(kind="answered", seconds=1.0, answer=()).answered("looking") == ()


@pytest.mark.parametrize(
    ("ending", "error", "words"),
    [
        (Ending(kind="refused", seconds=1.0, reason="no such thing", exit_code=2), UsageError, "no such thing"),
        (Ending(kind="refused", seconds=1.0, reason="empty", exit_code=5), NothingSelectedError, "empty"),
        (Ending(kind="timeout", seconds=1.0, reason="took long"), UnusableError, "looking failed: took long"),
        (Ending(kind="crashed", seconds=1.0, reason="died"), UnusableError, "looking failed: died"),
    ],
    ids=["usage", "nothing", "timeout", "crashed"],
)
def test_where_the_answer_is_needed_its_lack_is_an_error(
    ending: Ending[object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"^{words}$") as raised:
        ending.answered("looking")
    assert type(raised.value) is error
