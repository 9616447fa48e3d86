"""Stratified splits and limits, the same on every machine: the sizes of the parts follow the classes' sizes.

Written by hand because scikit-learn's ``train_test_split`` refuses a class with a single image, and gives a small
class no place in a small part. Ties and remainders go to the lower class, so that a seed decides only which
images are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitbench.errors import UnusableError, UsageError
from vitbench.protocols import Split
from vitbench.records import DataInfo, Judged

__all__ = [
    "SPLIT_SEED",
    "VALIDATION_SHARE",
    "Splits",
    "limited",
    "load_splits",
    "nested_order",
    "single_image_note",
    "stratified_limit",
    "stratified_split",
    "validation_rows",
]

Index = NDArray[np.int64]

VALIDATION_SHARE = 0.1
"""The share of the training images that serves every choice."""
SPLIT_SEED = 0
"""Seed of limits and of the validation split; fixed, so that all models and seeds see the same images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Splits:
    """The three splits of one cell."""

    train: Split
    val: Split
    test: Split
    """Without images where models are judged on the validation split."""
    judged: Split
    """What a model is judged on."""
    notes: tuple[str, ...]
    """Sentences that the user should read."""


def stratified_split(labels: Index, share: float, seed: int) -> tuple[Index, Index]:
    """Hold out a share of each class.

    Each class of two or more images has at least one in each part; the only image of a class is kept.

    Args:
        labels: int64[N].
        share: share of the images to hold out, 0 to 1.
        seed: decides which images of a class are held out.

    Returns:
        The rows that are kept and the rows that are held out: int64, ascending, disjoint, complete.
    """
    counts = np.unique(labels, return_counts=True)[1]
    quotas = _quotas(counts, round(share * len(labels)), low=np.minimum(counts - 1, 1), high=counts - 1)
    held_out = _draw(labels, quotas, seed)
    return np.setdiff1d(np.arange(len(labels)), held_out, assume_unique=True), held_out


def stratified_limit(labels: Index, limit: int | float, seed: int) -> Index:
    """Choose some of the rows, class by class in proportion; each class has one if there is room for all.

    Args:
        labels: int64[N].
        limit: number of rows (int), or their share (float, above 0 to 1); all rows where it is more than N.
        seed: decides which rows of a class are chosen.

    Returns:
        The chosen rows: int64, ascending.

    Raises:
        UsageError: the limit is not positive, or is a share above 1.
    """
    if limit <= 0 or (isinstance(limit, float) and limit > 1):
        raise UsageError(f"limit {limit} must be a positive number of images, or a share above 0.0 and at most 1.0")
    total = max(1, round(limit * len(labels))) if isinstance(limit, float) else min(limit, len(labels))
    counts = np.unique(labels, return_counts=True)[1]
    low = np.full_like(counts, total >= len(counts))
    return _draw(labels, _quotas(counts, total, low=low, high=counts), seed)


def nested_order(labels: Index, seed: int) -> Index:
    """Order all rows so that each beginning of the order has the classes in proportion: fewer are among more.

    The first rows are one of each class. Then comes the class that has the smallest share of its own images so far, by
    Webster's method (Balinski and Young, Fair Representation, 1982): it never takes an image back where it gives one
    more, as quotas by the largest remainder may.

    Args:
        labels: int64[N].
        seed: decides the order within each class, the same as in `stratified_limit`.

    Returns:
        int64[N].
    """
    rows_by_class = _shuffled_classes(labels, seed)
    rows = np.concatenate(rows_by_class)
    turns = np.concatenate([np.arange(len(each)) for each in rows_by_class])
    sizes = np.repeat([len(each) for each in rows_by_class], [len(each) for each in rows_by_class])
    priority = np.where(turns == 0, -1.0, (turns + 0.5) / sizes)
    order: Index = rows[np.lexsort((labels[rows], priority))]
    return order


def limited(labels: Index, limit: int | float | None) -> Index:
    """Return the rows of a split that are used under a limit, ascending; all without one.

    Whoever reads images and whoever uses them choose alike, so that no other image need be read.

    Args:
        labels: int64[N], of the whole split.
        limit: as `stratified_limit` takes it.
    """
    return np.arange(len(labels)) if limit is None else stratified_limit(labels, limit, SPLIT_SEED)


def validation_rows(labels: Index, *, limit: int | float | None, train_images: int | None) -> Index:
    """Return the rows of a training split that are held out for validation, ascending.

    Args:
        labels: int64[N], of the whole split.
        limit: as `limited` takes it.
        train_images: how many of the training images that it leaves are used; None: all.
    """
    rows = _used(labels, limit, train_images)
    return rows[stratified_split(labels[rows], VALIDATION_SHARE, SPLIT_SEED)[1]]


def load_splits(info: DataInfo, *, limit: int | float | None, learns: bool = True, judged: Judged = "test") -> Splits:
    """Map a cached dataset and split it.

    Each split is limited, the training images that were asked for are chosen, then validation images are held out of
    them. A validation split that the dataset has is taken as it is. Without training images, train is empty, and so is
    val where the dataset has none. Images to learn from may be larger than the others, which are as models are judged
    on them.

    Args:
        info: the dataset.
        limit: as `stratified_limit` takes it, for each split; None: all images.
        learns: whether a model is trained, which needs images to choose by.
        judged: what models are judged on; no file of the test split is opened for ``val``.

    Raises:
        UsageError: `learns`, and no image is left for validation.
        UnusableError: models are to be judged on validation images, and there are none.
        ValueError: the cache holds the images of another limit alone.
    """
    if info.limit not in (None, limit):
        raise ValueError(f"the cache {info.cache} holds the images of the limit {info.limit}, not of {limit}")
    folder, learnt = Path(info.cache), Path(info.train_cache or info.cache)
    pools = {}
    for name in [each for each in info.sizes if each != "test" or judged == "test"]:
        place = learnt if name == "train" else folder
        labels = np.load(place / f"{name}-labels.npy")
        rows = _used(labels, limit, info.train_images if name == "train" else None)
        images = np.load(place / f"{name}-images.npy", mmap_mode="r")
        pools[name] = Split(images=images, index=rows, labels=labels[rows])
    if judged == "val" and not {"train", "val"} & set(pools):
        raise UnusableError(
            f"dataset {info.name}: it has only test images, and no validation images to judge models on; judge "
            "them on the test split (--split test)"
        )
    none = _part(next(iter(pools.values())), np.arange(0))
    if "train" not in pools or "val" in pools:
        train, val, test = (pools.get(name, none) for name in ("train", "val", "test"))
        return Splits(train=train, val=val, test=test, judged=val if judged == "val" else test, notes=())
    pool, test = pools["train"], pools.get("test", none)
    kept, held_out = stratified_split(pool.labels, VALIDATION_SHARE, SPLIT_SEED)
    if (learns or judged == "val") and not len(held_out):
        raise UsageError(
            f"dataset {info.name}: with one image per class ({len(pool)} in all) none is left for validation; "
            f"allow at least {2 * len(info.class_names)} training images"
        )
    note = single_image_note(pool.labels, info.class_names, held_out="validation") if learns else ""
    smaller = np.load(folder / "train-images.npy", mmap_mode="r") if info.train_cache else pool.images
    val = Split(images=smaller, index=pool.index[held_out], labels=pool.labels[held_out])
    return Splits(
        train=_part(pool, kept),
        val=val,
        test=test,
        judged=val if judged == "val" else test,
        notes=(note,) if note else (),
    )


def single_image_note(labels: Index, class_names: Sequence[str], *, held_out: str) -> str:
    """Return a sentence that names the classes with a single image, which cannot be split; empty if there are none."""
    classes, counts = np.unique(labels, return_counts=True)
    single = [class_names[label] for label in classes[counts == 1]]
    if not single:
        return ""
    shown = ", ".join(repr(name) for name in single[:3]) + (", ..." if len(single) > 3 else "")
    return f"no {held_out} image for {len(single)} of {len(class_names)} classes that have a single image: {shown}"


def _used(labels: Index, limit: int | float | None, images: int | None) -> Index:
    """Return the rows of a split that are used, ascending: a limit leaves some, of which so many images are chosen."""
    rows = limited(labels, limit)
    return rows if images is None else rows[limited(labels[rows], images)]


def _part(pool: Split, rows: Index) -> Split:
    return Split(images=pool.images, index=pool.index[rows], labels=pool.labels[rows])


def _quotas(counts: Index, total: int, *, low: Index, high: Index) -> Index:
    """Share `total` among classes in proportion to `counts`, within bounds; the bounds take precedence over the
    total."""
    ideal = counts * (total / counts.sum())
    quotas: Index = np.clip(np.floor(ideal).astype(np.int64), low, high)
    while gap := total - int(quotas.sum()):
        step = 1 if gap > 0 else -1
        room = quotas < high if step > 0 else quotas > low
        if not room.any():
            break
        quotas[np.argmax(np.where(room, (ideal - quotas) * step, -np.inf))] += step
    return quotas


def _draw(labels: Index, quotas: Index, seed: int) -> Index:
    drawn = [rows[:quota] for rows, quota in zip(_shuffled_classes(labels, seed), quotas, strict=True)]
    return np.sort(np.concatenate(drawn))


def _shuffled_classes(labels: Index, seed: int) -> list[Index]:
    """Return the rows of each class in an order that the seed decides, class after class."""
    # RandomState's stream is frozen for good; a Generator's may change with numpy's version, and the split with it.
    random = np.random.RandomState(seed)
    counts = np.unique(labels, return_counts=True)[1]
    rows_by_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    return [random.permutation(rows) for rows in rows_by_class]
