"""A folder of images, one sub-folder for each class: the layout of ImageNet and of most people's own data.

``train/<class>/*`` with ``test/<class>/*`` (or ``val``, ``valid``, ``validation``), or ``<class>/*`` alone, which is
then split. Images are jpg, png, webp or bmp files of any size and mode; class folders are not searched deeper.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitbench.data.splits import single_image_note, stratified_split

from .decoding import Conversions, Pixels

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
TEST_FOLDERS = ("test", "val", "valid", "validation")
"""Folders that hold test images; the first that is there does."""
TEST_SHARE = 0.2
SPLIT_SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFiles:
    """One split of a folder of images."""

    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    """int64[N]"""
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    _seen: Conversions = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_seen", Conversions(len(self.paths)))

    def image(self, i: int) -> Pixels:
        """Return [C, H, W]. Raises ValueError with the path of an unreadable file."""
        return self._seen.decode(i, self.paths[i], name=str(self.paths[i]))

    @property
    def conversions(self) -> dict[str, int]:
        """How many of the images read so far are what, in words."""
        return self._seen.counts


def detect(root: Path) -> bool:
    """Whether there is an image in a class folder of `root` or of ``root/train``."""
    base = root / "train" if (root / "train").is_dir() else root
    return any(True for folder in _folders(base) for _ in _images(folder))


def open_folder(*, root: Path, split: Literal["train", "test"], download: bool = False) -> ImageFiles:
    """Return one split; without a test folder, a stratified fifth of the images by a fixed seed.

    Raises:
        FileNotFoundError: `root` does not exist.
        ValueError: there is no image in a class folder of it.
    """
    test = next((root / name for name in TEST_FOLDERS if (root / name).is_dir()), None)
    if (root / "train").is_dir() and test is not None:
        return _scan(root / "train" if split == "train" else test)
    if test is not None:
        raise ValueError(f"there is a folder {test.name} but no folder train")
    everything = _scan(root / "train" if (root / "train").is_dir() else root)
    kept, held_out = stratified_split(everything.labels, TEST_SHARE, SPLIT_SEED)
    rows = kept if split == "train" else held_out
    notes = [
        f"no folder test: test split made here: stratified, seed {SPLIT_SEED}, "
        f"{len(kept):,} training and {len(held_out):,} test images",
        single_image_note(everything.labels, everything.class_names, held_out="test"),
    ]
    return ImageFiles(
        paths=tuple(everything.paths[row] for row in rows),
        labels=everything.labels[rows],
        class_names=everything.class_names,
        notes=(*everything.notes, *filter(None, notes)),
    )


def _scan(base: Path) -> ImageFiles:
    folders = _folders(base)
    files = {folder.name: sorted(_images(folder)) for folder in folders}
    classes = tuple(name for name, paths in files.items() if paths)
    if not classes:
        raise ValueError(f"no images in {base}/<class>/ (looked for {', '.join(sorted(SUFFIXES))})")
    empty = [name for name, paths in files.items() if not paths]
    note = f"not classes, because no image lies directly in them: {', '.join(empty)} (in {base})"
    return ImageFiles(
        paths=tuple(path for name in classes for path in files[name]),
        labels=np.repeat(np.arange(len(classes)), [len(files[name]) for name in classes]),
        class_names=classes,
        notes=(note,) if empty else (),
    )


def _folders(base: Path) -> list[Path]:
    return sorted(path for path in base.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - millions of files: no Path for each
            if suffix in SUFFIXES and not entry.name.startswith(".") and entry.is_file():
                yield Path(entry.path)
