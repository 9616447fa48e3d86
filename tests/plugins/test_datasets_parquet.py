"""The layout `parquet`, on files as dataset hubs write them."""

from __future__ import annotations

import io
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import vitbench_datasets.parquet
from PIL import Image
from vitbench_datasets.parquet import detect, open_parquet

from vitbench.data.cache import WantedSize, cache_dataset
from vitbench.data.locate import locate
from vitbench.errors import UnusableError
from vitbench.specs import DatasetSpec

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 6, 8, 3), dtype=np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


ENCODED = [_png(pixels) for pixels in PIXELS]


def _write(
    path: Path, rows: range = range(12), *, image: str = "image", label: str = "label", plain: bool = False,
    names: tuple[str, ...] = (), **columns: Any,
) -> Path:  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = [ENCODED[row] if plain else {"bytes": ENCODED[row], "path": None} for row in rows]
    table = pa.table({"id": list(rows), image: encoded, label: [row % 3 for row in rows], **columns})
    if names:
        info = {"info": {"features": {image: {"_type": "Image"}, label: {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    pq.write_table(table, path, row_group_size=5)
    return path


def test_files_of_a_split_are_joined_in_order_across_row_groups(tmp_path: Path) -> None:
    _write(tmp_path / "train-00001-of-00002.parquet", range(7, 12))
    _write(tmp_path / "train-00000-of-00002.parquet", range(7))
    _write(tmp_path / "test-00000-of-00001.parquet", range(3))

    train = open_parquet(root=tmp_path, split="train")

    assert train.labels.tolist() == [row % 3 for row in range(12)]
    for row in (11, 0, 5, 6, 7, 4):
        assert np.array_equal(train.image(row), PIXELS[row].transpose(2, 0, 1))
    assert len(open_parquet(root=tmp_path, split="test").labels) == 3


@pytest.mark.parametrize(
    ("image", "label", "plain"), [("img", "fine_label", False), ("image", "labels", True), ("webp", "cls", True)]
)
def test_the_columns_names_and_kinds_of_hubs_are_known(image: str, label: str, plain: bool, tmp_path: Path) -> None:
    for split in ("train", "validation"):
        _write(tmp_path / "data" / f"{split}-0.parquet", image=image, label=label, plain=plain, names=("x", "y", "z"))

    test = open_parquet(root=tmp_path, split="val")

    assert open_parquet(root=tmp_path, split="test") is None
    assert test.class_names == ("x", "y", "z")
    assert np.array_equal(test.image(10), PIXELS[10].transpose(2, 0, 1))


def test_without_metadata_classes_are_numbered_for_both_splits_alike(tmp_path: Path) -> None:
    _write(tmp_path / "train-0.parquet")
    _write(tmp_path / "test-0.parquet", range(2))
    for split in ("train", "test"):
        assert open_parquet(root=tmp_path, split=split).class_names == ("0", "1", "2")


def test_images_may_be_read_by_many_threads_with_one_group_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vitbench_datasets.parquet, "_BYTES_KEPT", 0)
    _write(tmp_path / "train-0.parquet")
    _write(tmp_path / "test-0.parquet")
    train = open_parquet(root=tmp_path, split="train")
    rows = [7 * i % 12 for i in range(120)]
    with ThreadPoolExecutor(8) as pool:
        for row, image in zip(rows, pool.map(train.image, rows), strict=True):
            assert np.array_equal(image, PIXELS[row].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["train-0.parquet"], True),
        (["data/test-0.parquet"], True),
        (["default/train/0000.parquet"], True),
        (["data/train-0.parquet", "assets/1.png"], True),
        (["train/a/1.png"], False),
        (["a/b.parquet"], False),
        (["train_noisy-0.parquet", "pretrain.parquet"], False),
        ([".cache/train-0.parquet"], False),
    ],
)
def test_detection_looks_for_parquet_files(files: list[str], expected: bool, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert detect(tmp_path) is expected


def test_labels_alone_beside_folders_of_images_are_no_dataset(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        (tmp_path / split / "a" / "1.png").write_bytes(ENCODED[0])
    pq.write_table(pa.table({"file": ["a/1.png"], "label": [0]}), tmp_path / "train.parquet")
    assert not detect(tmp_path)
    _write(tmp_path / "train.parquet")
    assert detect(tmp_path)


HASH, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.mark.parametrize(
    ("files", "layout"),
    [
        (["train.parquet", "test.parquet"], "train from 1 file, test from 1 file"),
        (["Train-0.parquet", "TEST_00000-of-00001.parquet"], "train from 1 file, test from 1 file"),
        ([f"data/{s}-00000-of-00001-{HASH}.parquet" for s in ("train", "validation", "test")],
         "train from 1 file in data/, val from 1 file in data/, test from 1 file in data/"),
        (["train-1.parquet", "train-2.parquet"], "train from 2 files"),
        (["plain/train/0000.parquet", "plain/train/0001.parquet", "plain/test/0000.parquet"],
         "train from 2 files in plain/train/, test from 1 file in plain/test/"),
        (["train/train-00000-of-00001.parquet", "test/part-0.parquet"],
         "train from 1 file in train/, test from 1 file in test/"),
        (["train-0.parquet", "val-0.parquet", "validation-0.parquet"],
         "train from 1 file, val from 1 file; not used: validation-0.parquet"),
        (["data/train-0.parquet", "other/train-0.parquet"],
         "train from 1 file in data/; not used: other/train-0.parquet"),
        (["train-0.parquet", "train_noisy-0.parquet", "test-corrupted-0.parquet", "pretrain-0.parquet"],
         "train from 1 file; not used: pretrain-0.parquet, test-corrupted-0.parquet, train_noisy-0.parquet"),
        (["x/train/0000.parquet", "x/partial-train/0000.parquet"],
         "train from 1 file in x/train/; not used: x/partial-train/0000.parquet"),
        (["train-0.parquet", "assets/1.png"], "train from 1 file; not used: assets/ (1 image)"),
    ],
)  # fmt: skip
def test_files_are_told_by_their_whole_names(files: list[str], layout: str, tmp_path: Path) -> None:
    for name in files:
        _write(tmp_path / name)
    (found,) = {one.notes for split in ("train", "val", "test") if (one := open_parquet(root=tmp_path, split=split))}
    assert found == (f"layout parquet: {layout}",)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["train-00000-of-00003.parquet", "train-00002-of-00003.parquet"],
         r"^1 of 3 files of train are missing: train-00001-of-00003\.parquet$"),
        ([f"train-00001-of-00002-{HASH}.parquet"], r"missing: train-00000-of-00002\.parquet$"),
        (["train-0.parquet", "train-2.parquet"], r"^1 of 3 files of train are missing: train-1\.parquet$"),
        (["train-00000-of-00001.parquet", "train-00001-of-00001.parquet"],
         r"numbered beyond the count in its name: train-00001-of-00001\.parquet$"),
        (["train-00000-of-00001.parquet", "train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
         "the files of train come from several versions, train-00000-of-00001"),
        ([f"train-00000-of-00001-{HASH}.parquet", f"train-00000-of-00001-{OTHER}.parquet"], "several versions"),
        (["train.parquet", "data/train.parquet"], "several versions"),
        (["en/train-0.parquet", "de/train-0.parquet"], "it contains several datasets, de/, en/; give the folder "
        "of one"),
        (["images.parquet"], r"there is no train-\*\.parquet, .*; there are images\.parquet$"),
    ],
)  # fmt: skip
def test_names_that_promise_other_files_are_refused(files: list[str], reason: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=reason):
        open_parquet(root=tmp_path, split="train")


def test_class_names_in_another_order_are_mapped_by_name(tmp_path: Path) -> None:
    _write(tmp_path / "train-0.parquet", range(6), names=("x", "y", "caf\u00e9"))
    _write(tmp_path / "train-1.parquet", range(6), names=("cafe\u0301", "x", "y"))
    _write(tmp_path / "test-0.parquet", range(3), names=("y", "x", "caf\u00e9"))

    train, test = (open_parquet(root=tmp_path, split=split) for split in ("train", "test"))

    assert train.class_names == test.class_names == ("x", "y", "caf\u00e9")
    assert train.labels.tolist() == [0, 1, 2, 0, 1, 2, 2, 0, 1, 2, 0, 1]
    assert test.labels.tolist() == [1, 0, 2]
    assert train.notes[1:] == ("class names are in a different order in train-1.parquet: labels were mapped by name",)


def test_other_class_names_are_refused_and_none_are_told(tmp_path: Path) -> None:
    _write(tmp_path / "train-0.parquet", names=("x", "y", "z"))
    _write(tmp_path / "test-0.parquet", range(3))
    test = open_parquet(root=tmp_path, split="test")
    assert test.labels.tolist() == [0, 1, 2]
    assert test.notes[1:] == (
        "test-0.parquet has no class names: its labels are assumed to be in the order of the others'",
    )

    _write(tmp_path / "test-0.parquet", range(3), names=("x", "y", "w"))
    with pytest.raises(ValueError, match=r"test-0\.parquet has different class names from the files before it: w, z$"):
        open_parquet(root=tmp_path, split="test")


def test_names_are_those_of_the_column_that_is_read(tmp_path: Path) -> None:
    path = _write(tmp_path / "train.parquet", coarse_label=[0] * 12)
    features = {"coarse_label": {"names": ["c"]}, "fine_label": {"names": ["f"]}, "label": {"names": ["x", "y", "z"]}}
    table = pq.read_table(path).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)
    assert open_parquet(root=tmp_path, split="train").class_names == ("x", "y", "z")


def test_a_split_whose_labels_are_kept_secret_is_not_used(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        _write(tmp_path / f"{split}.parquet")
    pq.write_table(pa.table({"image": ENCODED[:2], "label": [-1, -1]}), tmp_path / "test.parquet")
    assert open_parquet(root=tmp_path, split="test") is None
    val = open_parquet(root=tmp_path, split="val")
    assert val.notes[1:] == ("test has no labels (all are negative), and is not used",)
    assert val.class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"image": "picture"}, "has no column image or img or .*; its columns are id, picture, label"),
        ({"label": "class"}, "has no column label or fine_label or labels or cls; its columns are id, image, class"),
    ],
)
def test_a_missing_column_is_named_with_those_that_are_there(
    columns: dict[str, str], reason: str, tmp_path: Path
) -> None:
    for split in ("train", "test"):
        _write(tmp_path / f"{split}-0.parquet", **columns)
    with pytest.raises(ValueError, match=reason):
        open_parquet(root=tmp_path, split="train").image(0)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["cat"] * 12, "train-0.parquet: column label .*must contain integers, not string"),
        ([1, None] * 6, "train-0.parquet: column label .*no value in 6 of 12 rows"),
        ([0, 1, 5_000_000] * 4, "a label is 5000000, but the classes have no names"),
    ],
)
def test_labels_that_are_no_classes_are_refused(values: list[Any], reason: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        path = _write(tmp_path / f"{split}-0.parquet")
        table = pq.read_table(path)
        pq.write_table(table.set_column(2, "label", pa.array(values)), path)
    with pytest.raises(ValueError, match=reason):
        open_parquet(root=tmp_path, split="train")


def test_a_file_that_is_no_parquet_file_is_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / f"{split}-0.parquet").write_text("no")
    with pytest.raises(ValueError, match=r"cannot read .*train-0\.parquet: "):
        open_parquet(root=tmp_path, split="train")


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such files")
def test_a_pipe_that_is_called_like_a_file_is_not_waited_for(tmp_path: Path) -> None:
    for split in ("train", "test"):
        os.mkfifo(tmp_path / f"{split}-0.parquet")
    with pytest.raises(ValueError, match=r"cannot read .*train-0\.parquet: it is not a file"):
        open_parquet(root=tmp_path, split="train")


@pytest.mark.parametrize(
    ("bad", "reason"), [(b"junk", "it is in no known image format"), (None, "its bytes are missing")]
)
def test_an_unreadable_image_is_named_by_file_and_row(bad: bytes | None, reason: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        _write(tmp_path / f"{split}-0.parquet", range(6))
        _write(tmp_path / f"{split}-1.parquet", range(6))
    table = pa.table({"image": [{"bytes": bad if row == 2 else ENCODED[row]} for row in range(6)], "label": [0, 1] * 3})
    pq.write_table(table, tmp_path / "train-1.parquet")
    train = open_parquet(root=tmp_path, split="train")
    with pytest.raises(ValueError, match=f"cannot read image row 2 of .*train-1.parquet: {reason}"):
        train.image(8)


def test_without_pyarrow_one_line_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnusableError, match=r'pip install "vitbench\[parquet\]"$'):
        open_parquet(root=tmp_path, split="train")


def test_the_core_caches_it(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    for split in ("train", "test"):
        _write(root / f"{split}-0.parquet", names=("x", "y", "z"))
    spec = DatasetSpec(
        name="parquet", open=open_parquet, summary="parquet", detect=detect, splits=("train", "val", "test")
    )
    located = locate("mine", spec=None, plugin="", layouts=[("datasets", spec)], data_path=root, data_root=tmp_path)
    side = WantedSize(image_size=(4, 4))
    info = cache_dataset(located, sides=[side], cache_root=tmp_path / "cache", say=lambda line: None)[side]
    assert (info.title, info.shape, info.sizes) == ("mine", (3, 4, 4), {"train": 12, "test": 12})


def test_real_cifar10_files_of_a_hub(shared_data: Path) -> None:
    test = open_parquet(root=shared_data / "cifar10-jpeg", split="test")

    assert test.class_names[:3] == ("airplane", "automobile", "bird")
    assert np.bincount(test.labels).tolist() == [1000] * 10
    images = np.stack([test.image(row) for row in range(0, 10_000, 250)])
    assert images.shape == (40, 3, 32, 32)
    # The means of CIFAR-10's channels are 0.491, 0.482 and 0.447.
    assert np.allclose(images.mean(axis=(0, 2, 3)) / 255, [0.491, 0.482, 0.447], atol=0.06)


def test_a_column_of_labels_can_be_named_and_a_file_may_name_its_classes(tmp_path: Path) -> None:
    for split in ("train", "test"):
        _write(tmp_path / f"{split}-0.parquet", label_azimuth=[row % 2 == 1 for row in range(12)])
    (tmp_path / "classnames.txt").write_text("left\nright\n")
    test = open_parquet(root=tmp_path, split="test", label_column="label_azimuth")
    assert test.labels.tolist() == [0, 1] * 6
    assert test.class_names == ("left", "right")
    assert open_parquet(root=tmp_path, split="test").class_names == ("0", "1", "2")
