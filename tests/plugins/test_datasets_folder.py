"""The layout `folder`: classes, splits and decoding of real image files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vitbench_datasets.folder import detect, open_folder

from vitbench.data.cache import WantedSize, cache_dataset
from vitbench.data.locate import locate
from vitbench.data.opening import OpenedSet, open_splits
from vitbench.errors import UnusableError
from vitbench.specs import DatasetSpec

RANDOM = np.random.default_rng(0)
SPEC = DatasetSpec(name="folder", open=open_folder, summary="folders", detect=detect, splits=("train", "val", "test"))


def _save(path: Path, size: tuple[int, int] = (12, 9), mode: str = "RGB", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": 3, "RGBA": 4, "CMYK": 4, "L": 1, "LA": 2}[mode]
    pixels = RANDOM.integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    Image.fromarray(pixels.squeeze(), mode if mode in ("CMYK", "LA") else None).save(path, **options)
    return path


def _tree(root: Path, *names: str) -> Path:
    for name in names:
        _save(root / name)
    return root


def _open(root: Path, **options: bool) -> OpenedSet:
    """Open what the folder holds as the core does."""
    located = locate("pets", spec=None, plugin="", layouts=[("datasets", SPEC)], data_path=root, data_root=root)
    return open_splits(replace(located, **options))


def _sizes(opened: OpenedSet) -> dict[str, int]:
    return {split.name: len(split.labels) for split in opened.splits}


def test_train_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    root = _tree(
        tmp_path, "train/dog/b.PNG", "train/dog/a.jpg", "train/cat/x.webp", "test/cat/1.bmp", "test/dog/2.jpeg"
    )

    train, val, test = (open_folder(root=root, split=split) for split in ("train", "val", "test"))

    assert train.class_names == test.class_names == ("cat", "dog")
    assert [path.name for path in train.paths] == ["x.webp", "a.jpg", "b.PNG"]
    assert train.names == ("train/cat/x.webp", "train/dog/a.jpg", "train/dog/b.PNG")
    assert train.labels.tolist() == [0, 1, 1]
    assert test.labels.tolist() == [0, 1]
    assert all(split.image(1).shape == (3, 9, 12) for split in (train, test))
    assert train.notes == test.notes == ("layout folder: train from train/, test from test/",)
    assert val is None


AB = ("a/1.png", "b/1.png")


def _each(*folders: str, files: tuple[str, ...] = AB) -> list[str]:
    return [f"{folder}/{file}" for folder in folders for file in files]


@pytest.mark.parametrize(
    ("files", "sizes", "layout"),
    [
        (_each("train", "val", "test"), {"train": 2, "val": 2, "test": 2},
         "train from train/, val from val/, test from test/"),
        (_each("Training", "DEV", "Eval"), {"train": 2, "val": 2, "test": 2},
         "train from Training/, val from DEV/, test from Eval/"),
        (_each("train", "validation"), {"train": 2, "test": 2}, "train from train/, val from validation/"),
        (_each("valid"), {"test": 2}, "val from valid/"),
        (_each("train", "test", "eval", "extra"), {"train": 2, "test": 2},
         "train from train/, test from test/; not used: eval/ (2 images), extra/ (2 images)"),
        (_each("train", "train_noisy", "test", "test_corrupted", "pretrain"), {"train": 2, "test": 2},
         "train from train/, test from test/; not used: pretrain/ (2 images), test_corrupted/ (2 images), "
         "train_noisy/ (2 images)"),
        ([*_each("train", "val"), "test/1.png"], {"train": 2, "test": 2},
         "train from train/, val from val/; not used: test/ (1 image)"),
        (_each("pets/train", "pets/test"), {"train": 2, "test": 2}, "train from pets/train/, test from pets/test/"),
        ([*_each("data/train", "data/test"), "assets/1.png"], {"train": 2, "test": 2},
         "train from data/train/, test from data/test/; not used: assets/ (1 image)"),
        (_each("train/images", "test/images"), {"train": 2, "test": 2},
         "train from train/images/, test from test/images/"),
        (_each("images"), {"test": 2}, "class folders in images/, not split"),
        (AB, {"test": 2}, "class folders in ROOT/, not split"),
        ([*AB, "train/1.png"], {"test": 3}, "class folders in ROOT/, not split"),
        (_each("train"), {"test": 2}, "train from train/"),
    ],
)  # fmt: skip
def test_layouts_and_splits_are_told_by_the_names_of_folders(
    files: list[str], sizes: dict[str, int], layout: str, tmp_path: Path
) -> None:
    opened = _open(_tree(tmp_path / "pets", *files), whole=True)
    assert _sizes(opened) == sizes
    assert opened.notes[0] == f"layout folder: {layout.replace('ROOT', 'pets')}"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["train/1.png", "test/1.png"], "the folders test, train contain images but no class folders"),
        (_each("training_set", "test_set"), "the folders test_set, training_set are named like splits"),
        (_each("train2017", "val2017"), "rename them to train, val and test"),
        ([*_each("train"), "test/1.png"], "test/ contains images but no class folders"),
        ([*AB, "test/1.png"], "test/ contains images but no class folders, next to a/, b/"),
        (_each("x/train", "x/test", "y/train", "y/test"), "it contains several datasets, x/, y/"),
        (["a/train/1.png", "a/test/1.png", "b/train/1.png"], r"splits are inside the class folders \(a/test/\)"),
        ([*_each("train"), "test/notes.txt"], "test/ contains no images"),
        ([*_each("train", "test"), "val/a/1.png", "val/c/1.png"], "class 'c' only in val"),
        (_each("train", "test", files=("a/1.png",)), "has only one class, 'a'"),
    ],
)
def test_folders_that_are_no_classes_are_refused(files: list[str], reason: str, tmp_path: Path) -> None:
    root = tmp_path / "pets"
    _tree(root, *(name for name in files if name.endswith(".png")))
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    with pytest.raises(UnusableError, match=reason):
        _open(root)


def test_a_link_to_a_split_that_is_not_there_is_refused(tmp_path: Path) -> None:
    root = _tree(tmp_path / "pets", *_each("train"))
    (root / "test").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UnusableError, match="test is a broken link"):
        _open(root)


def test_without_a_test_folder_a_stratified_fifth_is_held_out(tmp_path: Path) -> None:
    root = _tree(tmp_path / "pets", *(f"{name}/{i}.bmp" for name in ("a", "b") for i in range(10)), "c/1.bmp")
    assert _sizes(_open(root)) == {"train": 17, "test": 4}
    assert _sizes(_open(root, whole=True)) == {"test": 21}


def test_all_that_is_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    root = _tree(tmp_path / "pets", *_each("train", "test"), "train/a/.hidden.png", "train/a/@eaDir/x.png")
    _tree(root, "train/@eaDir/1.png", "train/1.png", "__MACOSX/train/a/1.png")
    for name in ("a/labels.txt", "a/x.HEIC", "b/y.heic", "b/photo", "a/.DS_Store", "a/Thumbs.db"):
        (root / "train" / name).touch()
    (root / "train" / "b" / "dangling.png").symlink_to(tmp_path / "nowhere")
    (root / "train" / "b" / "round.png").symlink_to("round.png")
    (root / "train" / "b" / "up").symlink_to(root / "train")
    (root / "train" / "empty").mkdir()

    opened = _open(root)

    assert opened.class_names == ("a", "b")
    assert opened.notes == (
        "layout folder: train from train/, test from test/",
        "files left out in train/: in image formats that this Pillow cannot read (2 .heic, 1 .txt, 1 without a "
        "suffix), "
        "broken links (2), hidden images (1), images in hidden folders (2), images outside any class folder (1), "
        "links back to a parent folder (1)",
        "not classes, because they contain no images: empty (in train/)",
    )


@pytest.mark.parametrize("suffix", ["TIFF", "gif", "pgm", "jfif", "jp2", "avif"])
def test_the_formats_that_pillow_reads_are_images(suffix: str, tmp_path: Path) -> None:
    root = _tree(tmp_path, *_each("train", "test"))
    mode = "L" if suffix == "pgm" else "RGB"
    if suffix == "jfif":
        _save(tmp_path / "x.jpg").rename(root / "train" / "b" / "2.jfif")
    else:
        _save(root / "train" / "b" / f"2.{suffix}", mode=mode)
    assert open_folder(root=root, split="train").image(2).shape == (1 if mode == "L" else 3, 9, 12)


def test_images_in_sub_folders_belong_to_their_class_and_links_are_followed(tmp_path: Path) -> None:
    root = _tree(tmp_path / "pets", "a/1.png", "a/camera2/1.png", "a/camera2/raw/1.png", "b/1.png")
    (root / "b" / "link.png").symlink_to(_save(tmp_path / "elsewhere" / "target.png"))
    (root / "c").symlink_to(_tree(tmp_path / "linked", "1.png", "2.png"))

    train = open_folder(root=root, split="train")

    names = [path.relative_to(root).as_posix() for path in train.paths]
    assert names == ["a/1.png", "a/camera2/1.png", "a/camera2/raw/1.png", "b/1.png", "b/link.png", "c/1.png", "c/2.png"]
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert train.notes[1:] == (
        "images in subfolders of class folders of pets/ belong to the class: 1 in a/camera2, 1 in a/camera2/raw",
    )


@pytest.mark.parametrize(
    ("names", "order", "note"),
    [
        (range(12), range(12), "classes are integers, ordered by value: 0, 1, 2, ..., 11"),
        ((-1, -10, 2, 10), (-10, -1, 2, 10), "classes are integers, ordered by value: -10, -1, 2"),
        (("00", "01", "10"), ("00", "01", "10"), ""),
        (("class 2", "class 10"), ("class 10", "class 2"), ""),
        (("1", "2", "10", "other"), ("1", "10", "2", "other"), ""),
    ],
)
def test_whole_numbers_are_in_the_order_of_their_values(
    names: Iterable[object], order: Iterable[object], note: str, tmp_path: Path
) -> None:
    train = open_folder(root=_tree(tmp_path, *(f"train/{name}/1.png" for name in names)), split="train")
    assert train.class_names == tuple(map(str, order))
    assert [path.parent.name for path in train.paths] == list(train.class_names)
    assert "".join(train.notes[1:]).startswith(note)
    assert bool(note) == bool(train.notes[1:])


def test_one_name_spelled_otherwise_is_one_class(tmp_path: Path) -> None:
    root = _tree(tmp_path / "pets", *_each("train", "test", files=("tea/1.png", "caf\u00e9/1.png")))
    (root / "test" / "caf\u00e9").rename(root / "test" / "cafe\u0301")
    _save(root / "train" / "cafe\u0301" / "2.png")
    os.rename(root / "train" / "tea", os.fsencode(root / "train") + b"/t\xe9")  # noqa: PTH104 - bytes
    os.rename(root / "test" / "tea", os.fsencode(root / "test") + b"/t\xe9")  # noqa: PTH104

    opened = _open(root)

    assert (opened.class_names, _sizes(opened)) == (("caf\u00e9", "t\u00e9"), {"train": 3, "test": 2})
    assert any("encoded differently" in note for note in opened.notes)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["train/a/1.png"], True),
        (["val/a/1.png"], True),
        (["a/1.JPG"], True),
        (["a/b/1.png"], True),
        (["train/1.png", "test/1.png"], True),
        (["1.png"], False),
        (["cifar-10-batches-py/data_batch_1"], False),
        (["data/train-0.parquet"], False),
        (["data/train-0.parquet", "assets/1.png", "figures/1.png"], False),
    ],
)
def test_detection_looks_for_images_in_folders(files: list[str], expected: bool, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert detect(tmp_path) is expected


# --- through the core


def _cache(root: Path, tmp_path: Path) -> np.ndarray:
    located = locate("pets", spec=None, plugin="", layouts=[("datasets", SPEC)], data_path=root, data_root=tmp_path)
    side = WantedSize(image_size=(16, 16))
    info = cache_dataset(located, sides=[side], cache_root=tmp_path / "cache", say=lambda line: None)[side]
    return np.load(Path(info.cache) / "train-images.npy")


def test_a_folder_of_mixed_sizes_and_modes_is_cached(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for split in ("train", "test"):
        _save(root / split / "cat" / "1.jpg", size=(40, 20))
        _save(root / split / "cat" / "2.png", size=(10, 33), mode="L")
        _save(root / split / "dog" / "3.webp", size=(16, 16), mode="RGBA")
    images = _cache(root, tmp_path)
    assert images.shape == (3, 3, 16, 16)
    assert np.array_equal(images[1, 0], images[1, 2])


@pytest.mark.parametrize("folders", [("train/", "test/"), ("",)])
def test_what_was_done_to_images_is_counted_once_over_all_splits(folders: tuple[str, ...], tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for folder in folders:
        for number in range(4 // len(folders)):
            _save(root / f"{folder}cat" / f"{number}.png", mode="RGBA")
            _save(root / f"{folder}dog" / f"{number}.png")
    located = locate("pets", spec=None, plugin="", layouts=[("datasets", SPEC)], data_path=root, data_root=tmp_path)
    [info] = cache_dataset(
        located, sides=[WantedSize(image_size=None)], cache_root=tmp_path / "cache", say=print
    ).values()
    assert set(info.sizes) == {"train", "test"}
    assert info.notes[-1] == "of 8 images: 4 transparent, composited on white"


def test_an_unreadable_image_is_named_once_with_its_path(tmp_path: Path) -> None:
    root = _tree(tmp_path / "pets", *(f"{split}/{name}/1.png" for split in ("train", "test") for name in ("a", "b")))
    broken = root / "train" / "b" / "1.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(UnusableError, match=f"^dataset pets in {root}: 1 of 4 images cannot be read: {broken}: "):
        _cache(root, tmp_path)
