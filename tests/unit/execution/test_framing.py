"""Messages come whole and in order, in whatever pieces; what no child of ours sends is found."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

from vitbench.execution import framing
from vitbench.execution.framing import CutShortError, Incoming, NotOursError, packed


@pytest.fixture
def pipe() -> Iterator[tuple[Incoming, Connection]]:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    yield Incoming(receiver), sender
    receiver.close()
    sender.close()


def test_messages_come_whole_and_in_order_in_whatever_pieces(pipe: tuple[Incoming, Connection]) -> None:
    incoming, sender = pipe
    sender.send_bytes(packed(b"m", b"first"))
    sender.send_bytes(packed(b"a", b""))
    content = os.read(incoming.connection.fileno(), 1000)
    found = []
    for place in range(len(content)):
        os.write(sender.fileno(), content[place : place + 1])
        found += incoming.read()
    assert found == [(b"m", b"first"), (b"a", b"")]
    sender.close()
    with pytest.raises(EOFError):
        incoming.read()


@pytest.mark.parametrize(
    "content",
    [
        b"some text of a library\n",
        b"\0\0\0\6abcdef",
        b"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xff\xff\xff\xfe",
    ],
)
def test_other_bytes_are_not_ours(content: bytes, pipe: tuple[Incoming, Connection]) -> None:
    incoming, sender = pipe
    os.write(sender.fileno(), content)
    with pytest.raises(NotOursError):
        incoming.read()


def test_a_message_that_was_cut_is_told_from_others_bytes(pipe: tuple[Incoming, Connection]) -> None:
    incoming, sender = pipe
    os.write(sender.fileno(), b"\0\1\0\0abc")
    assert incoming.read() == []
    sender.close()
    with pytest.raises(CutShortError):
        incoming.read()


def test_no_larger_message_is_sent_than_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "LARGEST", 100)
    with pytest.raises(ValueError, match="at most 100"):
        packed(b"a", bytes(100))
