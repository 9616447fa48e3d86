"""A file that says which classes of a head mean which class of some data: CSV, JSON or TOML."""

from __future__ import annotations

import csv
import json
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from vitbench.errors import UnusableError
from vitbench.files import read_file

__all__ = ["ClassMap", "read_class_map"]

ClassMap = Mapping[str, tuple[str | int, ...]]
"""For each class of the data the classes of the head, by name or by the number of the output, from 0."""
HEADER = ["folder", "class"]
"""A first row of a CSV file that is none of the map's."""
_MOST_BYTES = 64 * 2**20


def read_class_map(path: str | Path) -> ClassMap:
    """Return a class map.

    A CSV file has two columns, the data's class and the head's; several rows of one class of the data name several of
    the head. JSON is an object and TOML a table of names, each with a name, a number, or a list of these.

    Raises:
        UnusableError: the file cannot be read, or is not such a map.
    """
    path = Path(path)
    kinds: dict[str, Callable[[str], dict[str, Any]]] = {".csv": _of_csv, ".json": _of_json, ".toml": tomllib.loads}
    if path.suffix.lower() not in kinds:
        raise UnusableError(f"the class map {path} must be a .csv, .json or .toml file")
    try:
        content = kinds[path.suffix.lower()](read_file(path, most=_MOST_BYTES).decode("utf-8-sig"))
        found = {_composed(name): _classes(name, value) for name, value in content.items()}
    except OSError as error:
        raise UnusableError(f"the class map {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        raise UnusableError(f"the class map {path} cannot be used: {error}") from error
    except RecursionError as error:
        raise UnusableError(f"the class map {path} cannot be used: its lists are nested too deeply") from error
    if not found:
        raise UnusableError(f"the class map {path} is empty")
    return found


def _of_csv(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    reader = csv.reader(text.splitlines(), strict=True)
    for row in reader:
        cells = [cell.strip() for cell in row]
        if not any(cells) or (reader.line_num == 1 and [cell.casefold() for cell in cells] == HEADER):
            continue
        if len(cells) != 2 or not all(cells):
            raise ValueError(f"line {reader.line_num} must be 'folder,class', not {','.join(row)!r}")
        found.setdefault(cells[0], []).append(cells[1])
    return found


def _of_json(text: str) -> dict[str, Any]:
    content = json.loads(text, object_pairs_hook=_once)
    if not isinstance(content, dict):
        raise ValueError("it must be an object of names")
    return content


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it gives {name!r} twice")
        found[name] = value
    return found


def _classes(name: str, value: object) -> tuple[str | int, ...]:
    """Return what a class of the data is given, as a tuple.

    Raises:
        ValueError: it is not a name, a number or a list of these.
    """
    given = value if isinstance(value, list) else [value]
    found: list[str | int] = []
    for each in given:
        if isinstance(each, bool) or not isinstance(each, (str, int)):
            raise ValueError(f"{name!r} must have a name, the number of an output, or a list of these, not {each!r}")
        found.append(_composed(each) if isinstance(each, str) else each)
    if not found:
        raise ValueError(f"{name!r} has no class")
    return tuple(found)


def _composed(name: str) -> str:
    """Return a name as those of the data are written."""
    return unicodedata.normalize("NFC", name)
