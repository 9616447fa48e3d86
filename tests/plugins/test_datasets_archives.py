"""Archives of published datasets: fetched whole, by checksum, and unpacked nowhere but in their folder."""

from __future__ import annotations

import hashlib
import inspect
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
import vitbench_vtab
from serving import serving
from torchvision import datasets
from vitbench_datasets import archives
from vitbench_datasets.archives import PUBLISHED, Archive, fetch


def test_the_tasks_of_vtab_that_are_downloaded_are_those_that_can_be() -> None:
    offered = {spec.name: spec.downloads for spec in vitbench_vtab.vitbench_datasets()}
    assert {name.removesuffix("-1k") for name, downloads in offered.items() if downloads} == PUBLISHED.keys()


def test_addresses_and_checksums_are_torchvisions() -> None:
    flowers = datasets.Flowers102
    wanted = {
        "dtd": {(datasets.DTD._URL, datasets.DTD._MD5)},
        "flowers102": {(flowers._download_url_prefix + name, md5) for name, md5 in flowers._file_dict.values()},
        "pets": {*datasets.OxfordIIITPet._RESOURCES},
        "svhn": {(url, md5) for url, _, md5 in map(datasets.SVHN.split_list.get, ("train", "test"))},
    }
    assert {name: {*PUBLISHED[name]} for name in wanted} == wanted
    source = inspect.getsource(datasets.EuroSAT)
    assert all(text in source for text in PUBLISHED["eurosat"][0])


def _tar(*names: str, link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
        if link:
            member = tarfile.TarInfo("link")
            member.type, member.linkname = tarfile.SYMTYPE, link
            archive.addfile(member)
    return buffer.getvalue()


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def _fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], *, md5: str = "") -> list[str]:
    """Fetch files from a server on this machine, and return what lies in the data folder then."""
    served, data = tmp_path / "served", tmp_path / "data"
    served.mkdir()
    for name, content in files.items():
        (served / name).write_bytes(content)
    try:
        with serving(served) as address:
            those = [
                Archive(address + name, md5 or hashlib.md5(content, usedforsecurity=False).hexdigest())
                for name, content in files.items()
            ]
            monkeypatch.setattr(archives, "PUBLISHED", {"pets": tuple(those)})
            fetch("pets", data / "pets")
    finally:
        left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    return [path for path in left if not path.startswith("served/")]


def test_all_files_are_unpacked_into_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"a.tar.gz": _tar("images/1.jpg"), "b.zip": _zip("lists/test.txt"), "ids.mat": b"ids"}
    made = _fetch(tmp_path, monkeypatch, files)
    assert made == ["data/pets/ids.mat", "data/pets/images/1.jpg", "data/pets/lists/test.txt"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.tar.gz", _tar("1.jpg", "../../out.jpg"), "a.tar.gz is refused and was not unpacked: .*out.jpg"),
        ("a.tar.gz", _tar("1.jpg", link="../../../etc/passwd"), "a.tar.gz is refused and was not unpacked"),
        (
            "a.zip",
            _zip("1.jpg", "../../out.jpg"),
            "a.zip is refused and was not unpacked: ../../out.jpg would be extracted",
        ),
        (
            "a.zip",
            _zip("1.jpg", "/out.jpg"),
            "a.zip is refused and was not unpacked: /out.jpg would be extracted outside",
        ),
        ("a.zip", b"nothing", "a.zip is damaged"),
        ("a.tgz", _tar("1.jpg")[:-20], "a.tgz is damaged"),
    ],
    ids=["a path that leads out", "a link that leads out", "a zip that leads out", "an absolute path", "no zip", "cut"],
)
def test_an_archive_that_leads_out_or_is_damaged_leaves_nothing_behind(
    name: str, content: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=reason):
        _fetch(tmp_path, monkeypatch, {name: content})
    assert [path for path in tmp_path.rglob("*") if "served" not in path.parts] == [tmp_path / "data"]


def test_another_checksum_is_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match=r"a.zip"):
        _fetch(tmp_path, monkeypatch, {"a.zip": _zip("1.jpg")}, md5="0" * 32)
    assert not (tmp_path / "data/pets").exists()
