"""A folder of images, one sub-folder for each class: the layout of ImageNet and of most people's own data.

``train/<class>/*`` with ``test/<class>/*`` (or ``val``, ``valid``, ``validation``), or ``<class>/*`` alone, which is
then split. Images are jpg, png, webp or bmp files of any size and mode; class folders are not searched deeper.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from vitbench.data.splits import single_image_note, stratified_split

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

    def image(self, i: int) -> NDArray[np.uint8]:
        """Return uint8[C, H, W]. Raises ValueError with the path of an unreadable file."""
        return decode_image(self.paths[i], name=str(self.paths[i]))


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


def decode_image(file: Path | IO[bytes], *, name: str) -> NDArray[np.uint8]:
    """Decode an image file to uint8[C, H, W]: one channel where it is gray, else three.

    It is turned upright as its EXIF data say; transparency is dropped; 16 bits become the upper 8.

    Raises:
        ValueError: it cannot be decoded; the sentence holds `name`.
    """
    try:
        with Image.open(file) as image:
            ImageOps.exif_transpose(image, in_place=True)
            return _channels_first(image)
    # Pillow's readers raise nearly anything on damaged files: OSError, SyntaxError, struct.error, zlib.error.
    except Exception as error:
        reason = "it is in no known image format" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(f"cannot read image {name}: {reason or type(error).__name__}") from error


def _channels_first(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16-bit gray, which `convert` would clip instead of scale
        return np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)[None]
    if image.mode in ("1", "L", "LA", "La"):
        return np.asarray(image.convert("L"))[None]
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns of the direct way
    return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))
