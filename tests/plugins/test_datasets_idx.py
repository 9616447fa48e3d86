"""The format and the layout `idx`, on files as MNIST's."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from idx_files import idx, images_and_labels, write_idx
from vitbench_datasets.idx import detect, open_idx, read_idx

IMAGES = idx(images_and_labels(40)[0])
HEADER = IMAGES[:16]


@pytest.mark.parametrize(
    ("inside", "words", "packed"),
    [
        (".", ("train", "t10k"), True),
        ("raw", ("train", "test"), False),
        ("MNIST/raw", ("train", "t10k"), False),
        (".", ("kannada-train", "kannada-test"), True),
    ],
)
def test_a_folder_of_idx_files_is_a_dataset(inside: str, words: tuple[str, str], packed: bool, tmp_path: Path) -> None:
    write_idx(tmp_path / inside, words=words, packed=packed)
    assert detect(tmp_path)

    train, val, test = (open_idx(root=tmp_path, split=split) for split in ("train", "val", "test"))

    assert val is None
    for opened, count in ((train, 40), (test, 20)):
        pixels, labels = images_and_labels(count)
        assert np.array_equal(opened.images(np.arange(count)), pixels[:, None])
        assert opened.labels.dtype == np.int64
        assert np.array_equal(opened.labels, labels)
        assert opened.class_names == tuple("0123456789")
    suffix, where = ".gz" if packed else "", "" if inside == "." else f"{inside}/"
    files = [
        f"{split} from {where}{word}-images-idx3-ubyte{suffix}"
        for split, word in zip(("train", "test"), words, strict=True)
    ]
    assert train.notes == test.notes == (f"layout idx: {', '.join(files)}",)


def test_classes_are_those_of_all_splits(tmp_path: Path) -> None:
    write_idx(tmp_path, train=5, test=20)
    assert open_idx(root=tmp_path, split="train").class_names == tuple("0123456789")


def test_files_with_a_dot_as_unpackers_write_them_are_read_too(tmp_path: Path) -> None:
    for path in write_idx(tmp_path, packed=False).iterdir():
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(open_idx(root=tmp_path, split="test").labels) == 20


def test_whether_a_file_is_compressed_its_content_says(tmp_path: Path) -> None:
    """Browsers unpack what they download, and keep its name."""
    write_idx(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(IMAGES)
    assert len(open_idx(root=tmp_path, split="train").pixels) == 40


def test_a_folder_without_idx_files_has_another_layout(tmp_path: Path) -> None:
    (tmp_path / "train-images.png").touch()
    (tmp_path / "train-labels-idx1-ubyte").touch()  # no images
    (tmp_path / "some-images-idx3-ubyte").touch()  # of no split
    assert not detect(tmp_path)


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _flipped(content: bytes) -> bytes:
    return content[:500] + bytes([content[500] ^ 1]) + content[501:]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "{} is not an idx file: it is empty"),
        (b"\x89PNG\r\n\x1a\n", "{} is not an idx file: it starts with 89504e47"),
        (idx(np.zeros((4, 2, 2)), kind=7), "{} is not an idx file: it starts with 00000703"),
        (idx(np.zeros((4, 2, 2)), kind=13), "{} holds 32-bit floats; images must be unsigned bytes"),
        (idx(np.zeros(9)), "{} has 1 axis; images have 3"),
        (idx(np.zeros((4, 3, 2, 2))), "{} has 4 axes; images have 3"),
        (HEADER[:4] + b"\xff" * 8 + bytes(4), "{} holds images of 4294967295x0 pixels"),
        (HEADER[:9], "{} is truncated within its header"),
        (IMAGES[:-1], "{} is truncated: its header promises 31,360 values, but it has only 31,359"),
        (IMAGES + b"\0", "{} is too long: more data follows the 31,360 values that its header promises"),
        (_packed(IMAGES + b"\0"), "{} is too long: more data follows the 31,360 values that its header promises"),
        (_packed(IMAGES[:-1]), "{} is truncated: its header promises 31,360 values, but it has only 31,359"),
        (_packed(IMAGES)[:-9], "cannot read {}: its compressed data is truncated"),
        (_packed(IMAGES)[:5], "cannot read {}: its compressed data is truncated"),
        (_packed(IMAGES)[:-8] + bytes(8), "cannot read {}: CRC check failed"),
        (_packed(IMAGES)[:10] + b"\xff" * 50, "cannot read {}: Error -3 while decompressing data"),
        (_packed(IMAGES) + b"more", "cannot read {}: Not a gzipped file"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_damaged_file_is_refused_in_a_line_that_names_it(content: bytes, reason: str, tmp_path: Path) -> None:
    path = write_idx(tmp_path) / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="train-images") as caught:
        open_idx(root=tmp_path, split="train")
    assert str(caught.value).startswith(reason.format(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("packed", [True, False])
def test_a_header_is_not_believed_before_the_file_has_shown_its_values(packed: bool, tmp_path: Path) -> None:
    path, content = tmp_path / "images", HEADER[:4] + b"\xff" * 12 + bytes(1000)  # 8e28 values
    path.write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"is truncated: .* but it has only 1,000"):
        read_idx(path, kind="images")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_no_more_is_unpacked_than_a_header_promises(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(idx(np.zeros((1, 4, 4))) + bytes(24 * 2**20)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="is too long: more data follows the 16 values"):
        read_idx(path, kind="images")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_different_numbers_of_images_and_labels_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(idx(np.zeros(39)))
    with pytest.raises(ValueError, match=r"images-idx3-ubyte.gz has 40 images, and .*-idx1-ubyte.gz 39 labels"):
        open_idx(root=tmp_path, split="train")


def test_a_missing_file_is_named_by_what_it_would_hold(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(ValueError, match=f"the labels of test are missing in {tmp_path}; there are t10k-images"):
        open_idx(root=tmp_path, split="train")


@pytest.mark.parametrize(
    ("places", "named"),
    [
        ((("MNIST/raw", "train"), ("KMNIST/raw", "train")), "KMNIST/raw/, MNIST/raw/; give the folder of one of them"),
        (((".", "a-train"), (".", "b-train")), r"a-\*, b-\*; give a folder with the files of one of them"),
    ],
)
def test_several_datasets_in_a_folder_are_refused(
    places: tuple[tuple[str, str], ...], named: str, tmp_path: Path
) -> None:
    for inside, word in places:
        write_idx(tmp_path / inside, words=(word, word.replace("train", "test")))
    with pytest.raises(ValueError, match=f"it contains several datasets, {named}"):
        open_idx(root=tmp_path, split="train")


def test_emnist_is_left_to_the_dataset_that_turns_its_images(tmp_path: Path) -> None:
    write_idx(tmp_path, words=("emnist-letters-train", "emnist-letters-test"))
    with pytest.raises(ValueError, match=r"images are stored transposed; .* --dataset emnist:subset=letters turns"):
        open_idx(root=tmp_path, split="train")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    write_idx(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match="it is not a file"):
        open_idx(root=tmp_path, split="train")
