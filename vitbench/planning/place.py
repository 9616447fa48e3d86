"""Which images a command is for: a folder, an installed dataset, or a dataset with the folder that it is in."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from vitbench.catalog import Catalog
from vitbench.catalog.options import parse_dataset
from vitbench.errors import UnusableError, did_you_mean
from vitbench.planning.expand import is_dataset

__all__ = ["Place", "place_of"]


_SPLITS = frozenset({"test", "testing", "val", "valid", "validation", "eval", "evaluation", "dev"})
"""Names of folders that say nothing of whose images are in them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A dataset as a selection names it."""

    dataset: str
    """With its options."""
    data: dict[str, str]
    """Where it is, by its name; empty: where its plugin looks."""


def place_of(text: str, catalog: Catalog) -> Place:
    """Return which images a text means.

    An installed dataset takes precedence over a folder of the same name, which is meant by ``./name``.

    Raises:
        UnusableError: it is neither a folder nor a dataset.
    """
    name, equals, path = text.partition("=")
    if equals and not _is_path(name) and ":" not in name:
        return Place(dataset=name, data={name: path})
    if not _is_path(text):
        short, _ = parse_dataset(text)
        if is_dataset(short, catalog):
            return Place(dataset=text, data={})
    folder = Path(text).expanduser()
    if folder.is_dir():
        return Place(dataset=(called := _name_of(folder, catalog)), data={called: str(folder)})
    if folder.exists():
        raise UnusableError(f"{text} is not a directory; name the folder that holds the images.")
    known = [short for full in catalog.datasets for short in (full, full.partition("/")[2])]
    hint = did_you_mean(text, known) or ' See "vitbench ls datasets".'
    raise UnusableError(f'"{text}" is neither a directory nor an installed dataset.{hint}')


def _is_path(text: str) -> bool:
    return text.startswith((".", "~", os.sep)) or text.endswith(os.sep)


def _name_of(folder: Path, catalog: Catalog) -> str:
    """Return what tables call a folder's images: its own name, unless an installed dataset has it.

    The folder of a split, such as ``val``, is called as the one that it is in.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would name what a link leads to
    own = folder.parent if folder.name.casefold() in _SPLITS else folder
    name = re.sub(r"[^\w.-]+", "-", own.name).strip("-.") or "images"
    return f"my-{name}" if is_dataset(name, catalog) else name
