"""Files that others may read or write at the same time: written atomically, and a folder for one process.

What a user names is opened only where it is a regular file, and read no further than it was long: no pipe without a
writer, no device and no log that grows holds a command up.

The lock is one of the operating system, which no crash leaves behind.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vitbench.errors import StoreError

__all__ = ["is_locked", "lock", "move_file", "opened", "read_file", "replace_file", "sha256_of"]

_LOOKS, _LOOK_SECONDS = 5, 0.02
"""How often and how long apart a lock is tried."""


_LARGEST = 2**40
"""Bytes of a file that is hashed; some that the system makes up claim more."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Raises:
        OSError: it is missing or cannot be read, or is a pipe, a socket, a device or a folder.
    """
    try:
        mode = path.stat().st_mode
    except ValueError as error:
        raise OSError(errno.EINVAL, "its name contains a null character") from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, not a file")
    # Not to be held up by a pipe that has just taken its place, nor by a file of the system's that waits for news.
    with os.fdopen(
        os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb"
    ) as file:
        yield file


def read_file(path: Path, *, most: int) -> bytes:
    """Return the content of a regular file of at most so many bytes.

    Raises:
        OSError: as `opened`, or it is longer.
    """
    with opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most / 2**20:g} MiB")
    return content


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a regular file, in hex.

    Raises:
        OSError: as `opened`; it is larger than 1 TiB, or longer than its size says, as one that grows.
    """
    digest, buffer = hashlib.sha256(), memoryview(bytearray(2**20))
    with opened(path) as file:
        left = os.fstat(file.fileno()).st_size
        if left > _LARGEST:
            raise OSError(errno.EFBIG, "it is larger than 1 TiB")
        while count := file.readinto(buffer):  # type: ignore[attr-defined]
            left -= count
            if left < 0:
                raise OSError(errno.EFBIG, "the file is still growing; give a finished one")
            digest.update(buffer[:count])
    return digest.hexdigest()


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` in the place of a file, which keeps its rights; through links, and into pipes and devices.

    Raises:
        StoreError: it cannot be written; the file is as it was.
    """
    temporary = None
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        target = path.resolve()
        temporary = target.with_name(f".vitbench-{os.getpid()}.part")
        temporary.write_bytes(content)
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from error


def move_file(source: Path, target: Path) -> None:
    """Move a file, onto another disk too; the target appears atomically.

    Raises:
        StoreError: it cannot be moved; the target is as it was.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        try:
            source.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.copyfile(source, part)
            part.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise StoreError(f"{target} cannot be written: {error.strerror}.") from error


@contextmanager
def lock(folder: Path, *, command: str = "vitbench run", remedy: str = "choose another --output") -> Iterator[None]:
    """Hold a folder, made where it is missing, for this process alone.

    The operating system drops the lock when the process ends in whatever way, so no stale lock is left; the file
    ``lock`` stays and says who holds it.

    Raises:
        StoreError: another process holds the folder, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written ({error.strerror}); {remedy}") from error
    try:
        try:
            _take_soon(descriptor)
        except OSError as error:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another vitbench process"
            raise StoreError(f"{holder} is using {folder}; wait for it or {remedy}") from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{command} (pid {os.getpid()} on {socket.gethostname()})\n".encode())
        yield
    finally:
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Return whether a process that is alive holds a folder's lock; also of a folder that may only be read."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        _take(descriptor, shared=True)  # for a moment, and beside others that look
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _take_soon(descriptor: int) -> None:
    """Take the lock, or raise OSError where it is not free within a moment: `is_locked` holds it for less."""
    for left in reversed(range(_LOOKS)):
        try:
            _take(descriptor)
        except OSError:
            if not left:
                raise
            time.sleep(_LOOK_SECONDS)
        else:
            return


if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int, *, shared: bool = False) -> None:
        # Windows locks bytes against reading, too: take one far behind the text.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _take(descriptor: int, *, shared: bool = False) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
