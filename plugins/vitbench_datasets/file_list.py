"""Images that lists or tables name: VTAB's ``train800.txt``, or one's own ``labels.csv``, beside a folder of images.

**Lists**: ``train800.txt``, ``val200.txt``, ``train800val200.txt`` and ``test.txt``, or ``train.txt``, ``val.txt`` and
``test.txt``. Each line is a path and a label, as Caffe had it and as the PyTorch forks of VTAB-1k read it (NOAH, SSF,
V-PETL-Bench). train800 is the training split and val200 the validation split, so that a recipe chooses by the second.
The list of both, on which it may train last, must contain exactly their images. Labels count the classes, or are names.

**Tables** (`label_tables`): one for each split (``train.csv``, ``test.json``), one with a column of splits, or one
of no split; in the folder, or in the folder of a split. The option ``labels`` names one, wherever it lies.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vitbench.specs import SplitName

from . import label_files
from .folder import ImageFiles
from .label_classes import classes_of, named_classes, refuse_two_labels
from .label_files import Kind, Labels, find_labels, split_of_kind
from .label_tables import Columns
from .listed_files import Finder, Listing, shown_path
from .naming import SPLITS, class_name

__all__ = ["NOAH", "OWN_FILES", "detect", "lineage_of", "open_file_list"]

NOAH = "picture archives (NOAH)"
"""The lineage of JPEG files that NOAH's ``get_vtab1k.py`` wrote from TensorFlow Datasets, and of their lists."""
OWN_FILES = "own files"
"""The lineage of VTAB's lists beside files of any other making."""
_COPY = re.compile(r"images/(?P<list>[^/]+)/(?P<number>\d{6})\.jpg")


def detect(root: Path) -> bool:
    """Whether there are lists of images in `root`, named as VTAB's are or naming a file that is there; or tables.

    Not where class folders say the same already, as ImageNet's do beside lists of its images.
    """
    try:
        return label_files.are_there(root)
    except ValueError:  # which is the table, `open_file_list` asks
        return True


def open_file_list(
    *,
    root: Path,
    split: SplitName,
    download: bool = False,
    classes: int | None = None,
    labels: str = "",
    path_column: str = "",
    label_column: str = "",
    split_column: str = "",
) -> ImageFiles | None:
    """Return one split, or None where there is no list of it.

    Args:
        root: the folder of the images.
        split: which split; the training images are those of the list of both where train has none of its own.
        download: nothing is downloaded.
        classes: how many classes the dataset has; None: those that the lists name.
        labels: the list or the table; empty: those in the folder.
        path_column: of a table; empty: the one whose name says it.
        label_column: likewise.
        split_column: likewise.

    Raises:
        FileNotFoundError: `root` does not exist.
        ValueError: there is no list, or one is wrong; the sentence names the list and the line.
    """
    found = find_labels(root, labels, Columns(path_column, label_column, split_column))
    lists = found.lists
    kind: Kind = "trainval" if split == "train" and "train" not in lists else split
    if kind not in lists:
        return None
    finder = Finder(root)
    refuse_two_labels((finder.start(each, split_of_kind(of)), each) for of, each in lists.items())
    meant = classes_of(lists.values(), classes, named_classes(root), counted=found.counted)
    files = finder.find(lists[kind], split)
    if split == "train" and {"train", "val", "trainval"} <= {*lists}:
        _check_both(lists, finder, files)
    return ImageFiles(
        paths=tuple(files),
        labels=np.array([meant.numbers[entry.label] for entry in lists[kind].entries], dtype=np.int64),
        class_names=meant.names,
        notes=(_described(found), *found.notes),
        names=tuple(str(path)[len(str(root)) + 1 :].replace(os.sep, "/") for path in files),
        lineage=lineage_of(lists),
    )


def _described(found: Labels) -> str:
    """Return a sentence on which list is which split's."""
    lists = found.lists
    kinds: list[Kind] = [kind for kind in SPLITS if kind in lists]
    if "train" not in lists and "trainval" in lists:
        kinds = ["trainval", *kinds]
    shown = [f"{split_of_kind(kind)} from {lists[kind].name}" for kind in kinds]
    rest = ""
    if "trainval" in lists and "trainval" not in kinds:
        both = lists["trainval"].name
        rest = f"; {both} holds the same images" if "val" in lists else f"; not used: {both}"
    return f"layout file-list: {', '.join(shown)}{rest}"


def _check_both(lists: Mapping[Kind, Listing], finder: Finder, train: Sequence[Path]) -> None:
    """Hold the list of train and val to be their images under their labels: the same files, or copies of them.

    Raises:
        ValueError: it holds another image, or lacks one.
    """
    parts = [*zip(lists["train"].entries, train, strict=True)]
    parts += zip(lists["val"].entries, finder.find(lists["val"], "val"), strict=True)
    both = [*zip(lists["trainval"].entries, finder.find(lists["trainval"], "train"), strict=True)]
    copies = not {path for _, path in parts} >= {path for _, path in both}
    wanted: dict[tuple[str, str], list[str]] = {}
    for number, (entry, path) in enumerate(parts):
        of = lists["train" if number < len(train) else "val"]
        wanted.setdefault((_digest(path) if copies else str(path), class_name(entry.label)), []).append(of.at(entry))
    for entry, path in both:
        places = wanted.get((_digest(path) if copies else str(path), class_name(entry.label)))
        if not places:
            raise ValueError(
                f"{lists['trainval'].at(entry)}: {shown_path(entry.path)} with label {entry.label} is neither in "
                f"{lists['train'].name} nor in {lists['val'].name}; it must list exactly their images"
            )
        places.pop()
    left = [where for places in wanted.values() for where in places]
    if left:
        lacks = f"{len(left):,} {'image' if len(left) == 1 else 'images'}"
        raise ValueError(f"{lists['trainval'].name} lacks {lacks}, such as that of {left[0]}")


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error


def lineage_of(lists: Mapping[Kind, Listing]) -> str:
    """Return where the files of VTAB's lists come from, as far as the lists prove it; empty for any other lists.

    ``get_vtab1k.py`` of NOAH writes each split again, as ``images/<split>/000000.jpg``, ``000001.jpg`` and so on in the
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
