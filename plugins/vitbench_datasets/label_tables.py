"""Read labels of images from a table: CSV with a header, JSON, or JSON lines, as people and Kaggle write them.

::

    filename,label,split         {"a.png": "cat", "b.png": "dog"}         {"file_name": "a.png", "label": 0}
    a.png,cat,train              [{"file": "a.png", "class": "cat"}]      {"file_name": "b.png", "label": 1}

Which columns hold the path, the label and perhaps the split, their names say; of two columns the one beside the path is
the label, whatever it is called. Values are texts: a number in JSON is the text that it is written as.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vitbench.specs import SplitName

from . import folder
from .list_texts import lines_of, read_text
from .listed_files import Entry, Listing
from .naming import listed, split_of

__all__ = ["SUFFIXES", "Columns", "LabelTable", "read_table"]

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
_PATHS = (
    *("path", "file", "filename", "file_name", "filepath", "file_path", "image_path", "img_path", "image_file"),
    *("image_name", "image", "img", "image_id", "id_code", "id"),
)
"""Names of the column of paths, in the order in which they are taken."""
_LABELS = ("label", "class", "class_name", "label_name", "category", "target", "labels", "class_id", "label_id", "y")
_SPLITS = ("split", "subset", "partition", "set")
_NUMBERED = re.compile(r"(?:unnamed: ?\d+|index)?", re.IGNORECASE)
"""Names of the column of row numbers that pandas writes."""
_LISTS = ("labels", "annotations", "images", "data", "records", "samples")
"""Keys of a JSON object that hold its list of records."""
_WORDS = {"header": "the first line of a CSV file names its columns, such as path,label"}


class Columns(NamedTuple):
    """The columns that the user names; empty where their names say which they are."""

    path: str = ""
    label: str = ""
    split: str = ""

    @property
    def words(self) -> str:
        """Which column is which, in words."""
        split = f", split from {self.split}" if self.split else ""
        return f"path from column {self.path}, label from {self.label}{split}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelTable:
    """What a table says."""

    listings: Mapping[SplitName | None, Listing]
    """The images of each split; under None where nothing in the table says to which they belong."""
    columns: Columns | None
    """Which were taken; None where there are no names of columns."""


def read_table(
    path: Path, name: str, asked: Columns, *, like: Columns | None = None, most: int | None = None
) -> LabelTable | None:
    """Return the labels in a table; None where it has images without labels.

    Args:
        path: the file, whose suffix says what it is.
        name: what it is called in messages.
        asked: the columns that the user names.
        like: the columns of another table of the same dataset.
        most: rows to read; None: all.

    Raises:
        ValueError: it cannot be read, or it cannot be told which columns are which; the sentence names file and line.
    """
    suffix = path.suffix.casefold()
    text = read_text(path, name, None if suffix == ".json" else most)  # a JSON file is read whole, or not at all
    unit = "line" if suffix != ".json" else "entry"
    reader = _csv if suffix in (".csv", ".tsv") else _json if suffix == ".json" else _lines
    rows = reader(text, name)
    entries: dict[SplitName | None, list[Entry]] = {}
    taken: Columns | None = None
    for count, (number, row) in enumerate(rows):
        where = f"{name} {unit} {number}"
        if taken is None:
            taken = _columns(row, name, asked, like)
            if not taken.label:
                return None
        if count == most:
            break
        image, label = (_value(row, column, where) for column in (taken.path, taken.label))
        split = _split_of(row[taken.split], taken.split, where) if taken.split else None
        entries.setdefault(split, []).append(Entry(number, image, label))
    if taken is None:
        raise ValueError(f"{name}: it has no rows")
    return LabelTable(
        listings={split: Listing(name, some, unit) for split, some in entries.items()},
        columns=taken if taken != _PAIR else None,
    )


_PAIR = Columns("path", "label")
"""The columns of what has no names for them."""


def _columns(row: Mapping[str, Any], name: str, asked: Columns, like: Columns | None) -> Columns:
    """Return which columns are which; no label where there is none.

    Raises:
        ValueError: a column that was asked for is not there, or none is that of the paths.
    """
    plain = {_plain(column): column for column in row}
    for role, column in asked._asdict().items():
        if column and column not in row and _plain(column) not in plain:
            raise ValueError(f"{name}: there is no column {column} ({role}); there are {listed([*row])}")
    given = Columns(*(plain[_plain(column)] if column else "" for column in asked))
    path = given.path or next((plain[word] for word in _PATHS if word in plain), "")
    split = given.split or next((plain[word] for word in _SPLITS if word in plain), "")
    if not path:
        raise ValueError(
            f"{name}: none of its columns ({listed([*row])}) is recognised as the paths; name it with path_column="
        )
    rest = [each for each in row if each not in (path, split) and not _NUMBERED.fullmatch(each)]
    if like and not asked.label:
        return Columns(path, like.label if like.label in row else "", split)
    label = given.label or next((plain[word] for word in _LABELS if plain.get(word) in rest), "")
    if not label and len(rest) == 1:
        label = rest[0]
    if not label and len(rest) > 1:
        raise ValueError(f"{name}: which column holds the labels, {listed(rest)}? Name it with label_column=")
    return Columns(path, label, split)


def _plain(column: str) -> str:
    """Return a column's name as the lists above write it: ``imageId``, ``Image ID`` and ``image-id`` are one."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.strip())
    return re.sub(r"[\W_]+", "_", words).strip("_").casefold()


def _value(row: Mapping[str, Any], column: str, where: str) -> str:
    value = row.get(column)
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if isinstance(value, (list, tuple, dict)):
        raise ValueError(f"{where}: {column} has several values; only one label per image is supported")
    text = str(value).strip() if value is not None else ""
    if not text:
        raise ValueError(f"{where}: it has no {column}")
    return text


def _split_of(value: object, column: str, where: str) -> SplitName:
    split = split_of(str(value).strip())
    if split is None:
        raise ValueError(f"{where}: {column} is {str(value)!r}; it must be train, val or test")
    return split


# --- the formats -----------------------------------------------------------------------------------------------------


def _csv(text: str, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the line number and the row of each line, by the names of the columns."""
    first = next((line for line in lines_of(text) if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    header: list[str] = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not header and len(cells) == 2 and folder.is_image(cells[0]):  # a list without a header
                header = [*_PAIR[:2]]
            elif not header:
                header = cells
                if len({*header}) < len(header) or len(header) < 2:
                    raise ValueError(f"{name} line {reader.line_num}: {_WORDS['header']}, each once")
                continue
            if len(cells) != len(header):
                raise ValueError(f"{name} line {reader.line_num}: {len(cells)} values for {len(header)} columns")
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise ValueError(f"{name} line {reader.line_num}: {error}") from error


def _lines(text: str, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(lines_of(text), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{name} line {number}: it is not valid JSON: {error}") from error
            yield number, _record(row, f"{name} line {number}")


def _json(text: str, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"cannot read {name}: {error or 'it is nested too deeply'}") from error
    if isinstance(content, dict):
        lists = [value for key, value in content.items() if key in _LISTS and isinstance(value, list)]
        if len(lists) == 1:
            [content] = lists
        elif len(lists) > 1:
            raise ValueError(
                f"{name}: it has several lists; labels are read from a list of records with path and label"
            )
    if isinstance(content, dict):
        for number, (path, label) in enumerate(content.items(), 1):
            yield number, dict(zip(_PAIR[:2], (path, label), strict=True))
        return
    if not isinstance(content, list):
        raise ValueError(f"{name}: it must contain paths with labels, or a list of records")
    for number, row in enumerate(content, 1):
        yield number, _record(row, f"{name} entry {number}")


def _record(row: Any, where: str) -> Mapping[str, Any]:
    if isinstance(row, list) and len(row) == 2:
        return dict(zip(_PAIR[:2], row, strict=True))
    if not isinstance(row, dict):
        raise ValueError(f"{where}: it must be a record of path and label")
    return row
