"""The files of tasks as their authors publish them, unpacked: images, and what the label rules need.

Each function takes the folder of a task and gives whole splits, or None where the folder does not have its layout. What
has no split of its own, or one that TensorFlow Datasets makes by lists that it keeps to itself, is split here.

Shapes: N images.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vitbench_datasets import folder
from vitbench_datasets.folder import ImageFiles
from vitbench_datasets.naming import in_class_order

from vitbench.specs import SplitName

from . import rules
from .arrays import Arrays, Sprites, read_mat, read_norb, read_npz
from .images import Pool
from .tasks import TRAIN, VAL, Task

Pools = dict[SplitName, Pool]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
KITTI_SPLIT = (6_347, 423, 711)
"""What TensorFlow Datasets makes of 7,481 images; by drives, which their files do not name."""
CALTECH_TRAIN = 30
"""Images of each class that train."""


def _files(root: Path, paths: Sequence[Path], labels: Sequence[int], names: Sequence[str]) -> Pool:
    """Return a split of image files.

    Raises:
        ValueError: there are none, one is missing, or one lies outside of the folder.
    """
    if not paths:
        raise ValueError(f"there are no images in {root}")
    if outside := [path for path in paths if ".." in path.parts or not path.is_relative_to(root)]:
        raise ValueError(f"{outside[0]} leads outside the dataset folder, {root}")
    if lost := [path for path in paths if not path.is_file()]:
        raise ValueError(f"{len(lost):,} of {len(paths):,} images are missing, the first is {lost[0]}")
    images = ImageFiles(
        paths=tuple(paths),
        labels=np.asarray(labels, dtype=np.int64),
        class_names=tuple(names),
        notes=(),
        names=tuple(path.relative_to(root).as_posix() for path in paths),
    )
    return Pool(source=images, labels=images.labels, class_names=images.class_names)


def _chosen(pool: Pool, rows: NDArray[np.int64]) -> Pool:
    """Return some rows of a split of image files."""
    images: Any = pool.source
    some = ImageFiles(
        paths=tuple(images.paths[row] for row in rows),
        labels=pool.labels[rows],
        class_names=pool.class_names,
        notes=(),
        names=tuple(images.names[row] for row in rows),
    )
    return Pool(source=some, labels=some.labels, class_names=some.class_names)


def _within(root: Path, *names: str) -> Path | None:
    """Return the first folder of some names in a folder, or None."""
    return next((root / name for name in names if (root / name).is_dir()), None)


def _lines(path: Path) -> list[list[str]]:
    """Return the words of each line that is not empty.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    return [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def by_class(root: Path, base: Path) -> Pool | None:
    """Return the images of class folders, or None where there are none."""
    folders = {each.name: each for each in folder.folders_in(base)}
    paths, labels, names = list[Path](), list[int](), in_class_order(folders)
    for label, name in enumerate(names):
        found = sorted(path for path in folders[name].iterdir() if folder.is_image(path.name))
        paths += found
        labels += [label] * len(found)
    return _files(root, paths, labels, names) if paths else None


# --- one task each ---------------------------------------------------------------------------------------------------


def caltech101(task: Task, root: Path) -> Pools | None:
    """``101_ObjectCategories/<class>/*.jpg``: 30 images of each class train, all others test."""
    base = _within(root, "101_ObjectCategories", "caltech101/101_ObjectCategories")
    pool = by_class(root, base) if base else None
    if pool is None:
        return None
    order = rules.own_order(len(pool.labels))
    # The place of each image in its class, by the order; equal labels keep it.
    place = np.empty(len(order), dtype=np.int64)
    for label in np.unique(pool.labels):
        rows = order[pool.labels[order] == label]
        place[rows] = np.arange(len(rows))
    most = np.minimum(CALTECH_TRAIN, np.bincount(pool.labels)[pool.labels] - 1)
    train = place < most
    return {"train": _chosen(pool, order[train[order]]), "test": _chosen(pool, np.flatnonzero(~train))}


def dtd(task: Task, root: Path) -> Pools | None:
    """``images/<class>/*.jpg`` and ``labels/{train1,val1,test1}.txt``, the first fold."""
    base = _within(root, "labels", "dtd/labels", "dtd/dtd/labels")
    if base is None or not (base / "train1.txt").is_file():
        return None
    lists = {split: [words[0] for words in _lines(base / f"{split}1.txt")] for split in SPLITS}
    names = in_class_order({path.partition("/")[0] for paths in lists.values() for path in paths})
    images = base.parent / "images"
    return {
        split: _files(
            root, [images / path for path in paths], [names.index(path.partition("/")[0]) for path in paths], names
        )
        for split, paths in lists.items()
    }


def flowers102(task: Task, root: Path) -> Pools | None:
    """``jpg/image_00001.jpg``, ``imagelabels.mat`` and ``setid.mat``."""
    base = next((each for each in (root, root / "flowers-102") if (each / "setid.mat").is_file()), None)
    if base is None:
        return None
    labels = read_mat(base / "imagelabels.mat", "labels").ravel() - 1
    names = tuple(map(str, range(task.classes)))
    pools: Pools = {}
    for split, key in zip(SPLITS, ("trnid", "valid", "tstid"), strict=True):
        ids = read_mat(base / "setid.mat", key).ravel().tolist()
        if ids and not 1 <= min(ids) <= max(ids) <= len(labels):
            raise ValueError(f"{base / 'setid.mat'}: {key} names images beyond the {len(labels):,} labels")
        paths = [base / "jpg" / f"image_{number:05}.jpg" for number in ids]
        pools[split] = _files(root, paths, [int(labels[number - 1]) for number in ids], names)
    return pools


def pets(task: Task, root: Path) -> Pools | None:
    """``images/*.jpg`` and ``annotations/{trainval,test}.txt``, lines of a name, a class from 1, and more."""
    base = _within(root, "annotations", "oxford-iiit-pet/annotations")
    if base is None or not (base / "trainval.txt").is_file():
        return None
    pools: Pools = {}
    lists: Mapping[SplitName, str] = {"train": "trainval", "test": "test"}
    for split, name in lists.items():
        lines = _lines(base / f"{name}.txt")
        if wrong := [words for words in lines if len(words) < 2 or not words[1].isdecimal()]:
            raise ValueError(f"{base / name}.txt: {' '.join(wrong[0])!r} is not a name and a class")
        paths = [base.parent / "images" / f"{words[0]}.jpg" for words in lines]
        labels = [int(words[1]) - 1 for words in lines]
        pools[split] = _files(root, paths, labels, tuple(map(str, range(task.classes))))
    return pools


def svhn(task: Task, root: Path) -> Pools | None:
    """``train_32x32.mat`` and ``test_32x32.mat``: ``X`` [32, 32, 3, N] and ``y``, 10 for the digit 0."""
    if not (root / "train_32x32.mat").is_file():
        return None
    pools: Pools = {}
    for split in (SPLITS[0], SPLITS[2]):
        path = root / f"{split}_32x32.mat"
        images, labels = read_mat(path, "X"), read_mat(path, "y").ravel().astype(np.int64)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[2:] != (3, len(labels)):
            raise ValueError(f"{path} must contain uint8 X [32, 32, 3, N] and y [N]")
        pools[split] = Pool(
            source=Arrays(pixels=images.transpose(3, 2, 0, 1)),
            labels=rules.svhn_digit(labels),
            class_names=task.class_names,
        )
    return pools


def eurosat(task: Task, root: Path) -> Pools | None:
    """``2750/<class>/*.jpg``, which is split here: 60, 20 and 20 %."""
    return _one_pool(root, "2750", "eurosat/2750", "EuroSAT", "EuroSAT_RGB")


def resisc45(task: Task, root: Path) -> Pools | None:
    """``NWPU-RESISC45/<class>/*.jpg``, which is split here: 60, 20 and 20 %."""
    return _one_pool(root, "NWPU-RESISC45", "resisc45")


def _one_pool(root: Path, *names: str) -> Pools | None:
    base = _within(root, *names)
    pool = by_class(root, base) if base else None
    if pool is None:
        return None
    order = rules.own_order(len(pool.labels))
    parts = rules.shares(len(order), 60, 20)
    return {split: _chosen(pool, order[rows]) for split, rows in zip(SPLITS, parts, strict=True)}


def clevr(task: Task, root: Path) -> Pools | None:
    """``images/{train,val}/*.png`` and ``scenes/CLEVR_{train,val}_scenes.json``; CLEVR's validation images test."""
    base = next((each for each in (root, root / "CLEVR_v1.0") if (each / "scenes").is_dir()), None)
    if base is None:
        return None
    pools: Pools = {}
    folders: Mapping[SplitName, str] = {"train": "train", "test": "val"}
    for split, name in folders.items():
        path = base / "scenes" / f"CLEVR_{name}_scenes.json"
        try:
            scenes = json.loads(path.read_bytes())["scenes"]
            found = [(scene["image_filename"], scene["objects"]) for scene in scenes]
            labels = [_clevr_label(task, objects) for _, objects in found]
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise ValueError(f"cannot read {path}: {_reason(error)}") from error
        paths = [base / "images" / name / image for image, _ in found]
        pools[split] = _files(root, paths, labels, task.class_names)
    return pools


def _clevr_label(task: Task, objects: Sequence[Mapping[str, Any]]) -> int:
    if task.name == "clevr-count-1k":
        return rules.clevr_count(len(objects))
    return rules.clevr_distance([float(each["pixel_coords"][2]) for each in objects])


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no entry {error}"
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


def kitti(task: Task, root: Path) -> Pools | None:
    """``training/image_2/*.png`` and ``training/label_2/*.txt``, lines of a type, 12 numbers, and z."""
    base = _within(root, "training", "data_object_image_2/training", "Kitti/raw/training")
    if base is None or not (base / "label_2").is_dir():
        return None
    paths = sorted((base / "image_2").glob("*.png"))
    labels = []
    for path in paths:
        notes = base / "label_2" / f"{path.stem}.txt"
        try:
            labels.append(rules.kitti_distance([(words[0], float(words[13])) for words in _lines(notes)]))
        except (ValueError, IndexError) as error:
            words = str(error) if str(error).startswith("cannot read") else f"cannot read {notes}: {error}"
            raise ValueError(words) from error
    pool = _files(root, paths, labels, task.class_names)
    count, (train, val, _) = len(paths), KITTI_SPLIT
    ends = count * train // sum(KITTI_SPLIT), count * (train + val) // sum(KITTI_SPLIT)
    order = rules.own_order(count)
    parts: Mapping[SplitName, slice] = {
        "train": slice(ends[0]),
        "val": slice(ends[0], ends[1]),
        "test": slice(ends[1], count),
    }
    return {split: _chosen(pool, order[part]) for split, part in parts.items() if len(order[part])}


def dsprites(task: Task, root: Path) -> Pools | None:
    """``dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz``: ``imgs`` [N, 64, 64] of 0 and 1, ``latents_classes``."""
    path = next(iter(sorted(root.glob("dsprites_ndarray_*.npz"))), None)
    if path is None:
        return None
    factor, values = (4, 32) if task.name == "dsprites-location-1k" else (3, 40)
    latents = read_npz(path, "latents_classes")
    if latents.ndim != 2 or latents.shape[1] != 6:
        raise ValueError(f"{path}: latents_classes must be of shape [N, 6], not {list(latents.shape)}")
    labels = rules.dsprites_bins(latents[:, factor].astype(np.int64), values)
    order = rules.own_order(len(labels))
    train, val, test = (order[rows] for rows in rules.shares(len(labels), 80, 10))
    parts: Mapping[SplitName, NDArray[np.int64]] = {"train": train[:TRAIN], "val": val[:VAL], "test": test}
    return {
        split: Pool(source=Sprites(path=path, rows=rows), labels=labels[rows], class_names=task.class_names)
        for split, rows in parts.items()
    }


def smallnorb(task: Task, root: Path) -> Pools | None:
    """``smallnorb-*-{training,testing}-{dat,info}.mat``: the first camera; validation is the first half of testing."""
    found: dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]] = {}
    for name in ("training", "testing"):
        parts = [sorted(root.glob(f"smallnorb-*-{name}-{kind}.mat")) for kind in ("dat", "info")]
        if not all(parts):
            if any(root.glob(f"smallnorb-*-{name}-*.mat.gz")):
                raise ValueError(f"the files of {name} in {root} are compressed; decompress them with gunzip")
            return None
        images, info = (read_norb(some[0]) for some in parts)
        if images.ndim != 4 or info.ndim != 2 or info.shape[1] != 4 or len(images) != len(info):
            raise ValueError(f"{parts[0][0]} must contain [N, 2, 96, 96] images, and {parts[1][0].name} [N, 4] numbers")
        column, rule = (
            (2, rules.smallnorb_azimuth) if task.name == "smallnorb-azimuth-1k" else (1, rules.smallnorb_elevation)
        )
        found[name] = images[:, :1], rule(info[:, column].astype(np.int64))
    val, test = rules.halves(len(found["testing"][1]))
    everything = np.arange(len(found["training"][1]))
    rows: Mapping[SplitName, tuple[str, NDArray[np.int64]]] = {
        "train": ("training", everything),
        "val": ("testing", val),
        "test": ("testing", test),
    }
    return {
        split: Pool(
            source=Arrays(pixels=found[name][0][some]), labels=found[name][1][some], class_names=task.class_names
        )
        for split, (name, some) in rows.items()
    }


READERS: Mapping[str, Callable[[Task, Path], Pools | None]] = {
    "caltech101-1k": caltech101,
    "dtd-1k": dtd,
    "flowers102-1k": flowers102,
    "pets-1k": pets,
    "svhn-1k": svhn,
    "eurosat-1k": eurosat,
    "resisc45-1k": resisc45,
    "clevr-count-1k": clevr,
    "clevr-distance-1k": clevr,
    "kitti-distance-1k": kitti,
    "dsprites-location-1k": dsprites,
    "dsprites-orientation-1k": dsprites,
    "smallnorb-azimuth-1k": smallnorb,
    "smallnorb-elevation-1k": smallnorb,
}
"""By task; the others are read from file lists and from a hub's files alone."""
