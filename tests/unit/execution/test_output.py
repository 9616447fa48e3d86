"""A log has a bound, and keeps how it begins and the last output."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from vitbench.execution import output
from vitbench.execution.output import Output


def told(log: Path | None, *pieces: bytes) -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    taken = Output(receiver, log)
    for piece in pieces:
        os.write(sender.fileno(), piece)
        assert taken.pass_on()
    os.write(sender.fileno(), b"what nobody waited for\n")
    taken.close()
    sender.close()


def test_a_log_is_added_to(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"before\n")
    told(tmp_path / "log", b"one\n", b"two\n")
    assert (tmp_path / "log").read_bytes() == b"before\none\ntwo\nwhat nobody waited for\n"


def test_what_there_is_no_room_for_is_left_out_but_for_the_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "ROOM", 10_000)
    monkeypatch.setattr(output, "_KEPT", 2_000)
    told(tmp_path / "log", *[b"%04d\n" % number * 200 for number in range(100)])
    content = (tmp_path / "log").read_bytes()
    assert len(content) < 13_000
    assert content.startswith(b"0000\n")
    assert b"\n... 88023 bytes are left out ...\n" in content
    assert content.endswith(b"0099\nwhat nobody waited for\n")


def test_the_last_words_may_come_in_many_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "ROOM", 10)
    told(tmp_path / "log", b"long enough\n", *[b"%d\n" % number for number in range(100)])
    assert b"\n0\n1\n" in (tmp_path / "log").read_bytes()


@pytest.mark.parametrize("log", [Path("/dev/full"), Path("/no/such/folder/log")])
def test_a_log_that_cannot_be_written_is_nobodys_affair(log: Path) -> None:
    told(log, b"one\n")
