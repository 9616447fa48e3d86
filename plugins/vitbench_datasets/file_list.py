"""Images that lists name: ``images/`` with ``train800.txt``, ``val200.txt``, ``train800val200.txt`` and ``test.txt``.

Each line of a list is a path and a label, separated by spaces or a tab, as Caffe had it and as the PyTorch forks of
VTAB-1k read it (NOAH, SSF, V-PETL-Bench); plain names, ``train.txt``, ``val.txt`` and ``test.txt``, are read, too, as
are empty lines, comments (``#``) and the ends of lines of any system. Labels are numbers that count classes, or names.

train800 is the training split and val200 the validation split, so that a recipe chooses by the second. The list of
both, on which it may train last, must hold exactly their images.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vitbench.specs import SplitName

from . import folder
from .folder import ImageFiles
from .listed_files import Entry, Finder, Listing, shown_path
from .naming import SPLIT_WORDS, SPLITS, are_whole_numbers, class_name, in_class_order

NOAH = "picture archives (NOAH)"
"""The lineage of JPEG files that NOAH's ``get_vtab1k.py`` wrote from TensorFlow Datasets, and of their lists."""
OWN_FILES = "own files"
"""The lineage of VTAB's lists beside files of any other making."""

_WORDS = {split: "|".join(words) for split, words in SPLIT_WORDS.items()}
_BOTH = re.compile(rf"(?:{_WORDS['train']})\d*(?:{_WORDS['val']})\d*", re.IGNORECASE)
_ONE = {split: re.compile(rf"(?:{words})\d*", re.IGNORECASE) for split, words in _WORDS.items()}
_CLASS_NAMES = ("classnames.txt", "class_names.txt", "classes.txt")
"""Files with the name of each class, one per line, in the order of the labels."""
_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_COPY = re.compile(r"images/(?P<list>[^/]+)/(?P<number>\d{6})\.jpg")


class FileLists:
    """The lists of a folder."""

    def __init__(self, root: Path, classes: int | None = None) -> None:
        """Find the lists; they are read as they are needed.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: there are several lists of one split.
        """
        self.root = root
        self._count = classes
        self._finder = Finder(root)
        self._paths: dict[str, Path] = {}
        for path in sorted(root.iterdir()):
            kind = _kind(path)
            if kind and kind in self._paths:
                raise ValueError(f"there are several lists of {kind}: {self._paths[kind].name}, {path.name}; keep one")
            if kind:
                self._paths[kind] = path

    def __bool__(self) -> bool:
        """Whether there is a list."""
        return bool(self._paths)

    @cached_property
    def lists(self) -> Mapping[str, Listing]:
        """The lists by what they are of: train, val, test and trainval.

        Raises:
            ValueError: one is empty, or a line of it is not a path and a label.
        """
        return {kind: read_list(path, self.root) for kind, path in self._paths.items()}

    @cached_property
    def classes(self) -> Classes:
        """The classes that all lists have together, in their order.

        Raises:
            ValueError: labels do not count the classes.
        """
        return classes_of(self.lists.values(), self._count, _named_classes(self.root))

    @property
    def lineage(self) -> str:
        """Where the files come from, as far as the lists prove it."""
        return lineage_of(self.lists)

    def split(self, split: SplitName) -> ImageFiles | None:
        """Return one split, or None where there is no list of it.

        Raises:
            ValueError: a file is not there, or what the lists say is contradictory.
        """
        lists = self.lists
        kind = "trainval" if split == "train" and "train" not in lists else split
        if kind not in lists:
            return None
        _refuse_two_labels(lists.values())
        files = self._finder.find(lists[kind], split)
        if split == "train":
            self._check_both(files)
        classes = self.classes
        return ImageFiles(
            paths=tuple(files),
            labels=np.array([classes.numbers[entry.label] for entry in lists[kind].entries], dtype=np.int64),
            class_names=classes.names,
            notes=(self._described(),),
            names=tuple(path.relative_to(self.root).as_posix() for path in files),
            lineage=self.lineage,
        )

    def _described(self) -> str:
        shown = [f"{'train' if kind == 'trainval' else kind} from {self.lists[kind].name}" for kind in self._used()]
        rest = ""
        if "trainval" in self.lists and "trainval" not in self._used():
            both = self.lists["trainval"].name
            rest = f"; {both} holds the same images" if "val" in self.lists else f"; not used: {both}"
        return f"layout file-list: {', '.join(shown)}{rest}"

    def _used(self) -> list[str]:
        kinds: list[str] = [kind for kind in SPLITS if kind in self.lists]
        return kinds if "train" in kinds or "trainval" not in self.lists else ["trainval", *kinds]

    def _check_both(self, train: Sequence[Path]) -> None:
        """Hold the list of both splits to be their images under their labels: the same files, or copies of them.

        Raises:
            ValueError: it holds another image, or lacks one.
        """
        lists = self.lists
        if not {"train", "val", "trainval"} <= {*lists}:
            return
        parts = [*zip(lists["train"].entries, train, strict=True)]
        parts += zip(lists["val"].entries, self._finder.find(lists["val"], "val"), strict=True)
        both = [*zip(lists["trainval"].entries, self._finder.find(lists["trainval"], "train"), strict=True)]
        same_files = {path for _, path in parts} >= {path for _, path in both}
        wanted: dict[tuple[str, str], list[str]] = {}
        for number, (entry, path) in enumerate(parts):
            of = lists["train" if number < len(train) else "val"]
            key = (str(path) if same_files else _digest(path), class_name(entry.label))
            wanted.setdefault(key, []).append(of.at(entry))
        for entry, path in both:
            key = (str(path) if same_files else _digest(path), class_name(entry.label))
            if not wanted.get(key):
                names = f"{lists['train'].name} nor {lists['val'].name}"
                raise ValueError(
                    f"{lists['trainval'].at(entry)}: {shown_path(entry.path)} with label {entry.label} "
                    f"is neither in {names}; it must hold their images and no others"
                )
            wanted[key].pop()
        left = [where for places in wanted.values() for where in places]
        if left:
            raise ValueError(f"{lists['trainval'].name} lacks {len(left):,} images, such as that of {left[0]}")


def detect(root: Path) -> bool:
    """Whether there are lists of images in `root`: named as VTAB's are, or naming a file that is there.

    Not where class folders are split already, as ImageNet's are beside lists of the same images.
    """
    return bool(_lists_found(root)) and not folder.has_splits(root)


def open_file_list(
    *, root: Path, split: SplitName, download: bool = False, classes: int | None = None
) -> ImageFiles | None:
    """Return one split, or None where there is no list of it.

    Args:
        root: the folder of the lists.
        split: which split; the training images are those of the list of both where train has none of its own.
        download: nothing is downloaded.
        classes: how many classes the dataset has; None: those that the lists name.

    Raises:
        FileNotFoundError: `root` does not exist.
        ValueError: there is no list, or one is wrong; the sentence names the list and the line.
    """
    lists = FileLists(root, classes)
    if not lists:
        raise ValueError("there is no list of images (train.txt, val.txt, test.txt; lines of a path and a label)")
    return lists.split(split)


def _lists_found(root: Path) -> list[Path]:
    """Return the files that are lists of images by name and by their first lines."""
    found = []
    finder = Finder(root)
    for path in sorted(root.iterdir()):
        kind = _kind(path)
        if kind is None:
            continue
        try:
            listing = read_list(path, root, most=20)
        except ValueError:
            continue
        if re.search(r"\d", path.stem) or kind == "trainval" or finder.finds_some(listing, _split(kind)):
            found.append(path)
    return found


def _kind(path: Path) -> str | None:
    """Return what a file is a list of by its name: train, val, test or trainval."""
    if path.suffix.casefold() != ".txt":
        return None
    if _BOTH.fullmatch(path.stem):
        return "trainval"
    return next((split for split, pattern in _ONE.items() if pattern.fullmatch(path.stem)), None)


def _split(kind: str) -> SplitName:
    return next((split for split in SPLITS if split == kind), "train")


# --- what is in a list -----------------------------------------------------------------------------------------------


def read_list(path: Path, root: Path, most: int | None = None) -> Listing:
    """Return what a list says, as far as its lines can be read.

    Args:
        path: the list.
        root: the folder that its name is shown relative to.
        most: images to read; None: all.

    Raises:
        ValueError: it cannot be read, is empty, or a line is not a path and a label.
    """
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    entries = []
    for number, line in enumerate(_LINE_ENDS.split(read_text(path, name)), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        parts = text.rsplit("\t", 1) if "\t" in text else text.rsplit(None, 1)
        if len(parts) < 2:
            raise ValueError(f"{name} line {number}: {shown_path(text)[:80]!r} is not a path and a label")
        entries.append(Entry(number, _unquoted(parts[0].rstrip()), parts[1].lstrip()))
        if most is not None and len(entries) == most:
            break
    if not entries:
        raise ValueError(f"{name} line 1: the list is empty")
    return Listing(name, entries)


def read_text(path: Path, name: str) -> str:
    """Return the text of a file in UTF-8 or UTF-16; bytes that are neither are kept as they are in names of files.

    Raises:
        ValueError: it is no text, or cannot be read.
    """
    if not path.is_file():  # a pipe would be waited for
        raise ValueError(f"cannot read {name}: it is not a file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {name}: {error.strerror}") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    if b"\0" in content[:4096]:
        raise ValueError(f"cannot read {name}: it is not a text")
    return content.decode("utf-8-sig", "surrogateescape")


def _unquoted(path: str) -> str:
    return path[1:-1] if len(path) > 2 and path[0] == path[-1] == '"' else path


class Classes(NamedTuple):
    """The classes of a dataset."""

    names: tuple[str, ...]
    numbers: Mapping[str, int]
    """The position of the class that each label means, by the label as it is written."""


def classes_of(lists: Iterable[Listing], count: int | None, names: tuple[str, ...] = ()) -> Classes:
    """Return the classes that labels in lists stand for: numbers count them, or names are sorted.

    Args:
        lists: all lists of the dataset.
        count: how many classes there are; None: those that are there.
        names: of the classes that numbers count.

    Raises:
        ValueError: labels are numbers, and one is out of range, or numbers are left out.
    """
    first: dict[str, str] = {}
    for listing in lists:
        for entry in listing.entries:
            if entry.label not in first:
                first[entry.label] = listing.at(entry)
    if not are_whole_numbers([*first]):
        found = tuple(in_class_order({class_name(label) for label in first}))
        return Classes(found, {label: found.index(class_name(label)) for label in first})
    values = sorted({int(label) for label in first})
    places = {int(label): where for label, where in reversed(first.items())}
    if count is None and names:
        count = len(names)
    if count is not None:
        for value in values:
            if not 0 <= value < count:
                raise ValueError(f"{places[value]}: label {value} is not in 0..{count - 1}")
        found = names if len(names) == count else tuple(map(str, range(count)))
        return Classes(found, {label: int(label) for label in first})
    if values[0] not in (0, 1):
        raise ValueError(f"{places[values[0]]}: label {values[0]} is the lowest; numbers must count the classes from 0")
    for wanted, value in enumerate(values, values[0]):
        if value != wanted:
            raise ValueError(f"{places[value]}: no line has label {wanted}, but this one has {value}; leave no gap")
    return Classes(tuple(map(str, values)), {label: int(label) - values[0] for label in first})


def _named_classes(root: Path) -> tuple[str, ...]:
    """Return the names that a file beside the lists gives the classes; none where they do not tell them apart."""
    for path in (root / name for name in _CLASS_NAMES):
        if path.is_file():
            names = [class_name(line.strip()) for line in _LINE_ENDS.split(read_text(path, path.name).rstrip("\r\n"))]
            return tuple(names) if all(names) and len({*names}) == len(names) else ()
    return ()


def _refuse_two_labels(lists: Iterable[Listing]) -> None:
    """Raise ValueError where lists have one path under two labels."""
    known: dict[str, tuple[Listing, Entry]] = {}
    for listing in lists:
        for entry in listing.entries:
            other, first = known.setdefault(entry.path, (listing, entry))
            if first.label != entry.label:
                raise ValueError(
                    f"{listing.at(entry)}: {shown_path(entry.path)} has label {entry.label}, "
                    f"and label {first.label} in {other.at(first)}"
                )


def lineage_of(lists: Mapping[str, Listing]) -> str:
    """Return where the files of VTAB's lists come from, as far as the lists prove it; empty for any other lists.

    ``get_vtab1k.py`` of NOAH writes each split anew, as ``images/<split>/000000.jpg``, ``000001.jpg`` and so on in the
    order of TensorFlow Datasets, and so compresses the images. Lists of exactly these lines are its work.
    """
    if not {"train", "trainval"} & {*lists} or not any(re.search(r"\d", each.name) for each in lists.values()):
        return ""
    for listing in lists.values():
        stem = os.path.splitext(listing.name)[0]  # noqa: PTH122 - a name, and no path of this system
        for number, entry in enumerate(listing.entries):
            match = _COPY.fullmatch(entry.path)
            if not match or match["list"] != stem or int(match["number"]) != number:
                return OWN_FILES
    return NOAH


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
