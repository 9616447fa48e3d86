"""The layout `webdataset`: images and classes in tar files, read where they lie."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from listed_images import RANDOM
from PIL import Image
from vitbench_datasets.webdataset import detect, open_webdataset

PIXELS = RANDOM.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)


def _webp(row: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS[row]).save(buffer, "webp", lossless=True)
    return buffer.getvalue()


def _members(*rows: int) -> dict[str, bytes]:
    found = {}
    for row in rows:
        found |= {f"s{row:07d}.cls": b"%d\n" % (row % 3), f"s{row:07d}.webp": _webp(row)}
    return found


def _write(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def _hub(root: Path) -> Path:
    """Write a repository as clip-benchmark's are."""
    _write(root / "train/0.tar", _members(0, 1, 2))
    _write(root / "train/1.tar", _members(3))
    (root / "train/nshards.txt").write_text("2\n")
    _write(root / "test/0.tar", _members(4, 5))
    (root / "classnames.txt").write_text("red\ngreen\nblue\n")
    return root


def test_shards_are_read_in_order_where_they_lie(tmp_path: Path) -> None:
    root = _hub(tmp_path)
    before = sorted(root.rglob("*"))
    train, test = (open_webdataset(root=root, split=split) for split in ("train", "test"))

    assert detect(root)
    assert open_webdataset(root=root, split="val") is None
    assert train.labels.tolist() == [0, 1, 2, 0]
    assert test.names == ("test/0.tar/s0000004.webp", "test/0.tar/s0000005.webp")
    assert train.class_names == ("red", "green", "blue")
    assert np.array_equal(train.image(3), PIXELS[3].transpose(2, 0, 1))
    assert train.notes == ("layout webdataset: train from 2 tar files, test from 1 tar file",)
    assert sorted(root.rglob("*")) == before


def test_shards_in_one_folder_are_told_by_their_names_and_classes_by_numbers(tmp_path: Path) -> None:
    for number, rows in enumerate([(0, 1), (2, 3)]):
        _write(tmp_path / f"train-{number:06d}.tar", _members(*rows))
    _write(tmp_path / "val-000000.tar", _members(4))
    _write(tmp_path / "backup.tar", _members(5))
    assert open_webdataset(root=tmp_path, split="train").labels.tolist() == [0, 1, 2, 0]
    assert open_webdataset(root=tmp_path, split="val", classes=5).class_names == tuple("01234")


@pytest.mark.parametrize(
    ("name", "members", "reason"),
    [
        ("train/1.tar", {"a.webp": b""}, "train/1.tar: a.cls is missing"),
        ("train/1.tar", {"a.cls": b"0"}, "train/1.tar: the image of a.cls is missing"),
        (
            "train/1.tar",
            {"a.cls": b"cat", "a.webp": b""},
            "train/1.tar: a.cls holds 'cat', which is not a class number",
        ),
        ("train/1.tar", {"a.cls": b"7", "a.webp": b""}, "train/1.tar/a.webp has the class 7, which is not in 0..2"),
        (
            "train/2.tar",
            {"a.cls": b"0", "a.webp": b""},
            "train/nshards.txt says 2 files, but there are 0.tar, 1.tar",
        ),
    ],
)
def test_a_wrong_archive_is_refused(name: str, members: dict[str, bytes], reason: str, tmp_path: Path) -> None:
    root = _hub(tmp_path)
    _write(root / name, members)
    with pytest.raises(ValueError, match=reason):
        open_webdataset(root=root, split="train", classes=3)


def test_a_torn_archive_is_refused_and_names_that_lead_out_unpack_nothing(tmp_path: Path) -> None:
    root = _hub(tmp_path / "set")
    _write(root / "train/1.tar", {"../../out.cls": b"1", "../../out.webp": _webp(1)})
    assert open_webdataset(root=root, split="train").image(3).shape == (3, 5, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]

    content = (root / "train/0.tar").read_bytes()
    (root / "train/0.tar").write_bytes(content[:1540])
    with pytest.raises(ValueError, match=r"cannot read train/0.tar: it ends within a file"):
        open_webdataset(root=root, split="train")


def test_other_tar_files_are_no_webdataset(tmp_path: Path) -> None:
    _write(tmp_path / "train.tar", {"cat/a.jpg": b"", "cat/b.jpg": b""})
    assert not detect(tmp_path)
