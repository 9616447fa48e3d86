"""Miniature archives of VTAB's tasks: about 20 images each, in the exact layouts of the real ones."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from vitbench_vtab.tasks import TASKS, Task

LISTS = ("train800", "val200", "train800val200", "test")
RANDOM = np.random.default_rng(0)
FORMS = {
    "cifar100-1k": "parquet",
    "sun397-1k": "lists",
    "patch-camelyon-1k": "tars",
    "diabetic-retinopathy-1k": "lists",
    "dmlab-1k": "parquet",
}
"""Of tasks whose published files are not read."""


def pictures(count: int, labels: Sequence[int], *, side: int = 12) -> list[Image.Image]:
    """Return pictures whose shade tells their labels apart, each another one."""
    shades = [40 + 13 * (label % 14) for label in labels]
    return [Image.fromarray((shade + RANDOM.integers(0, 12, (side, side + 4, 3))).astype(np.uint8)) for shade in shades]


def save(pixels: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels.save(path)


def labels_of(task: Task, count: int) -> list[int]:
    return [number % min(task.classes, 4) for number in range(count)]


def lists(task: Task, root: Path) -> None:
    """Write what the PyTorch forks read: ``images/`` and the lists of VTAB."""
    labels = labels_of(task, 20)
    rows = []
    for number, (picture, label) in enumerate(zip(pictures(20, labels), labels, strict=True)):
        save(picture, root / f"images/{number}.png")
        rows.append(f"images/{number}.png {label}\n")
    for name, part in zip(LISTS, (rows[:8], rows[8:12], rows[:12], rows[12:]), strict=True):
        (root / f"{name}.txt").write_text("".join(part))


def encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def parquet(task: Task, root: Path) -> None:
    """Write a training and a test split as dataset hubs have them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    root.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", 12), ("test", 8)):
        labels = labels_of(task, count)
        images = [{"bytes": encoded(each), "path": None} for each in pictures(count, labels)]
        pq.write_table(pa.table({"image": images, "label": labels}), root / f"{split}-00000-of-00001.parquet")


def tars(task: Task, root: Path) -> None:
    """Write ``train/0.tar`` and ``test/0.tar`` as clip-benchmark has them."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "classnames.txt").write_text("".join(f"{name}\n" for name in task.class_names))
    for split, count in (("train", 12), ("test", 8)):
        (root / split).mkdir()
        labels = labels_of(task, count)
        with tarfile.open(root / split / "0.tar", "w") as archive:
            for number, (picture, label) in enumerate(zip(pictures(count, labels), labels, strict=True)):
                for suffix, content in (("cls", str(label).encode()), ("png", encoded(picture))):
                    member = tarfile.TarInfo(f"s{number:07}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))


def _class_folders(base: str, classes: int, each: int) -> Callable[[Task, Path], None]:
    def write(task: Task, root: Path) -> None:
        for label in range(classes):
            name = f"class{label:03}"
            for number, picture in enumerate(pictures(each, [label] * each)):
                save(picture, root / base / name / f"{name}_{number:04}.jpg")

    return write


def dtd(task: Task, root: Path) -> None:
    names = [f"texture{label:02}" for label in range(task.classes)]
    (root / "labels").mkdir(parents=True)
    for split, number in (("train", 0), ("val", 1), ("test", 2)):
        paths = [f"{name}/{name}_{number:04}.jpg" for name in names]
        (root / f"labels/{split}1.txt").write_text("".join(f"{path}\n" for path in paths))
        for label, (picture, path) in enumerate(zip(pictures(47, range(47)), paths, strict=True)):
            save(picture, root / "images" / path)
            assert label < task.classes


def flowers102(task: Task, root: Path) -> None:
    from scipy.io import savemat

    labels = labels_of(task, 20)
    for number, picture in enumerate(pictures(20, labels), 1):
        save(picture, root / f"jpg/image_{number:05}.jpg")
    savemat(root / "imagelabels.mat", {"labels": np.array([labels]) + 1})
    ids = np.arange(1, 21)[None]
    savemat(root / "setid.mat", {"trnid": ids[:, :8], "valid": ids[:, 8:12], "tstid": ids[:, 12:]})


def pets(task: Task, root: Path) -> None:
    (root / "annotations").mkdir(parents=True)
    labels = labels_of(task, 20)
    lines = []
    for number, (picture, label) in enumerate(zip(pictures(20, labels), labels, strict=True)):
        save(picture, root / f"images/Breed_{number}.jpg")
        lines.append(f"Breed_{number} {label + 1} 1 1\n")
    (root / "annotations/trainval.txt").write_text("".join(lines[:12]))
    (root / "annotations/test.txt").write_text("".join(lines[12:]))


def svhn(task: Task, root: Path) -> None:
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", 12), ("test", 8)):
        digits = np.arange(count) % 4
        images = np.random.default_rng(count).integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        savemat(root / f"{split}_32x32.mat", {"X": images, "y": np.where(digits == 0, 10, digits)[:, None]})


def clevr(task: Task, root: Path, *, objects: Sequence[int] = (3, 4, 10)) -> None:
    base = root / "CLEVR_v1.0"
    (base / "scenes").mkdir(parents=True)
    for split, count in (("train", 12), ("val", 8)):
        scenes = []
        for number, picture in enumerate(pictures(count, range(count))):
            name = f"CLEVR_{split}_{number:06}.png"
            save(picture, base / "images" / split / name)
            depths = [7.5 + 0.6 * (number % 6) + 0.5 * each for each in range(objects[number % len(objects)])]
            things = [{"pixel_coords": [1, 2, depth], "shape": "cube"} for depth in depths]
            scenes.append({"image_filename": name, "split": split, "objects": things})
        (base / f"scenes/CLEVR_{split}_scenes.json").write_text(json.dumps({"info": {}, "scenes": scenes}))


def kitti(task: Task, root: Path) -> None:
    base = root / "training"
    (base / "label_2").mkdir(parents=True)
    for number, picture in enumerate(pictures(20, range(20))):
        save(picture, base / f"image_2/{number:06}.png")
        boxes = "0.00 0 -1.56 564.62 174.59 616.43 224.74 1.61 1.66 3.20 -0.69 1.69"
        lines = [f"Car {boxes} {z} -1.59" for z in ((), (5.0, 30.0), (12.0,), (40.0,))[number % 4]]
        (base / f"label_2/{number:06}.txt").write_text(
            "\n".join([*lines, f"Pedestrian {boxes} 2.0 0.1", f"DontCare {boxes} -1000 -10"]) + "\n"
        )


def dsprites(task: Task, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    zeros, shapes, sizes = np.zeros(40), random.integers(0, 3, 40), random.integers(0, 6, 40)
    columns = [zeros, shapes, sizes, np.arange(40), np.arange(40) % 32, zeros]
    latents = np.stack(columns, axis=1).astype(np.int64)
    images = random.integers(0, 2, (40, 64, 64), dtype=np.uint8)
    name = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
    np.savez_compressed(root / name, imgs=images, latents_classes=latents, latents_values=latents.astype(float))


def smallnorb(task: Task, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for split, instances in (("training", "46789"), ("testing", "01235")):
        stem = f"smallnorb-5x{instances}x9x18x6x2x96x96-{split}"
        random = np.random.default_rng(len(split))
        images = random.integers(0, 256, (20, 2, 96, 96), dtype=np.uint8)
        info = np.stack([np.zeros(20), np.arange(20) % 9, 2 * (np.arange(20) % 18), np.zeros(20)], axis=1).astype("<i4")
        for kind, magic, array in (("dat", 0x1E3D4C55, images), ("info", 0x1E3D4C54, info)):
            sides = [*array.shape, 1, 1][: max(3, array.ndim)]
            head = struct.pack(f"<ii{len(sides)}i", magic, array.ndim, *sides)
            (root / f"{stem}-{kind}.mat").write_bytes(head + array.tobytes())


PUBLISHED: dict[str, Callable[..., Any]] = {
    "caltech101-1k": _class_folders("101_ObjectCategories", 102, 2),
    "dtd-1k": dtd,
    "flowers102-1k": flowers102,
    "pets-1k": pets,
    "svhn-1k": svhn,
    "eurosat-1k": _class_folders("2750", 10, 5),
    "resisc45-1k": _class_folders("NWPU-RESISC45", 45, 5),
    "clevr-count-1k": clevr,
    "clevr-distance-1k": clevr,
    "kitti-distance-1k": kitti,
    "dsprites-location-1k": dsprites,
    "dsprites-orientation-1k": dsprites,
    "smallnorb-azimuth-1k": smallnorb,
    "smallnorb-elevation-1k": smallnorb,
}


def write_all(folder: Path) -> dict[str, Path]:
    """Write each of the 19 tasks in one form, the published one where it is read; return their folders by name."""
    others = {"lists": lists, "parquet": parquet, "tars": tars}
    for task in TASKS:
        (PUBLISHED.get(task.name) or others[FORMS[task.name]])(task, folder / task.name)
    return {f"vtab/{task.name}": folder / task.name for task in TASKS}
