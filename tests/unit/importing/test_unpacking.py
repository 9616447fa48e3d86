"""Archives and folders that are made to do harm: refused in one line, and nothing is written where it should not be."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.errors import StoreError
from vitbench.importing.unpacking import unpack
from vitbench.store import FILE_NAME

KEY = "0123456789abcdef"


def archive(place: Path, members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None = None) -> Path:
    path = place / "theirs.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)
            if change:
                change(member)
            file.writestr(member, content)
    return path


def unpacked(given: Path, place: Path) -> set[str]:
    place.mkdir()
    unpack(given, place)
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}


def test_what_cells_leave_is_taken_and_nothing_else(tmp_path: Path) -> None:
    members = {
        f"results/{FILE_NAME}": b"store",
        f"results/weights/{KEY}.safetensors": b"w",
        f"results/predictions/{KEY}.npz": b"p",
        f"results/checkpoints/{KEY}.pt": b"pickle",
        f"results/weights/{KEY}.pt": b"pickle",
        "results/weights/..safetensors": b"x",
        "results/leaderboard.html": b"<script>",
        "elsewhere/notes.txt": b"x",
    }
    wanted = {FILE_NAME, f"weights/{KEY}.safetensors", f"predictions/{KEY}.npz"}
    assert unpacked(archive(tmp_path, members), tmp_path / "from-zip") == wanted
    for name, content in members.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert unpacked(tmp_path / "results", tmp_path / "from-folder") == wanted


def _link(member: zipfile.ZipInfo) -> None:
    member.external_attr = (stat.S_IFLNK | 0o777) << 16


def _pressed(member: zipfile.ZipInfo) -> None:
    member.compress_type = zipfile.ZIP_DEFLATED


@pytest.mark.parametrize(
    ("members", "change", "words"),
    [
        ({FILE_NAME: b"", f"weights/../../{KEY}.safetensors": b""}, None, "leads outside it"),
        ({FILE_NAME: b"", "/etc/cron.d/x": b""}, None, "leads outside it"),
        ({FILE_NAME: b"", "..\\x": b""}, None, "leads outside it"),
        ({FILE_NAME: b"", "C:/x": b""}, None, "leads outside it"),
        ({FILE_NAME: b"", f"weights/{KEY}.safetensors": b"/etc/passwd"}, _link, "holds the link"),
        ({FILE_NAME: b"", f"weights/{KEY}.safetensors": bytes(10**7)}, _pressed, "times as large"),
        ({f"a/{FILE_NAME}": b"", f"b/{FILE_NAME}": b""}, None, "2 stores"),
        ({"x": b""}, None, f"no {FILE_NAME}"),
    ],
)
def test_an_archive_that_does_more_than_hold_results_is_refused(
    members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None, words: str, tmp_path: Path
) -> None:
    given = archive(tmp_path, members, change)
    with pytest.raises(StoreError, match=words) as refused:
        unpacked(given, tmp_path / "place")
    assert str(refused.value).isprintable()
    assert {path.name for path in tmp_path.iterdir()} == {given.name, "place"}


def test_an_archive_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    given = archive(tmp_path, {FILE_NAME: bytes(10**6)}, _pressed)
    content = given.read_bytes()
    assert content.count((10**6).to_bytes(4, "little")) == 2, "a header of the file and one of the archive"
    given.write_bytes(content.replace((10**6).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(StoreError, match="cannot be read"):
        unpacked(given, tmp_path / "place")


def test_no_link_pipe_or_journal_of_a_folder_is_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    given = tmp_path / "theirs"
    (given / "weights").mkdir(parents=True)
    store, weights = given / FILE_NAME, given / "weights" / f"{KEY}.safetensors"
    store.touch()
    for number, (path, make) in enumerate(
        (
            (weights, lambda: weights.symlink_to(secret)),
            (weights, lambda: os.mkfifo(weights)),
            (given / "scores", lambda: (given / "scores").symlink_to(tmp_path)),
        )
    ):
        make()
        with pytest.raises(StoreError, match="link"):
            unpacked(given, tmp_path / f"place{number}")
        path.unlink()
    (given / f"{FILE_NAME}-journal").write_bytes(b"hot")
    with pytest.raises(StoreError, match="was cut short"):
        unpacked(given, tmp_path / "place9")


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(StoreError, match=r"neither a results folder nor a zip archive|no vitbench"):
        unpacked(tmp_path / "x.zip", tmp_path / "place")
    with pytest.raises(StoreError, match="cannot be read"):
        unpacked(tmp_path / "missing", tmp_path / "other")
