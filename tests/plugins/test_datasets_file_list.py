"""The layout `file-list`: lists of paths and labels, as the forks of VTAB-1k read them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from listed_images import RANDOM, write_images
from PIL import Image
from vitbench_datasets import folder
from vitbench_datasets.file_list import NOAH, OWN_FILES, detect, open_file_list

VTAB = ("train800", "val200", "train800val200", "test")


def _list(root: Path, name: str, lines: Iterable[str]) -> None:
    (root / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _vtab(root: Path) -> Path:
    """Write what a fork has: 4 images to learn from, 2 to choose by, a list of both, 2 to be judged on."""
    write_images(root, *(f"images/{number}.png" for number in range(8)))
    rows = [f"images/{number}.png {number % 2}" for number in range(8)]
    for name, lines in zip(VTAB, (rows[:4], rows[4:6], rows[:6], rows[6:]), strict=True):
        _list(root, f"{name}.txt", lines)
    return root


def _noah(root: Path, suffix: str = "jpg") -> Path:
    """Write what NOAH's script does: each split's images anew, the list of both with copies of its own."""
    pixels = RANDOM.integers(0, 256, (8, 6, 6, 3), dtype=np.uint8)
    for split, rows in zip(VTAB, (range(4), range(4, 6), range(6), range(6, 8)), strict=True):
        (root / "images" / split).mkdir(parents=True)
        for number, row in enumerate(rows):
            Image.fromarray(pixels[row]).save(root / f"images/{split}/{number:06d}.{suffix}")
        _list(root, f"{split}.txt", (f"images/{split}/{n:06d}.{suffix} {row % 2}" for n, row in enumerate(rows)))
    return root


def _open(root: Path, **options: int) -> dict[str, list[tuple[str, int]]]:
    opened = {split: open_file_list(root=root, split=split, **options) for split in ("train", "val", "test")}
    return {split: [*zip(each.names, each.labels.tolist(), strict=True)] for split, each in opened.items() if each}


def test_the_lists_of_vtab_are_train_val_and_test(tmp_path: Path) -> None:
    root = _vtab(tmp_path)
    train = open_file_list(root=root, split="train")

    assert detect(root)
    assert {split: len(rows) for split, rows in _open(root).items()} == {"train": 4, "val": 2, "test": 2}
    assert _open(root)["train"][1] == ("images/1.png", 1)
    assert train
    assert train.class_names == ("0", "1")
    assert train.image(0).shape == (3, 6, 6)
    assert train.lineage == OWN_FILES
    assert train.notes == (
        "layout file-list: train from train800.txt, val from val200.txt, test from test.txt; "
        "train800val200.txt holds the same images",
    )


def test_noahs_archives_are_known_by_their_lines_and_their_copies_are_compared(tmp_path: Path) -> None:
    root = _noah(tmp_path)
    train = open_file_list(root=root, split="train")
    assert train
    assert train.lineage == NOAH

    # Two rows change places: the labels still agree, the images do not.
    lines = (root / "train800val200.txt").read_text().splitlines()
    (root / "images/train800val200/000000.jpg").write_bytes((root / "images/test/000000.jpg").read_bytes())
    with pytest.raises(ValueError, match=r"train800val200.txt line 1: images/train800val200/000000.jpg with label 0"):
        open_file_list(root=root, split="train")
    _list(root, "train800val200.txt", lines[1:])
    with pytest.raises(ValueError, match=r"train800val200.txt lacks 1 image, such as that of train800.txt line 1"):
        open_file_list(root=root, split="train")


def test_copies_without_loss_are_no_picture_archive_of_noah(tmp_path: Path) -> None:
    train = open_file_list(root=_noah(tmp_path, "png"), split="train")
    assert train
    assert train.lineage == OWN_FILES


def test_the_list_of_both_serves_where_it_is_alone(tmp_path: Path) -> None:
    root = _vtab(tmp_path)
    (root / "train800.txt").unlink()
    (root / "val200.txt").unlink()
    assert {split: len(rows) for split, rows in _open(root).items()} == {"train": 6, "test": 2}


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (b"a b.png 0\r\nc.png 1\r\n", ["a b.png", "c.png"]),
        (b"\xef\xbb\xbfa b.png 0\n\n# of a comment\nc.png\t1", ["a b.png", "c.png"]),
        (b'"a b.png"\ta black cat\nc.png\tdog\n', ["a b.png", "c.png"]),
        ("a b.png 0\nc.png 1\n".encode("utf-16"), ["a b.png", "c.png"]),
        (b"./a b.png 1\nimages\\..\\c.png 2\n", ["a b.png", "c.png"]),
        (b"a b cat\nc dog\n", ["a b.png", "c.png"]),
        ("u\u0308.png 0\nc.png 1\n".encode(), ["\u00fc.png", "c.png"]),
    ],
)
def test_lists_are_read_as_any_system_writes_them(lines: bytes, names: list[str], tmp_path: Path) -> None:
    write_images(tmp_path, "images/a b.png", "images/c.png", "images/\u00fc.png")
    for name in ("train.txt", "test.txt"):
        (tmp_path / name).write_bytes(lines)
    assert detect(tmp_path)
    for rows in _open(tmp_path).values():
        assert rows == [(f"images/{name}", label) for label, name in enumerate(names)]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["images/0.png 0", "images/x.png 1"], "train.txt line 2: there is no file images/x.png"),
        (["images/0.png 0", "", "images/0.png 0"], "train.txt line 3: images/0.png is listed already, in line 1"),
        (["images/0.png 0", "./images/0.png 1"], "line 2: ./images/0.png is listed already under another label"),
        (["images/0.png 0", "images/6.png 1"], "line 2: images/6.png has label 1, and label 0 in test.txt line 1"),
        (["images/0.png 0", "images/1.png 3"], "train.txt line 2: no line has label 2, but this one has 3"),
        (["images/0.png -1", "images/1.png 1"], "train.txt line 1: label -1 is the lowest"),
        (["images/0.png 0", "../x.png 1"], "train.txt line 2: ../x.png leads outside the dataset folder"),
        (["images/0.png 0", "/tmp/x.png 1"], "train.txt line 2: /tmp/x.png is an absolute path"),
        (["images/0.png 0", "C:\\x.png 1"], r"train.txt line 2: C:\\x.png is an absolute path"),
        (["images/0.png 0", "linked/x.png 1"], "train.txt line 2: linked/x.png leads outside the dataset folder"),
        (["images/0.png 0", "link.png 1"], "train.txt line 2: link.png leads outside the dataset folder"),
        (["images/0.png 0", "images/1.png"], "train.txt line 2: 'images/1.png' is not a path and a label"),
        (["images/0.png 0", "images 1"], "train.txt line 2: there is no file images"),
        (["# nothing"], "train.txt line 1: the list is empty"),
    ],
)  # fmt: skip
def test_a_wrong_list_is_refused_with_its_line(lines: list[str], reason: str, tmp_path: Path) -> None:
    root = _vtab(tmp_path / "set")
    outside = write_images(tmp_path / "outside", "x.png")
    (root / "linked").symlink_to(outside)
    (root / "link.png").symlink_to(outside / "x.png")
    for name in VTAB[:3]:
        (root / f"{name}.txt").unlink()
    _list(root, "train.txt", lines)
    with pytest.raises(ValueError, match=reason):
        _open(root)


def test_a_dataset_of_known_classes_refuses_others_and_lets_some_be_absent(tmp_path: Path) -> None:
    root = _vtab(tmp_path)
    _list(root, "test.txt", ["images/6.png 5", "images/7.png 1"])
    test = open_file_list(root=root, split="test", classes=6)
    assert test
    assert test.class_names == tuple("012345")
    assert test.labels.tolist() == [5, 1]
    with pytest.raises(ValueError, match=r"test.txt line 1: label 5 is not in 0..4"):
        open_file_list(root=root, split="test", classes=5)
    _list(root, "classnames.txt", ["red", "blue", "green", "white", "black", "gray"])
    test = open_file_list(root=root, split="test")
    assert test
    assert test.class_names[5] == "gray"


def test_several_lists_of_one_split_are_refused(tmp_path: Path) -> None:
    root = _vtab(tmp_path)
    _list(root, "train.txt", ["images/0.png 0"])
    with pytest.raises(ValueError, match=r"several lists of train: train.txt, train800.txt; keep one"):
        open_file_list(root=root, split="train")


@pytest.mark.parametrize(
    ("name", "lines"),
    [("train.txt", ["a dog", "a cat 2"]), ("test.txt", ["0.png"]), ("readme.txt", ["images/0.png 0"])],
)
def test_a_text_that_is_no_list_makes_no_layout(name: str, lines: list[str], tmp_path: Path) -> None:
    write_images(tmp_path, "cats/0.png", "dogs/1.png")
    _list(tmp_path, name, lines)
    assert not detect(tmp_path)


def test_class_folders_that_are_split_need_no_lists(tmp_path: Path) -> None:
    write_images(tmp_path, *(f"{split}/{name}/0.png" for split in ("train", "val") for name in ("cat", "dog")))
    _list(tmp_path, "val.txt", ["cat/0.png 0", "dog/0.png 1"])
    assert not detect(tmp_path)
    assert folder.detect(tmp_path)


def test_lists_say_how_class_folders_are_split(tmp_path: Path) -> None:
    write_images(tmp_path, *(f"{name}/{number}.png" for name in ("cat", "dog") for number in range(2)))
    _list(tmp_path, "train.txt", ["cat/0.png cat", "dog/0.png dog"])
    _list(tmp_path, "test.txt", ["cat/1.png cat", "dog/1.png dog"])
    assert detect(tmp_path)
    assert not folder.detect(tmp_path)
    assert _open(tmp_path)["test"] == [("cat/1.png", 0), ("dog/1.png", 1)]
