"""Open one split of a task from whatever form its files have.

The form is seen from the folder: file lists (``train800.txt`` beside ``images/``), a hub's Parquet or tar files, or the
files as their authors publish them (`raw`). Only file lists say which images TensorFlow Datasets takes; of all else the
800 and the 200 are cut here by the same positions in another order, an `own split`.

Shapes: N images in a split.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vitbench_datasets import archives, file_list, parquet, webdataset

from vitbench import contract
from vitbench.protocols import ImageSet
from vitbench.specs import SplitName

from . import raw
from .images import OWN_SPLIT, Pool, Rows
from .rules import cut, first, own_order
from .tasks import TASKS, TRAIN, VAL, Task


def open_task(*, task: Task, root: Path, split: SplitName, download: bool = False) -> ImageSet | None:
    """Return one split of a task; None where file lists have no validation split.

    Args:
        task: which one.
        root: the folder of its files, or one above it that has the name of the PyTorch forks' archives.
        split: which split; training images are VTAB's 800, validation images its 200.
        download: whether to fetch the published files where the folder is missing, of tasks in `archives.PUBLISHED`.

    Raises:
        FileNotFoundError: there is no such folder.
        OSError: the download failed.
        ValueError: it contains no known form of the task, or its files cannot be used.
    """
    if not root.is_dir():
        if not (download and task.whole in archives.PUBLISHED):
            raise FileNotFoundError(f"no folder {root}")
        archives.fetch(task.whole, root)
    for base in filter(Path.is_dir, (root, root / task.folder)):
        if file_list.detect(base):
            return _listed(task, base, split)
    if parquet.detect(root):
        return from_pools(task, _of_hub(task, root, parquet.open_parquet), split, "the hub's Parquet files")
    if webdataset.detect(root):
        return from_pools(task, _of_hub(task, root, webdataset.open_webdataset), split, "the hub's tar files")
    if (reader := raw.READERS.get(task.name)) and (published := reader(task, root)):
        return from_pools(task, published, split, "the published files")
    forms = ["file lists (train800.txt, val200.txt, test.txt)", "a hub's Parquet or tar files"]
    if reader and reader.__doc__:
        layout = " ".join(reader.__doc__.replace("``", "").split()).rstrip(".")
        forms.append(f"the published files, {layout}")
    raise ValueError(f"there are no files of {task.title}; it is read from {'; from '.join(forms)}")


OPENERS = SimpleNamespace(**{task.name.replace("-", "_"): partial(open_task, task=task) for task in TASKS})
"""`open` of each task."""


def _listed(task: Task, root: Path, split: SplitName) -> ImageSet | None:
    """Return a split that file lists name.

    Raises:
        ValueError: there is no list of training or test images, or one is wrong.
    """
    images = file_list.open_file_list(root=root, split=split, classes=task.classes)
    if images is None and split != "val":
        raise ValueError(f"there is no list of {split} images ({'test.txt' if split == 'test' else 'train800.txt'})")
    if images is None:
        return None
    names = images.class_names
    if task.class_names and names == tuple(map(str, range(task.classes))):
        names = task.class_names
    notes = (*images.notes, *size_notes(task, split, len(images.labels)))
    return dataclasses.replace(images, class_names=names, notes=notes)


def _of_hub(task: Task, root: Path, read: Callable[..., Any]) -> dict[SplitName, Pool]:
    """Return the splits that a layout's files hold."""
    found: dict[SplitName, Pool] = {}
    for name in ("train", "val", "test"):
        images = contract.call(read, {"root": root, "split": name, "download": False, "classes": task.classes})
        if images is not None:
            found[name] = Pool(source=images, labels=images.labels, class_names=images.class_names)
    return found


def from_pools(task: Task, pools: Mapping[SplitName, Pool], split: SplitName, form: str) -> Rows:
    """Return a split of a task that is cut here from whole splits.

    Args:
        task: which one.
        pools: a training and a test split, perhaps a validation split.
        split: which split of the task.
        form: of the files, in words.

    Raises:
        ValueError: a split is missing, or a label is out of range.
    """
    if lacking := [name for name in ("train", "test") if name not in pools]:
        raise ValueError(f"{form} have no {lacking[0]} split")
    notes: list[str] = []
    pool, rows = pools["test"], np.arange(len(pools["test"].labels))
    if split != "test":
        rows, pool, notes = _learned(task, pools, split, form)
    names = _class_names(task, pool)
    labels = pool.labels[rows]
    check_labels(task, labels, split)
    return Rows(
        source=pool.source,
        rows=rows,
        labels=labels,
        class_names=names,
        notes=(*notes, *size_notes(task, split, len(rows))),
        lineage=OWN_SPLIT,
    )


def _learned(
    task: Task, pools: Mapping[SplitName, Pool], split: SplitName, form: str
) -> tuple[NDArray[np.int64], Pool, list[str]]:
    """Return the rows of the 800 or of the 200, the split they are of, and a sentence on them."""
    train, val = pools["train"], pools.get("val")
    count = len(train.labels)
    kept, chosen = (first(count, TRAIN), None) if val else cut(count, count if task.val_at is None else task.val_at)
    note = f"own split, from {form}: {len(kept):,} of {count:,} training images"
    source, rows = (train, kept) if split == "train" else (val or train, first(len(val.labels), VAL) if val else chosen)
    assert rows is not None
    note += "" if val else f", and {len(chosen if chosen is not None else ()):,} others for validation"
    if _by_class(source.labels):
        note += "; the files are ordered by class, so they are shuffled first"
        rows = own_order(len(source.labels))[rows]
    else:
        note += ", in the order of the files, which may not be that of TensorFlow Datasets"
    return rows, source, [note]


def _by_class(labels: NDArray[np.int64]) -> bool:
    return bool((np.diff(labels) >= 0).all())


def _class_names(task: Task, pool: Pool) -> tuple[str, ...]:
    """Return the names that the files have, the task's own where these are just numbers."""
    if any(not name.isdecimal() for name in pool.class_names):
        return pool.class_names
    return task.class_names or tuple(map(str, range(task.classes)))


def check_labels(task: Task, labels: NDArray[np.int64], split: str) -> None:
    """Raise ValueError where a label is none of the task's."""
    wrong = np.flatnonzero((labels < 0) | (labels >= task.classes))
    if len(wrong):
        raise ValueError(
            f"{split} image {wrong[0]} has the label {labels[wrong[0]]}; {task.title} has the labels 0 to "
            f"{task.classes - 1}"
        )


def size_notes(task: Task, split: SplitName, count: int) -> tuple[str, ...]:
    """Return a sentence where a split has another size than VTAB-1k's."""
    wanted = {"train": TRAIN, "val": VAL, "test": task.test}[split]
    kind = {"train": "training", "val": "validation", "test": "test"}[split]
    return () if count == wanted else (f"{count:,} {kind} images; VTAB-1k's {task.title} has {wanted:,}",)
