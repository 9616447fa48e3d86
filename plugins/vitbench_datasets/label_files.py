"""Find the files in a folder that say which images it has under which labels: lists and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from vitbench.specs import SplitName

from . import folder
from .label_tables import SUFFIXES, Columns, read_table
from .list_texts import read_list
from .listed_files import Finder, Listing
from .naming import OUTER_FOLDERS, SPLIT_WORDS, is_hidden, listed, resembles_split, split_of

__all__ = ["Kind", "Labels", "are_there", "find_labels", "split_of_kind"]

Kind = Literal["train", "val", "test", "trainval"]

_WORDS = {split: "|".join(words) for split, words in SPLIT_WORDS.items()}
_BOTH = re.compile(rf"(?:{_WORDS['train']})\d*(?:{_WORDS['val']})\d*", re.IGNORECASE)
_ONE: dict[SplitName, re.Pattern[str]] = {
    split: re.compile(rf"(?:{words})(?:\d*|[-_]?labels)", re.IGNORECASE) for split, words in _WORDS.items()
}
_NO_LABELS = re.compile(r".*submission.*", re.IGNORECASE)
"""Files of Kaggle that show how an answer is written."""
_LOOKED_AT = 20
"""Lines of a file that decide whether it is one of labels."""
_ORDER: tuple[Kind, ...] = ("train", "trainval", "val", "test")
_MOST_FILES = 50
"""Tables in a folder that are looked into."""


class Labels(NamedTuple):
    """What lists or tables say of a folder of images."""

    lists: Mapping[Kind, Listing]
    counted: bool
    """Whether numbers count the classes, as in lists; else they are names, as in tables."""
    notes: tuple[str, ...]


class _File(NamedTuple):
    path: Path
    name: str
    """Relative to the folder of the dataset."""
    kind: Kind | None
    """None: its name says no split."""


def are_there(root: Path) -> bool:
    """Whether `root` has lists or tables of its images, and no class folders that say the same."""
    return not folder.has_splits(root) and (bool(_lists(root)) or bool(_tables(root)))


def find_labels(root: Path, labels: str, columns: Columns) -> Labels:
    """Return what the lists or tables in a folder say.

    Args:
        root: the folder of the dataset.
        labels: the file that the user names; empty: whatever is found.
        columns: those that the user names.

    Raises:
        FileNotFoundError: `root` does not exist.
        ValueError: there are none, several of one split, or one that cannot be read.
    """
    if labels:
        path = Path(labels).absolute()
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        files = [_File(path, name, None)]
    else:
        files = _lists(root) or _tables(root)
    if not files:
        raise ValueError(
            "no labels were found: there is neither a list (train.txt, val.txt, test.txt; lines of "
            "path and label) nor a table (labels.csv with the columns path and label); give one with labels=FILE"
        )
    lists: dict[Kind, Listing] = {}
    notes = []
    like: Columns | None = None
    for file in files:
        found, taken = _read(file, columns, like=like)
        if not found:
            notes.append(f"{file.name} has no labels and is not used")
        for kind, listing in found.items():
            if kind in lists:
                raise ValueError(f"there are several lists of {kind}: {lists[kind].name}, {listing.name}; keep one")
            lists[kind] = listing
        if taken and taken != like:
            notes.append(f"{file.name}: {taken.words}")
            like = taken
    if not lists:
        raise ValueError(notes[0].partition(",")[0])
    return Labels(lists, not labels and files[0].path.suffix.casefold() == ".txt", tuple(notes))


def _read(
    file: _File, columns: Columns, *, like: Columns | None = None, most: int | None = None
) -> tuple[dict[Kind, Listing], Columns | None]:
    """Return the lists in a file, none where it has no labels, and the columns that were taken of a table that has any.

    Where another table of the dataset was read, one without its column of labels has none.
    """
    if file.path.suffix.casefold() not in SUFFIXES:
        return {file.kind or "train": read_list(file.path, file.name, most)}, None
    table = read_table(file.path, file.name, columns, like=like, most=most)
    if table is None:
        return {}, None
    return {split or file.kind or "train": listing for split, listing in table.listings.items()}, table.columns


def split_of_kind(kind: Kind) -> SplitName:
    """Return the split whose folder may hold the images of a list."""
    return "train" if kind == "trainval" else kind


# --- which files they are --------------------------------------------------------------------------------------------


def _lists(root: Path) -> list[_File]:
    """Return the text files with the names of splits, if one is named as VTAB's are or names an image that is there.

    The others count, too: a list that cannot be read is a mistake, and not left out.
    """
    finder = Finder(root)
    texts = [path for path in sorted(root.iterdir()) if path.suffix.casefold() == ".txt"]
    found = [_File(path, path.name, kind) for path in texts if (kind := _kind(path.stem))]
    known = any(re.search(r"\d", file.path.stem) or file.kind == "trainval" for file in found)
    return found if known or any(_fits(file, finder) for file in found) else []


def _tables(root: Path) -> list[_File]:
    """Return the tables: of the splits, or the only other one; in the folder, or in the folders of splits.

    Raises:
        ValueError: several may be it.
    """
    if _has_classes(root):
        return []
    finder = Finder(root)
    files = [*_table_files(root)][:_MOST_FILES]
    fitting = [file for file in files if _fits(file, finder)]
    if any(file.kind for file in fitting):  # train first: what its labels are called holds for the others
        return sorted((file for file in files if file.kind), key=lambda file: _ORDER.index(file.kind or "train"))
    if len(fitting) > 1:
        raise ValueError(
            f"several files may contain the labels: {listed([file.name for file in fitting])}; choose one with "
            "labels=FILE"
        )
    return fitting


def _table_files(root: Path) -> Iterator[_File]:
    inside = [each for each in folder.folders_in(root) if split_of(each.name)]
    for base in (root, *inside):
        for path in sorted(base.iterdir()):
            suffix = path.suffix.casefold()
            if is_hidden(path.name) or _NO_LABELS.fullmatch(path.stem) or suffix not in (*SUFFIXES, ".txt"):
                continue
            if suffix == ".txt" and (base != root or not re.fullmatch(r"(?i)labels?|annotations?", path.stem)):
                continue
            kind = split_of(base.name) if base != root else _kind(path.stem)
            if path.is_file():
                yield _File(path, path.relative_to(root).as_posix(), kind)


def _has_classes(root: Path) -> bool:
    """Whether class folders say the labels already."""
    try:
        base = folder.find_layout(root).folders.get("train")
    except ValueError:
        return False
    if base is None:
        return folder.holds_images(root)
    classes = [each.name for each in folder.folders_in(base) if next(folder.counted([each]), None)]
    return len(classes) > 1 and not any(name.casefold() in OUTER_FOLDERS or resembles_split(name) for name in classes)


def _fits(file: _File, finder: Finder) -> bool:
    """Whether a file names an image that is there, or has the columns that one of a split needs."""
    try:
        found, _ = _read(file, Columns(), most=_LOOKED_AT)
    except ValueError:
        return False
    return any(finder.finds_some(each, split_of_kind(kind)) for kind, each in found.items())


def _kind(stem: str) -> Kind | None:
    """Return what a file is a list of by its name."""
    if _BOTH.fullmatch(stem):
        return "trainval"
    return next((split for split, pattern in _ONE.items() if pattern.fullmatch(stem)), None)
