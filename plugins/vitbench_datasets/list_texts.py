"""Read a list of images in a text file: a path and a label on each line, separated by spaces or a tab.

Empty lines, comments (``#``), a byte order mark and the ends of lines of any system are read. A path that holds spaces
needs no quotes, since the label is what stands last.
"""

from __future__ import annotations

import codecs
import itertools
import re
from pathlib import Path

from . import folder
from .listed_files import Entry, Listing, shown_path

__all__ = ["lines_of", "read_list", "read_text"]

_MORE = 100
"""Lines beside those that are wanted: headers, comments, empty ones."""
_LINE_ENDS = re.compile(r"\r\n|\r|\n")


def read_list(path: Path, name: str, most: int | None = None) -> Listing:
    """Return what a list says, as far as its lines can be read.

    Args:
        path: the list.
        name: what it is called in messages.
        most: images to read; None: all.

    Raises:
        ValueError: it cannot be read, is empty, or a line is not a path and a label.
    """
    entries = []
    for number, line in enumerate(lines_of(read_text(path, name, most)), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        parts = text.rsplit("\t", 1) if "\t" in text else text.rsplit(None, 1)
        if len(parts) < 2:
            raise ValueError(f"{name} line {number}: {shown_path(text)[:80]!r} is not a path and a label")
        if folder.is_image(parts[1]) and not folder.is_image(parts[0]):
            raise ValueError(f"{name} line {number}: the label comes before the path; write the path first")
        entries.append(Entry(number, _unquoted(parts[0].rstrip()), parts[1].lstrip()))
        if len(entries) == most:
            break
    if not entries:
        raise ValueError(f"{name} line 1: the list is empty")
    return Listing(name, entries)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text as editors count them, which is not how Python splits it."""
    return _LINE_ENDS.split(text)


def read_text(path: Path, name: str, most: int | None = None) -> str:
    """Return the text of a file in UTF-8 or UTF-16; bytes that are neither are kept as they are in names of files.

    Args:
        path: the file.
        name: what it is called in messages.
        most: lines that are wanted, whole; None: all.

    Raises:
        ValueError: it is not text, or cannot be read.
    """
    if not path.is_file():  # a pipe would be waited for
        raise ValueError(f"cannot read {name}: it is not a file")
    try:
        with path.open("rb") as file:
            content = file.read() if most is None else b"".join(itertools.islice(file, most + _MORE))
    except OSError as error:
        raise ValueError(f"cannot read {name}: {error.strerror}") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    if b"\0" in content[:4096]:
        raise ValueError(f"cannot read {name}: it is not a text file")
    return content.decode("utf-8-sig", "surrogateescape")


def _unquoted(path: str) -> str:
    return path[1:-1] if len(path) > 2 and path[0] == path[-1] == '"' else path
