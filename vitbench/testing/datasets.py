"""Checks of data sets: each function is one contract of `DatasetSpec.open` and of the images that it gives.

All labels are read, and of the images of a large split as many as `MOST_BYTES` allow, evenly spaced.

Shapes: N images in a split, B images in a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitbench.errors import Skip
from vitbench.protocols import ImageSet
from vitbench.specs import load_target
from vitbench.testing.cases import DatasetCase
from vitbench.testing.checks import CheckFailed, need, raised

__all__ = [
    "check_dataset_batches_agree",
    "check_dataset_class_names",
    "check_dataset_every_class",
    "check_dataset_images",
    "check_dataset_labels",
    "check_dataset_missing",
    "check_dataset_order_stable",
    "check_dataset_sizes",
    "check_dataset_splits_disjoint",
]

SplitName = Literal["train", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "test")
MOST_BYTES = 1 << 28
"""Of decoded pixels of each split, where images are compared: all of CIFAR, or 1,700 images of 224 pixels."""
SOME_IMAGES = 200
"""Of each split, where some tell enough."""


def check_dataset_missing(case: DatasetCase) -> None:
    """Where there is nothing, `open` raises FileNotFoundError, or ValueError with a sentence; it downloads nothing."""
    need(case.spec.requires)
    if not case.spec.needs_root:
        raise Skip("it reads no files")
    with tempfile.TemporaryDirectory() as folder:
        nothing = Path(folder, "nothing")
        try:
            load_target(case.spec.open)(root=nothing, split="train", download=False)
        except (FileNotFoundError, ValueError):
            pass
        except Exception as error:
            raise CheckFailed(
                f"open where there is nothing raised {raised(error)}; it must be FileNotFoundError"
            ) from error
        else:
            raise CheckFailed("open found images in a folder that does not exist; raise FileNotFoundError")
        if nothing.exists():
            raise CheckFailed("open with download=False made its folder; write nothing")


def check_dataset_sizes(case: DatasetCase) -> None:
    """The numbers of images and classes and the shape of the images are those that the spec declares."""
    spec = case.spec
    if spec.classes is None and spec.shape is None and not spec.sizes:
        raise Skip("it declares neither classes nor shape nor sizes")
    for split in SPLITS:
        images = _open(case, split)
        found = len(images.labels)
        if found != spec.sizes.get(split, found):
            raise CheckFailed(f"{split} has {found} images, the spec says {spec.sizes[split]}")
        if len(images.class_names) != (spec.classes or len(images.class_names)):
            raise CheckFailed(f"{split} has {len(images.class_names)} classes, the spec says {spec.classes}")
        for row, image in _images(images, SOME_IMAGES):
            if image.shape != (spec.shape or image.shape):
                raise CheckFailed(f"{split} image {row} is {list(image.shape)}, the spec says {list(spec.shape or ())}")


def check_dataset_images(case: DatasetCase) -> None:
    """Images are arrays uint8 ``[C, H, W]`` of one channel or three."""
    for split in SPLITS:
        for row, image in _images(_open(case, split), SOME_IMAGES):
            if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
                kind = getattr(image, "dtype", type(image).__name__)
                raise CheckFailed(f"{split} image {row} is {kind}; it must be an array of uint8, 0 to 255")
            if image.ndim != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
                raise CheckFailed(f"{split} image {row} is {list(image.shape)}; it must be [1 or 3, height, width]")


def check_dataset_labels(case: DatasetCase) -> None:
    """Labels are an array int64 ``[N]``, each in 0..K-1."""
    for split in SPLITS:
        images = _open(case, split)
        labels: Any = images.labels
        if not isinstance(labels, np.ndarray) or labels.dtype != np.int64 or labels.ndim != 1:
            kind = f"{labels.dtype}{list(labels.shape)}" if isinstance(labels, np.ndarray) else type(labels).__name__
            raise CheckFailed(f"the labels of {split} are {kind}; they must be an array of int64 of shape [N]")
        classes = len(images.class_names)
        wrong = np.flatnonzero((labels < 0) | (labels >= classes))
        if len(wrong):
            raise CheckFailed(f"{split} image {wrong[0]} has the label {labels[wrong[0]]}, not one of 0..{classes - 1}")


def check_dataset_class_names(case: DatasetCase) -> None:
    """The class names are texts, two or more, all different, and the same in both splits."""
    names = [list(_open(case, split).class_names) for split in SPLITS]
    if names[0] != names[1]:
        raise CheckFailed("train and test have other class names, or in another order; take both from one list")
    if len(names[0]) < 2 or not all(isinstance(name, str) and name for name in names[0]):
        raise CheckFailed(f"the class names must be two or more texts, not {names[0]!r:.80}")
    twice = [name for name in names[0] if names[0].count(name) > 1]
    if twice:
        raise CheckFailed(f"two classes are called {twice[0]!r}; make their names differ")


def check_dataset_every_class(case: DatasetCase) -> None:
    """Each class has an image in the train and in the test split."""
    for split in SPLITS:
        images = _open(case, split)
        absent = np.setdiff1d(np.arange(len(images.class_names)), images.labels)
        if len(absent):
            name = images.class_names[absent[0]]
            raise CheckFailed(f"{split} has no image of {len(absent)} classes, such as {name!r}; split class by class")


def check_dataset_splits_disjoint(case: DatasetCase) -> None:
    """No image of the test split is in the train split, by the hash of its pixels."""
    train, test = ([(row, _hash(image)) for row, image in _many(_open(case, split))] for split in SPLITS)
    seen = {key: row for row, key in train}
    both = [(row, seen[key]) for row, key in test if key in seen]
    if both:
        row, twin = both[0]
        raise CheckFailed(
            f"{len(both)} of {len(test)} test images are in train, too, such as test {row}, train {twin}; "
            "split before anything is repeated"
        )


def check_dataset_order_stable(case: DatasetCase) -> None:
    """Opened twice, the labels and the images come in the same order."""
    for split in SPLITS:
        first, second = _open(case, split), _open(case, split)
        if not np.array_equal(first.labels, second.labels):
            raise CheckFailed(f"the labels of {split} come in another order when opened again; sort, or fix the seed")
        pairs = zip(_images(first, SOME_IMAGES), _images(second, SOME_IMAGES), strict=True)
        for (row, one), (_, other) in pairs:
            if not np.array_equal(one, other):
                raise CheckFailed(f"{split} image {row} is another when opened again; sort, or fix the seed")


def check_dataset_batches_agree(case: DatasetCase) -> None:
    """`images(index)` gives the images of these rows in their order, the same as `image(i)` where both are offered."""
    for split in SPLITS:
        source: Any = _open(case, split)
        if not hasattr(source, "images"):
            raise Skip("it offers image(i) alone")
        rows = _rows(len(source.labels), SOME_IMAGES)[::-1].copy()
        together = source.images(rows)
        if len(together) != len(rows):
            raise CheckFailed(f"images(index) of {split} gave {len(together)} images for {len(rows)} rows")
        for row, image in zip(rows, together, strict=True):
            alone = source.image(int(row)) if hasattr(source, "image") else source.images(np.array([row]))[0]
            if not np.array_equal(image, alone):
                raise CheckFailed(f"{split} image {row} is another one in a batch than alone; keep the order of index")


def _open(case: DatasetCase, split: SplitName) -> ImageSet:
    """Open a split, or raise Skip where nobody has said where its files lie."""
    need(case.spec.requires)
    if case.spec.needs_root and case.root is None:
        raise Skip(f"needs its files: --data {case.spec.name}=PATH")
    root = case.root if case.spec.needs_root else None
    try:
        images = load_target(case.spec.open)(root=root, split=split, download=False)
        labels, names = len(images.labels), len(images.class_names)
    except Exception as error:
        raise CheckFailed(f'open(split="{split}") raised {raised(error)}') from error
    if not labels or not names:
        raise CheckFailed(f'open(split="{split}") gave {labels} images and {names} classes; there must be some')
    found: ImageSet = images
    return found


def _images(images: ImageSet, most: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Give rows and their images, evenly spaced, `most` at most; by batches where they are offered."""
    source: Any = images
    rows = _rows(len(images.labels), most)
    for some in np.array_split(rows, -(-len(rows) // 256)):
        try:
            batch = source.images(some) if hasattr(source, "images") else [source.image(int(row)) for row in some]
        except Exception as error:
            raise CheckFailed(f"reading the images {some[0]} to {some[-1]} raised {raised(error)}") from error
        yield from zip(some.tolist(), batch, strict=True)


def _many(images: ImageSet) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Give rows and their images, as many as `MOST_BYTES` allow."""
    [(_, first)] = _images(images, 1)
    return _images(images, max(1, MOST_BYTES // first.nbytes))


def _rows(count: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _hash(image: NDArray[np.uint8]) -> bytes:
    pixels = np.ascontiguousarray(image)
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
