"""Someone else's results folder, or a zip archive of one: copied into a folder of ours, as far as it is harmless.

Only the store, predictions, scores and weights are taken, by names that are known beforehand: no other name in it is
ever a path. Links are not followed, and sizes are bounded before anything is read.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from vitbench.errors import StoreError
from vitbench.store import FILE_NAME

__all__ = ["KINDS", "unpack"]

KINDS = {"predictions": ".npz", "scores": ".npz", "weights": ".safetensors"}
"""Folders whose files are imported, and how the names of these end."""
MOST_MEMBERS = 100_000
LARGEST_STORE = 2**31
LARGEST_FILE = 2**33
LARGEST_ALL = 2**36
"""Bytes."""
MOST_EXPANDED = 50
"""How much larger an archive may become: a store shrinks to a tenth, weights and predictions hardly."""
_CHUNK = 2**20


def unpack(given: Path, place: Path) -> None:
    """Copy what is imported of a results folder or of an archive of one into an empty folder.

    Raises:
        StoreError: there is none, it cannot be read, or it holds what no results folder does.
    """
    try:
        mode = given.stat().st_mode  # the user names it, through a link perhaps
        if stat.S_ISDIR(mode):
            _copy_folder(given, place)
        elif stat.S_ISREG(mode) and zipfile.is_zipfile(given):
            _extract(given, place)
        else:
            raise StoreError(f"{given} is neither a results folder nor a zip archive of one.")
    except (
        OSError,
        zipfile.BadZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        UnicodeError,
        ValueError,
    ) as error:
        words = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
        raise StoreError(f"{given} cannot be read: {words}.") from error


def _copy_folder(given: Path, place: Path) -> None:
    for journal in ("-journal", "-wal"):
        left = given / f"{FILE_NAME}{journal}"
        if os.path.lexists(left) and left.lstat().st_size:
            raise StoreError(f"{given} is being written, or was cut short; run vitbench leaderboard there first.")
    taken = _Taken()
    for name in (FILE_NAME, *_names_in(given)):
        source = given / name
        if not os.path.lexists(source):
            continue
        if not stat.S_ISREG(source.lstat().st_mode):
            raise StoreError(f"{given}: {name} is a link, a pipe or a device, not a file; it is refused.")
        # O_NOFOLLOW: not through a link that has just taken its place.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(source, flags), "rb") as file:
            taken.write(file, place, name)


def _names_in(given: Path) -> Iterator[str]:
    for kind in KINDS:
        folder = given / kind
        if folder.is_symlink():
            raise StoreError(f"{given}: {kind} is a link, not a folder; it is refused.")
        if folder.is_dir():
            for number, entry in enumerate(os.scandir(folder)):
                if number >= MOST_MEMBERS:
                    raise StoreError(f"{given}: {kind} holds more than {MOST_MEMBERS:,} files; it is refused.")
                if is_taken(kind, entry.name):
                    yield f"{kind}/{entry.name}"


def is_taken(kind: str, name: str) -> bool:
    """Return whether a file of this name in a folder of results is that of a cell."""
    return kind in KINDS and re.fullmatch(r"[0-9a-f]{16}", name.removesuffix(KINDS[kind])) is not None


def _extract(given: Path, place: Path) -> None:
    with zipfile.ZipFile(given) as archive:
        members = archive.infolist()
        if len(members) > MOST_MEMBERS:
            raise StoreError(f"{given} holds more than {MOST_MEMBERS:,} files; it is refused.")
        most = MOST_EXPANDED * max(given.stat().st_size, 1)
        if sum(member.file_size for member in members) > min(most, LARGEST_ALL):
            raise StoreError(f"{given} would become more than {MOST_EXPANDED} times as large; it is refused.")
        for member in members:
            _refuse_member(given, member)
        stores = [member.filename for member in members if member.filename.rpartition("/")[2] == FILE_NAME]
        if len(stores) != 1:
            found = f"{len(stores)} stores" if stores else f"no {FILE_NAME}"
            raise StoreError(f"{given} holds {found}; give a zip archive of one results folder.")
        root, taken = stores[0].removesuffix(FILE_NAME), _Taken()
        for member in members:
            if member.is_dir() or not member.filename.startswith(root):
                continue
            name = member.filename.removeprefix(root)
            kind, _, last = name.partition("/")
            if name == FILE_NAME or is_taken(kind, last):
                with archive.open(member) as file:
                    taken.write(file, place, name)


def _refuse_member(given: Path, member: zipfile.ZipInfo) -> None:
    """Refuse an archive with a path that leads out of it or with a link, even where it would not be taken."""
    name = member.filename
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in member.orig_filename or ":" in parts[0]:
        raise StoreError(f"{given} holds the path {name!r}, which leads outside it; it is refused.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise StoreError(f"{given} holds the link {name!r}; it is refused.")
    if member.flag_bits & 1:
        raise StoreError(f"{given} is encrypted; unpack it and give the folder.")


class _Taken:
    """Writes files, and counts what they come to: what an archive says of its sizes may be wrong."""

    def __init__(self) -> None:
        self._left = LARGEST_ALL

    def write(self, source: IO[bytes], place: Path, name: str) -> None:
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        most = min(self._left, LARGEST_STORE if name == FILE_NAME else LARGEST_FILE)
        copied = 0
        with target.open("xb") as file:
            while chunk := source.read(_CHUNK):
                copied += len(chunk)
                if copied > most:
                    raise StoreError(f"{name} is larger than {most / 2**30:g} GiB; it is refused.")
                file.write(chunk)
        self._left -= copied
