"""Find the image files that a list names: all inside the folder of the dataset, each once.

A list says its paths relative to the dataset's folder, or to one folder in it, such as ``images/`` or the folder of its
split. Names may lack the suffix of the file, as ids do, or be composed differently in the file system.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from vitbench.specs import SplitName

from . import folder
from .naming import OUTER_FOLDERS, is_text, listed, split_of

__all__ = ["Entry", "Finder", "Listing", "shown_path"]

_LOOKED_AT = 50
"""Entries of a list that decide which folder its paths start in."""
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class Entry(NamedTuple):
    """What a list says of one image."""

    line: int
    """Where it stands, from 1."""
    path: str
    """As it is written."""
    label: str


class Listing(NamedTuple):
    """A list of images with their labels."""

    name: str
    """The file that it was read from, for messages."""
    entries: Sequence[Entry]
    unit: str = "line"
    """What `Entry.line` counts."""

    def at(self, entry: Entry) -> str:
        """Return where an entry stands, in words."""
        return f"{self.name} {self.unit} {entry.line}"


def shown_path(path: str) -> str:
    """Return a path as text that can be printed."""
    return path if is_text(path) else path.encode("utf-8", "surrogateescape").decode("latin-1")


class Finder:
    """Finds the files of one dataset."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real_root = os.path.realpath(root)
        self._real_folder = cache(os.path.realpath)
        self._stems = cache(self._stems_in)

    def find(self, listing: Listing, split: SplitName | None) -> list[Path]:
        """Return the file of each entry.

        Raises:
            ValueError: one is not there, leads outside the dataset folder, or is listed twice; the sentence names the
                list and the line.
        """
        base = self.start(listing, split)
        found: list[Path] = []
        lines: dict[str, Entry] = {}
        for entry in listing.entries:
            path = self._file(base, entry.path, listing.at(entry))
            if path is None:
                raise ValueError(f"{listing.at(entry)}: there is no file {shown_path(self._inside(base, entry.path))}")
            first = lines.setdefault(path, entry)
            if first is not entry:
                under = f" under another label ({first.label!r})" if first.label != entry.label else ""
                raise ValueError(
                    f"{listing.at(entry)}: {shown_path(entry.path)} is listed already{under}, "
                    f"in {listing.unit} {first.line}"
                )
            found.append(Path(path))
        return found

    def finds_some(self, listing: Listing, split: SplitName | None) -> bool:
        """Whether one of the first entries names a file that is there; False where one leaves the folder."""
        try:
            base = self.start(listing, split)
            return any(self._file(base, entry.path, "") for entry in listing.entries[:_LOOKED_AT])
        except ValueError:
            return False

    def _inside(self, base: str, path: str) -> str:
        start = os.path.relpath(base, self._root)
        return path if start == "." else f"{start}/{path}"

    def start(self, listing: Listing, split: SplitName | None) -> str:
        """Return the folder that the paths of a list start in: the first that holds one of the first files.

        Raises:
            ValueError: several folders hold it, and nothing says which is meant.
        """
        for candidates in self._candidates(split):
            for entry in listing.entries[:_LOOKED_AT]:
                holding = [each for each in candidates if self._file(each, entry.path, listing.at(entry))]
                if len(holding) > 1:
                    names = listed([f"{os.path.relpath(each, self._root)}/" for each in holding])
                    raise ValueError(
                        f"{listing.at(entry)}: {shown_path(entry.path)} is in several folders, {names}; "
                        "write the folder before the name"
                    )
                if holding:
                    return holding[0]
        return str(self._root)

    def _candidates(self, split: SplitName | None) -> Iterable[list[str]]:
        """Give folders in the order in which they are tried; those of a group are as likely as one another."""
        inside = folder.folders_in(self._root)
        own = [each for each in inside if split and split in _splits_in_words(each.name)]
        usual = [each for each in inside if each.name.casefold() in OUTER_FOLDERS]
        yield [str(self._root)]
        yield from ([str(each)] for each in own)
        yield from ([str(each)] for each in usual)
        yield [str(each) for each in inside if each not in own and each not in usual]

    def _file(self, base: str, path: str, where: str) -> str | None:
        """Return the file that a path means; None where there is none.

        Raises:
            ValueError: it lies outside of the dataset's folder.
        """
        if "\\" in path and os.sep == "/" and not os.path.lexists(f"{base}/{path}"):  # written on Windows
            path = path if _DRIVE.match(path) else path.replace("\\", "/")
        if path.startswith(("/", "\\\\")) or _DRIVE.match(path):
            raise ValueError(f"{where}: {shown_path(path)} is an absolute path; write it relative to the folder")
        relative = os.path.normpath(path)
        if relative.split(os.sep, 1)[0] == "..":
            raise ValueError(f"{where}: {shown_path(path)} leads outside the dataset folder")
        whole = f"{base}{os.sep}{relative}"
        if self._is_file(whole, where):
            return whole
        forms = () if whole.isascii() else (unicodedata.normalize("NFC", whole), unicodedata.normalize("NFD", whole))
        for form in forms:
            if form != whole and self._is_file(form, where):
                return form
        parent, name = os.path.split(whole)
        if folder.is_image(name):
            return None
        alike = self._stems(parent).get(name, [])
        if len(alike) > 1:
            raise ValueError(f"{where}: {shown_path(path)} may be {listed(alike)}; add the suffix")
        found = f"{parent}{os.sep}{alike[0]}" if alike else ""
        return found if found and self._is_file(found, where) else None

    def _is_file(self, path: str, where: str) -> bool:
        try:
            status = os.lstat(path)
        except (OSError, ValueError):  # ValueError: a NUL in the name
            return False
        parent, name = os.path.split(path)
        real = self._real_folder(parent) + os.sep + name
        if stat.S_ISLNK(status.st_mode):
            real = os.path.realpath(path)
            if not os.path.isfile(real):  # noqa: PTH113
                return False
        elif not stat.S_ISREG(status.st_mode):
            return False
        if not real.startswith(f"{self._real_root}{os.sep}"):
            shown = shown_path(os.path.relpath(path, self._root))
            raise ValueError(f"{where}: {shown} leads outside the dataset folder through a link")
        return True

    def _stems_in(self, parent: str) -> dict[str, list[str]]:
        """Return the images of a folder by their names without the suffix."""
        found: dict[str, list[str]] = {}
        try:
            with os.scandir(parent) as entries:
                for entry in entries:
                    if folder.is_image(entry.name):
                        found.setdefault(os.path.splitext(entry.name)[0], []).append(entry.name)  # noqa: PTH122
        except OSError:
            return {}
        return {stem: sorted(names) for stem, names in found.items()}


def _splits_in_words(name: str) -> set[SplitName]:
    """Return the splits that words of a folder's name stand for: ``train_images``."""
    return {split for word in re.split(r"[\W\d_]+", name) if (split := split_of(word))}
