"""Checks of datasets: each function is one contract of `DatasetSpec.open` and of the images that it gives.

All labels are read, and of the images 200 of each split, evenly spaced; where the splits are compared, as many as
`MOST_BYTES` allow.

Shapes: N images in a split, B images in a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitbench.data.geometry import channels_come_last
from vitbench.errors import Skip
from vitbench.protocols import ImageSet
from vitbench.specs import load_target
from vitbench.testing.cases import DatasetCase
from vitbench.testing.checks import CheckFailed, need, raised
from vitbench.testing.opening import (
    SplitName,
    call_open,
    hash_of,
    images_of,
    open_anew,
    options_of,
    rows_of,
    seen,
    seen_elsewhere,
    splits_of,
)

MOST_BYTES = 1 << 28
"""Of decoded pixels of each split, where images are compared: all of CIFAR, or 1,700 images of 224 pixels."""
THREADS = 8
ROWS = 32
"""Of each split, that every thread reads."""


def check_dataset_opens(case: DatasetCase) -> None:
    """`open` gives the splits that the spec names, each with images and class names, from the spec's options alone."""
    splits_of(case)


def check_dataset_missing(case: DatasetCase) -> None:
    """`open` raises FileNotFoundError without a folder, that or ValueError for an empty one, and writes nothing."""
    need(case.spec.requires)
    if not case.spec.needs_root:
        raise Skip("it reads no files")
    for split in case.spec.splits:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "data")
            _refuses(case, root, split, (FileNotFoundError,), "where there is no folder")
            root.mkdir()
            _refuses(case, root, split, (FileNotFoundError, ValueError), "of an empty folder")


def _refuses(case: DatasetCase, root: Path, split: SplitName, kinds: tuple[type[Exception], ...], where: str) -> None:
    """Open what holds nothing; raise CheckFailed unless one of these errors comes of it, and nothing else."""
    before = sorted(root.parent.rglob("*"))
    call = f'open(split="{split}") {where}'
    load_target(case.spec.open)  # what cannot be imported is no broken contract
    try:
        call_open(case.spec.open, root, split, options_of(case), case.spec.classes)
    except kinds as error:
        if isinstance(error, ValueError) and len(str(error).split()) < 3:
            raise CheckFailed(f"{call} raised {raised(error)}; say in one sentence what is missing") from error
    except Exception as error:
        names = " or ".join(kind.__name__ for kind in kinds)
        raise CheckFailed(f"{call} raised {raised(error)}; it must be {names}") from error
    else:
        raise CheckFailed(f"{call} found images; raise FileNotFoundError")
    made = sorted(set(root.parent.rglob("*")) - set(before))
    if made:
        raise CheckFailed(f"{call} and download=False created {made[0].relative_to(root.parent)}; write nothing")


def check_dataset_sizes(case: DatasetCase) -> None:
    """The numbers of images and classes and the image shape are those that the spec declares."""
    spec = case.spec
    if spec.classes is None and spec.shape is None and not spec.sizes:
        raise Skip("it declares neither classes nor shape nor sizes")
    for split, images in splits_of(case).items():
        found = len(images.labels)
        if found != spec.sizes.get(split, found):
            raise CheckFailed(f"{split} has {found} images, but the spec says {spec.sizes[split]}")
        if len(images.class_names) != (spec.classes or len(images.class_names)):
            raise CheckFailed(f"{split} has {len(images.class_names)} classes, but the spec says {spec.classes}")
        for row, image in _some(images):
            if image.shape != (spec.shape or image.shape):
                raise CheckFailed(
                    f"{split} image {row} is {list(image.shape)}, but the spec says {list(spec.shape or ())}"
                )


def check_dataset_images(case: DatasetCase) -> None:
    """Images are uint8 or uint16 arrays ``[C, H, W]``, all with the same channels, except that some may be gray."""
    channels: set[int] = set()
    for split, images in splits_of(case).items():
        for row, image in _some(images):
            if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16):
                kind = getattr(image, "dtype", type(image).__name__)
                raise CheckFailed(
                    f"{split} image {row} is {kind}; it must be an array of uint8, 0 to 255, or of uint16"
                )
            shape = list(image.shape)
            if len(shape) != 3 or 0 in shape or channels_come_last(image.shape):
                raise CheckFailed(f"{split} image {row} is {shape}; it must be [channels, height, width]")
            channels.add(shape[0])
            if len(channels - {1}) > 1:
                raise CheckFailed(
                    f"images have {' and '.join(map(str, sorted(channels - {1})))} channels; give one number"
                )


def check_dataset_labels(case: DatasetCase) -> None:
    """Labels are an int64 array ``[N]``, each in 0..K-1."""
    for split, images in splits_of(case).items():
        labels: Any = images.labels
        if not isinstance(labels, np.ndarray) or labels.dtype != np.int64 or labels.ndim != 1:
            kind = f"{labels.dtype}{list(labels.shape)}" if isinstance(labels, np.ndarray) else type(labels).__name__
            raise CheckFailed(f"the labels of {split} are {kind}; they must be an array of int64 of shape [N]")
        classes = len(images.class_names)
        wrong = np.flatnonzero((labels < 0) | (labels >= classes))
        if len(wrong):
            raise CheckFailed(f"{split} image {wrong[0]} has the label {labels[wrong[0]]}, not one of 0..{classes - 1}")


def check_dataset_class_names(case: DatasetCase) -> None:
    """There are at least two class names; they are strings, all different, and the same in all splits."""
    splits = splits_of(case)
    names = [list(images.class_names) for images in splits.values()]
    if any(other != names[0] for other in names):
        words = "have different class names, or a different order; take them from one list"
        raise CheckFailed(f"{' and '.join(splits)} {words}")
    if len(names[0]) < 2 or not all(isinstance(name, str) and name for name in names[0]):
        raise CheckFailed(f"the class names must be two or more strings, not {names[0]!r:.80}")
    twice = [name for name in names[0] if names[0].count(name) > 1]
    if twice:
        raise CheckFailed(f"two classes are called {twice[0]!r}; make their names differ")


def check_dataset_every_class(case: DatasetCase) -> None:
    """Each class has an image in the train split and in the test split."""
    for split, images in splits_of(case).items():
        if split == "val":  # it only guides choices
            continue
        absent = np.setdiff1d(np.arange(len(images.class_names)), images.labels)
        if len(absent):
            name = images.class_names[absent[0]]
            raise CheckFailed(f"{split} has no image of {len(absent)} classes, such as {name!r}; split class by class")


def check_dataset_splits_disjoint(case: DatasetCase) -> None:
    """No image of a split is also in another split, by the hash of its pixels."""
    hashes = {
        split: [(row, hash_of(image)) for row, image in _many(images)] for split, images in splits_of(case).items()
    }
    for one, other in itertools.combinations(hashes, 2):
        seen = {key: row for row, key in hashes[one]}
        both = [(row, seen[key]) for row, key in hashes[other] if key in seen]
        if both:
            row, twin = both[0]
            raise CheckFailed(
                f"{len(both)} of {len(hashes[other])} {other} images are in {one}, too, such as {other} {row}, "
                f"{one} {twin}; split before anything is repeated"
            )


def check_dataset_order_stable(case: DatasetCase) -> None:
    """Class names, labels and images come in the same order in two processes."""
    first = {split: seen(images) for split, images in splits_of(case).items()}
    if isinstance(case.spec.open, str):
        second = seen_elsewhere(case)
    else:  # a function itself, in tests, which no other process can find
        second = {split: seen(images) for split in first if (images := open_anew(case, split)) is not None}
    if {*first} != {*second}:
        raise CheckFailed(f"opened again, it returned the splits {', '.join(second)} instead of {', '.join(first)}")
    for split in first:
        one, other = first[split], second[split]
        if one.class_names != other.class_names:
            raise CheckFailed(f"the class names of {split} are in a different order when opened again; sort them")
        if one.labels != other.labels:
            raise CheckFailed(
                f"the labels of {split} are in a different order when opened again; sort, or fix the seed"
            )
        if one.images != other.images:
            raise CheckFailed(f"the images of {split} differ when opened again; sort, or fix the seed")


def check_dataset_batches_agree(case: DatasetCase) -> None:
    """`images(index)` gives the images of these rows in order, and agrees with `image(i)` if both exist."""
    for split, images in splits_of(case).items():
        source: Any = images
        if not hasattr(source, "images"):
            raise Skip("it offers only image(i)")
        rows = rows_of(source)[::-1].copy()
        together = source.images(rows)
        if len(together) != len(rows):
            raise CheckFailed(f"images(index) of {split} returned {len(together)} images for {len(rows)} rows")
        for row, image in zip(rows, together, strict=True):
            alone = source.image(int(row)) if hasattr(source, "image") else source.images(np.array([row]))[0]
            if not np.array_equal(image, alone):
                raise CheckFailed(f"{split} image {row} differs between a batch and alone; keep the order of index")


def check_dataset_threads_agree(case: DatasetCase) -> None:
    """Several threads can read at once, and each gets the same images as a single thread."""
    for split, images in splits_of(case).items():
        rows = rows_of(images, ROWS)
        alone = {row: hash_of(image) for row, image in images_of(images, rows)}
        orders = [np.roll(rows, number * len(rows) // THREADS) for number in range(THREADS)]
        for row, found in _read_at_once(images, orders):
            if found != alone[row]:
                raise CheckFailed(
                    f"{split} image {row} differs when {THREADS} threads read at once; share no open file "
                    "and no other state between calls, or take a lock"
                )


def _read_at_once(images: ImageSet, orders: list[NDArray[np.int64]]) -> Iterator[tuple[int, str]]:
    """Give rows and hashes of their images, which one thread for each order reads one by one."""

    def read(rows: NDArray[np.int64]) -> list[tuple[int, str]]:
        return [(row, hash_of(image)) for one in rows for row, image in images_of(images, [int(one)])]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that threads meet often
    try:
        with ThreadPoolExecutor(len(orders)) as pool:
            for found in pool.map(read, orders):
                yield from found
    except CheckFailed as failure:
        raise CheckFailed(f"with {len(orders)} threads at once {failure}") from failure
    finally:
        sys.setswitchinterval(interval)


def _some(images: ImageSet) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    return images_of(images, rows_of(images))


def _many(images: ImageSet) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Give rows and their images, as many as `MOST_BYTES` allow."""
    [(_, first)] = images_of(images, [0])
    return images_of(images, rows_of(images, max(1, MOST_BYTES // first.nbytes)))
