"""The datasets `mnist`, `fashion-mnist`, `kmnist` and `emnist`, on small files in their format."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from idx_files import idx, images_and_labels, write_idx
from serving import serving
from torchvision.datasets import EMNIST, KMNIST, MNIST, FashionMNIST
from vitbench_datasets import mnist, vitbench_datasets
from vitbench_datasets.mnist import open_emnist, open_fashion_mnist, open_kmnist, open_mnist

from vitbench.data.cache import WantedSize, cache_dataset
from vitbench.data.locate import locate
from vitbench.errors import UnusableError
from vitbench.records import DataInfo

SPECS = {spec.name: spec for spec in vitbench_datasets()}
SIDE = WantedSize(image_size=None)
OPENED = [
    (open_mnist, MNIST, ("0", "1", "9")),
    (open_fashion_mnist, FashionMNIST, ("T-shirt/top", "Trouser", "Ankle boot")),
    (open_kmnist, KMNIST, ("o", "ki", "wo")),
]


@pytest.fixture(autouse=True)
def _no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "_DEBIAN", tmp_path / "nothing is installed")


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Serve the test's folder from this machine."""
    with serving(tmp_path) as address:
        yield address


def _publish(dataset: type[MNIST], folder: Path, monkeypatch: pytest.MonkeyPatch, address: str = "") -> None:
    """Take the files in a folder for the published ones."""
    files = sorted(folder.iterdir())
    monkeypatch.setattr(dataset, "resources", [(path.name, _md5(path)) for path in files])
    monkeypatch.setattr(dataset, "mirrors", [f"{address}gone/", f"{address}{folder.name}/"])
    unpacked = tuple(hashlib.md5(gzip.decompress(path.read_bytes())).hexdigest() for path in files)
    monkeypatch.setitem(mnist._UNPACKED, dataset.__name__, unpacked)


def _cached(name: str, tmp_path: Path, data_path: Path | None) -> DataInfo:
    layouts = [("datasets", spec) for spec in SPECS.values() if spec.is_layout]
    located = locate(
        name,
        spec=SPECS[name],
        plugin="datasets",
        layouts=layouts,
        data_path=data_path,
        data_root=tmp_path / "root",
    )
    located = replace(located, options=SPECS[name].defaults)
    return cache_dataset(located, sides=[SIDE], cache_root=tmp_path / "cache", say=lambda line: None)[SIDE]


@pytest.mark.parametrize(("open_split", "published", "names"), OPENED)
def test_files_are_found_where_torchvision_has_them(
    open_split: Any, published: type[MNIST], names: tuple[str, str, str], tmp_path: Path
) -> None:
    write_idx(tmp_path / published.__name__ / "raw", packed=False)
    opened = open_split(root=tmp_path, split="test", download=False)
    pixels, labels = images_and_labels(20)
    assert np.array_equal(opened.images(np.arange(20)), pixels[:, None])
    assert opened.labels.tolist() == labels.tolist()
    assert len(opened.class_names) == 10
    assert tuple(opened.class_names[k] for k in (0, 1, 9)) == names
    assert opened.verified is False


def test_files_are_known_by_their_checksums_compressed_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _publish(MNIST, write_idx(tmp_path / "made"), monkeypatch)
    folder = write_idx(tmp_path / "given")
    info = _cached("mnist", tmp_path, folder)
    assert (info.title, info.known_by) == ("mnist", "checksums")

    write_idx(tmp_path / "plain", packed=False)
    assert _cached("mnist", tmp_path, tmp_path / "plain").title == "mnist"

    images, _ = images_and_labels(20)
    images[0, 0, 0] ^= 1
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images), mtime=0))
    info = _cached("mnist", tmp_path, folder)
    assert info.title == f"mnist (unverified, {info.fingerprint[:8]})"


def test_a_download_fetches_what_is_missing_from_the_first_mirror_that_has_it(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(KMNIST, write_idx(tmp_path / "made"), monkeypatch, address)
    (tmp_path / "made/t10k-labels-idx1-ubyte.gz").rename(tmp_path / "t10k-labels-idx1-ubyte.gz")
    (tmp_path / "root/kmnist").mkdir(parents=True)
    kept = (tmp_path / "t10k-labels-idx1-ubyte.gz").rename(tmp_path / "root/kmnist/t10k-labels-idx1-ubyte.gz")

    info = _cached("kmnist", tmp_path, None)

    assert (info.title, info.sizes) == ("kmnist", {"train": 40, "test": 20})
    assert sorted(path.name for path in kept.parent.iterdir()) == sorted(name for name, _ in KMNIST.resources)


def test_a_download_with_another_checksum_is_refused(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(KMNIST, write_idx(tmp_path / "made"), monkeypatch, address)
    monkeypatch.setattr(KMNIST, "resources", [(name, "0" * 32) for name, _ in KMNIST.resources])
    with pytest.raises(UnusableError, match=r"cannot be downloaded .*not found or corrupted"):
        _cached("kmnist", tmp_path, None)
    assert list((tmp_path / "root/kmnist").iterdir()) == []


@pytest.mark.parametrize("name", ["mnist", "emnist"])
def test_without_network_one_line_says_what_to_give(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(UnusableError, match=rf"cannot be downloaded .*not known.* --data {name}=PATH$") as caught:
        _cached(name, tmp_path, None)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "root").exists()
    (tmp_path / "given/other").mkdir(parents=True)
    with pytest.raises(UnusableError, match=f"not found .* --data {name}=PATH$"):
        _cached(name, tmp_path, tmp_path / "given")


def test_an_installed_package_serves_before_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("asked the network"))
    installed = write_idx(tmp_path / "installed")
    monkeypatch.setattr(mnist, "_DEBIAN", installed)
    info = _cached("fashion-mnist", tmp_path, None)
    assert info.sizes == {"train": 40, "test": 20}
    assert info.notes == (f"read from {installed}, from Debian's package dataset-fashion-mnist",)

    given = write_idx(tmp_path / "given", train=10)
    assert _cached("fashion-mnist", tmp_path, given).sizes["train"] == 10


@pytest.mark.compute
def test_the_files_of_debian_are_the_published_fashion_mnist() -> None:
    folder = Path("/usr/share/datasets/fashion-mnist")
    if not folder.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    train, test = (open_fashion_mnist(root=folder, split=split, download=False) for split in ("train", "test"))
    assert train.verified
    assert test.verified
    mean, squares = train.pixels.mean(), np.square(train.pixels, dtype=np.uint16).mean()
    assert mean / 255 == pytest.approx(0.2860, abs=5e-5)  # as published
    assert (squares - mean**2) ** 0.5 / 255 == pytest.approx(0.3530, abs=5e-5)


# --- EMNIST ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subset", "classes", "first", "last"),
    [
        ("balanced", 47, "0", "t"),
        ("byclass", 62, "0", "z"),
        ("letters", 26, "a", "z"),
        ("digits", 10, "0", "9"),
    ],
)
def test_emnists_images_are_upright_and_its_classes_have_their_names(
    subset: str, classes: int, first: str, last: str, tmp_path: Path
) -> None:
    pixels, labels = images_and_labels(classes, classes)
    start = 1 if subset == "letters" else 0
    for split in ("train", "test"):
        (tmp_path / f"emnist-{subset}-{split}-images-idx3-ubyte").write_bytes(idx(pixels.swapaxes(1, 2)))
        (tmp_path / f"emnist-{subset}-{split}-labels-idx1-ubyte").write_bytes(idx(labels + start))

    opened = open_emnist(root=tmp_path, split="test", download=False, subset=subset)

    assert np.array_equal(opened.pixels, pixels[:, None])
    assert opened.labels.tolist() == labels.tolist()
    assert (len(opened.class_names), opened.class_names[0], opened.class_names[-1]) == (classes, first, last)
    assert opened.verified is False


def test_the_subsets_are_torchvisions() -> None:
    assert {*SPECS["emnist"].options["subset"].choices} == {*EMNIST.splits}


def _archive(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for split, count in (("train", 94), ("test", 47)):
            for name, array in zip(("images-idx3", "labels-idx1"), images_and_labels(count, 47), strict=True):
                archive.writestr(f"gzip/emnist-balanced-{split}-{name}-ubyte.gz", gzip.compress(idx(array), mtime=0))
    return path


def test_emnist_is_read_out_of_its_archive(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = _archive(tmp_path / "made/gzip.zip")
    monkeypatch.setattr(EMNIST, "url", f"{address}made/gzip.zip")
    monkeypatch.setattr(EMNIST, "md5", _md5(archive))

    info = _cached("emnist", tmp_path, None)

    assert (info.title, info.known_by, info.sizes) == ("emnist", "checksums", {"train": 94, "test": 47})
    assert [path.name for path in (tmp_path / "root/emnist").iterdir()] == ["gzip.zip"]
    monkeypatch.setattr(EMNIST, "md5", "0" * 32)
    assert not open_emnist(root=tmp_path / "made", split="test", download=False, subset="balanced").verified
    with pytest.raises(ValueError, match=r"no item named 'gzip/emnist-letters-test-images-idx3-ubyte\.gz'"):
        open_emnist(root=tmp_path / "made", split="test", download=False, subset="letters")


@pytest.mark.parametrize("content", [b"", b"PK\3\4 and no more"])
def test_an_archive_that_is_none_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "gzip.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot read .*gzip\.zip: File is not a zip file"):
        open_emnist(root=tmp_path, split="test", download=False, subset="balanced")


def test_a_damaged_archive_is_refused_by_name(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "gzip.zip")
    content = bytearray(archive.read_bytes())
    content[content.index(b"test-images") + 3000] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ValueError, match="emnist-balanced-test-images") as caught:
        open_emnist(root=tmp_path, split="test", download=False, subset="balanced")
    assert str(caught.value).startswith("cannot read ")
