"""A named dataset in any of the layouts that people have it in, for a spec's `open`: VTAB's tasks, for one.

The class count of the spec is offered to the reader, so that labels are held to it and classes may be absent.
"""

from __future__ import annotations

from pathlib import Path

from vitbench.protocols import ImageSet
from vitbench.specs import SplitName

from . import file_list, parquet


def open_any(*, root: Path, split: SplitName, download: bool = False, classes: int | None = None) -> ImageSet | None:
    """Return one split, or None where the files have no such split.

    Raises:
        FileNotFoundError: `root` does not exist, or holds none of the layouts.
        UnusableError: a library that reads them is not installed.
        ValueError: what is there cannot be used.
    """
    if file_list.detect(root):
        return file_list.open_file_list(root=root, split=split, classes=classes)
    if parquet.detect(root):
        return parquet.open_parquet(root=root, split=split)
    raise FileNotFoundError(f"{root} holds neither lists of images (train800.txt, test.txt) nor Parquet files")
