"""A file is replaced whole, or stays as it was; one run per output folder at a time, and the other is told which."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from vitbench.errors import StoreError
from vitbench.files import is_locked, lock, move_file, read_file, replace_file, sha256_of

HOLDER = """
import sys
from pathlib import Path
from vitbench.files import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_file_is_made_and_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    place = tmp_path / "a.md"
    for content in (b"one", b"two\r\n"):
        replace_file(place, content)
        assert place.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]


def made(kind: str, folder: Path) -> Path:
    """Return a path of a kind that is not a readable file."""
    place = folder / kind
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(place))
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "folder":
        place.mkdir()
    elif kind == "null":
        place = folder / "a\0b"
    return place


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such files")
@pytest.mark.parametrize("read", [sha256_of, partial(read_file, most=10)])
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("pipe", "it is a pipe, a socket or a device, not a file"),
        ("socket", "it is a pipe, a socket or a device, not a file"),
        ("device", "it is a pipe, a socket or a device, not a file"),
        ("folder", "Is a directory"),
        ("missing", "No such file or directory"),
        ("null", "its name contains a null character"),
    ],
)
def test_what_is_no_file_is_not_waited_for(
    kind: str, words: str, read: Callable[[Path], object], tmp_path: Path
) -> None:
    with pytest.raises(OSError, match=words) as caught:
        read(made(kind, tmp_path))
    assert caught.value.strerror == words


@pytest.mark.skipif(sys.platform != "linux", reason="it takes files that the system makes up")
def test_a_file_is_read_no_further_than_it_was_long(tmp_path: Path) -> None:
    place = tmp_path / "a"
    place.write_bytes(b"0123456789")
    assert read_file(place, most=10) == b"0123456789"
    assert sha256_of(place) == hashlib.sha256(b"0123456789").hexdigest()
    with pytest.raises(OSError, match="it is larger than"):
        read_file(place, most=9)
    with pytest.raises(OSError, match="the file is still growing"):
        sha256_of(Path("/proc/self/status"))  # of no bytes, it says
    with place.open("wb") as file:
        file.truncate(2**41)  # with a hole
    with pytest.raises(OSError, match="it is larger than 1 TiB"):
        sha256_of(place)


def test_rights_and_links_are_kept(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    replace_file(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_failure_leaves_the_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a.md"
    place.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match=r"a\.md cannot be written: No space left on device\."):
        replace_file(place, b"new")
    assert place.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory"):
        replace_file(tmp_path / "no" / "a.md", b"x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_written_into_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        replace_file(pipe, b"through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.process
def test_one_run_holds_a_folder_and_the_other_is_told_which(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(StoreError) as error, lock(tmp_path):
        pass
    message = str(error.value)
    assert message.startswith(f"vitbench run (pid {child.pid} on ")
    assert message.endswith(f"is using {tmp_path}; wait for it or choose another --output")
    assert is_locked(tmp_path)
    child.kill()
    child.communicate()
    assert not is_locked(tmp_path)
    with lock(tmp_path, command="vitbench import"):
        assert (tmp_path / "lock").read_text().startswith(f"vitbench import (pid {os.getpid()} on ")


def test_the_lock_is_dropped_at_the_end_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), lock(tmp_path):
        raise RuntimeError("stop")
    with lock(tmp_path), pytest.raises(StoreError, match=f"pid {os.getpid()}"), lock(tmp_path):
        pass


def test_who_looks_whether_a_folder_is_locked_keeps_nobody_from_locking_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_locked(tmp_path)
    with lock(tmp_path):
        assert is_locked(tmp_path)
    looking = (tmp_path / "lock").open()
    fcntl = pytest.importorskip("fcntl")
    fcntl.flock(looking, fcntl.LOCK_SH)  # as another process that looks at just this moment
    assert not is_locked(tmp_path)
    monkeypatch.setattr("vitbench.files.time.sleep", lambda _: looking.close())
    with lock(tmp_path):
        assert is_locked(tmp_path)


def test_a_file_moves_to_another_disk_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("new")
    target.write_text("old")
    replace = Path.replace

    def across_disks(self, other):
        if self == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", across_disks)
    move_file(source, target)
    assert target.read_text() == "new"
    monkeypatch.setattr(shutil, "copyfile", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "disk full")))
    with pytest.raises(StoreError, match="b cannot be written: disk full"):
        move_file(source, target)
    assert target.read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
