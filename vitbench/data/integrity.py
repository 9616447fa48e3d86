"""Whether files are as they were: the dataset's own, and the arrays that the cache holds.

A file is taken to be unchanged while its size, its inode and both of its times are. A program may set the time of
modification as it likes, and archives and copies do; the system alone sets the time of change, and a file that takes
another's name keeps its own inode.
"""

from __future__ import annotations

import hashlib
from os import stat_result
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["ArrayFile", "Stamp", "array_file", "digest_of", "has_stamp", "holds", "stamp_of"]

Stamp = tuple[int, int, int, int]
"""Bytes, inode, times of modification and of change in nanoseconds."""


class ArrayFile(msgspec.Struct, frozen=True):
    """An array in the cache: ``labels`` int64[N] or ``images`` uint8[N, C, H, W]."""

    stamp: Stamp
    sha256: str
    """Over the labels, or over the digests of all images."""


def stamp_of(status: stat_result) -> Stamp:
    """Return what changes when a file does."""
    return status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def digest_of(array: NDArray[Any]) -> bytes:
    """Return the SHA-256 of an array's shape and values."""
    return hashlib.sha256(np.array(array.shape, "<i8").tobytes() + array.tobytes()).digest()


def array_file(path: Path, sha256: str) -> ArrayFile:
    """Describe a file that has just been written."""
    return ArrayFile(stamp_of(path.stat()), sha256)


def has_stamp(path: Path, file: ArrayFile) -> bool:
    """Whether a file looks unchanged, which takes no time to see. Raises FileNotFoundError."""
    return stamp_of(path.stat()) == file.stamp


def holds(path: Path, file: ArrayFile, rows: NDArray[np.int64] | None = None) -> bool:
    """Whether a file holds what it held when it was written; reads all of it. Raises FileNotFoundError.

    `rows` are those of images that were ever written; None: all.
    """
    try:
        array = np.load(path, mmap_mode="r")
    except (ValueError, EOFError):  # its head is damaged
        return False
    if array.ndim == 1:
        return array.dtype == np.int64 and digest_of(array).hex() == file.sha256
    whole = hashlib.sha256()
    for row in range(len(array)) if rows is None else rows:
        whole.update(digest_of(array[row]))
    return array.dtype == np.uint8 and whole.hexdigest() == file.sha256
