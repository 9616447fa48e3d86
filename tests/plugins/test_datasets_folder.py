"""The layout `folder`: classes, splits and decoding of real image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vitbench_datasets.folder import detect, open_folder

from vitbench.data.cache import WantedSize, cache_dataset
from vitbench.data.locate import locate
from vitbench.errors import UnusableError
from vitbench.specs import DatasetSpec

RANDOM = np.random.default_rng(0)


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


def test_train_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    root = _tree(
        tmp_path, "train/dog/b.PNG", "train/dog/a.jpg", "train/cat/x.webp", "test/cat/1.bmp", "test/dog/2.jpeg"
    )

    train, test = (open_folder(root=root, split=split) for split in ("train", "test"))

    assert train.class_names == test.class_names == ("cat", "dog")
    assert [path.name for path in train.paths] == ["x.webp", "a.jpg", "b.PNG"]
    assert train.labels.tolist() == [0, 1, 1]
    assert test.labels.tolist() == [0, 1]
    assert all(split.image(1).shape == (3, 9, 12) for split in (train, test))
    assert train.notes == ()


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_validation_folder_is_taken_for_the_test_split(name: str, tmp_path: Path) -> None:
    root = _tree(tmp_path, "train/a/1.png", "train/b/1.png", f"{name}/a/1.png", f"{name}/b/1.png")
    assert open_folder(root=root, split="test").paths[0] == root / name / "a" / "1.png"


def test_a_test_folder_goes_before_a_validation_folder(tmp_path: Path) -> None:
    root = _tree(tmp_path, "train/a/1.png", "val/a/1.png", "test/a/1.png")
    assert open_folder(root=root, split="test").paths == (root / "test" / "a" / "1.png",)


@pytest.mark.parametrize("base", ["", "train/"])
def test_without_a_test_folder_a_stratified_fifth_is_held_out(base: str, tmp_path: Path) -> None:
    root = _tree(tmp_path, *(f"{base}{name}/{i}.bmp" for name in ("a", "b") for i in range(10)), f"{base}c/1.bmp")

    train, test = (open_folder(root=root, split=split) for split in ("train", "test"))

    assert np.bincount(train.labels).tolist() == [8, 8, 1]
    assert np.bincount(test.labels).tolist() == [2, 2]
    assert not set(train.paths) & set(test.paths)
    assert train.notes == test.notes == (
        "no folder test: test split made here: stratified, seed 0, 17 training and 4 test images",
        "no test image for 1 of 3 classes that have a single image: 'c'",
    )  # fmt: skip


def test_hidden_and_other_files_are_left_out_and_links_are_followed(tmp_path: Path) -> None:
    root = _tree(tmp_path / "pets", *(f"{name}/{i}.png" for name in ("a", "b") for i in range(5)))
    _tree(root, "a/.hidden.png", ".git/x.png", "a/nested/deep.png", "empty/nested/deep.png")
    (root / "a" / "labels.txt").touch()
    (root / "b" / "link.png").symlink_to(_save(tmp_path / "elsewhere" / "target.png"))
    (root / "c").symlink_to(_tree(tmp_path / "linked", "1.png", "2.png"))

    train, test = (open_folder(root=root, split=split) for split in ("train", "test"))

    names = sorted(f"{path.parent.name}/{path.name}" for path in (*train.paths, *test.paths))
    assert names == [
        *(f"a/{i}.png" for i in range(5)),
        *(f"b/{i}.png" for i in range(5)),
        "b/link.png",
        "c/1.png",
        "c/2.png",
    ]
    assert train.notes[0] == f"not classes, because no image lies directly in them: empty (in {root})"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["train/a/1.png"], True),
        (["a/1.JPG"], True),
        (["1.png"], False),
        (["a/b/1.png"], False),
        (["cifar-10-batches-py/data_batch_1"], False),
        (["data/train-0.parquet"], False),
    ],
)
def test_detection_looks_for_images_in_class_folders(files: list[str], expected: bool, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert detect(tmp_path) is expected


def test_a_test_folder_without_a_training_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a folder test but no folder train"):
        open_folder(root=_tree(tmp_path, "test/a/1.png"), split="train")


# --- through the core


SPEC = DatasetSpec(name="folder", open=open_folder, summary="folders", detect=detect)


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


def test_what_was_done_to_images_is_counted_over_all_splits(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            _save(root / split / name / "1.png", mode="RGBA" if name == "cat" else "RGB")
    located = locate("pets", spec=None, plugin="", layouts=[("datasets", SPEC)], data_path=root, data_root=tmp_path)
    [info] = cache_dataset(
        located, sides=[WantedSize(image_size=None)], cache_root=tmp_path / "cache", say=print
    ).values()
    assert info.notes == ("of 4 images: 2 transparent, laid over white",)


def test_an_unreadable_image_is_named_once_with_its_path(tmp_path: Path) -> None:
    root = _tree(tmp_path / "pets", *(f"{split}/{name}/1.png" for split in ("train", "test") for name in ("a", "b")))
    broken = root / "train" / "b" / "1.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(UnusableError, match=f"^dataset pets in {root}: 1 of 4 images cannot be read: {broken}: "):
        _cache(root, tmp_path)


def test_other_classes_in_test_than_in_train_are_refused(tmp_path: Path) -> None:
    root = _tree(tmp_path / "pets", "train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png")
    with pytest.raises(UnusableError, match="class 'b' only in train, class 'c' only in test"):
        _cache(root, tmp_path)


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    root = _tree(tmp_path / "pets", *(f"a/{i}.png" for i in range(5)))
    with pytest.raises(UnusableError, match="has one class only, 'a'"):
        _cache(root, tmp_path)
