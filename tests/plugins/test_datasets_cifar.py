"""The datasets `cifar10` and `cifar100`, on files in the original format."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from serving import serving
from torchvision.datasets import CIFAR10
from vitbench_datasets import vitbench_datasets
from vitbench_datasets.cifar import open_cifar10, open_cifar100

from vitbench.data.cache import WantedSize, cache_dataset
from vitbench.data.locate import locate
from vitbench.errors import UnusableError

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = [f"data_batch_{i}" for i in range(1, 6)]


class _Python2Pickler(pickle._Pickler):
    """Writes byte strings as Python 2 did: the published files are its pickles."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def _original(content: object) -> bytes:
    buffer = io.BytesIO()
    _Python2Pickler(buffer, protocol=2).dump(content)
    # numpy's own modules had these names when the files were made.
    return buffer.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def _batch(seed: int, n: int = 20) -> dict[bytes, Any]:
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 3072), dtype=np.uint8)
    return {b"data": pixels, b"labels": [(seed + i) % 10 for i in range(n)], b"batch_label": b"batch"}


def _cifar10(root: Path, write: Any = _original) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for seed, name in enumerate([*BATCHES, "test_batch"]):
        (folder / name).write_bytes(write(_batch(seed)))
    (folder / "batches.meta").write_bytes(write({b"label_names": [name.encode() for name in NAMES], b"num_vis": 3072}))
    return root


def test_files_in_the_original_format_are_read(tmp_path: Path) -> None:
    root = _cifar10(tmp_path)

    train, test = (open_cifar10(root=root, split=split, download=False) for split in ("train", "test"))

    assert train.class_names == tuple(NAMES)
    assert (train.pixels.shape, test.pixels.shape) == ((100, 3, 32, 32), (20, 3, 32, 32))
    assert train.labels.tolist() == [(seed + i) % 10 for seed in range(5) for i in range(20)]
    assert np.array_equal(test.images(np.array([2]))[0].ravel(), _batch(5)[b"data"][2])


def test_the_folder_itself_may_be_given(tmp_path: Path) -> None:
    root = _cifar10(tmp_path) / "cifar-10-batches-py"
    assert len(open_cifar10(root=root, split="test", download=False).labels) == 20


@pytest.mark.parametrize("protocol", [3, 5])
def test_files_that_a_newer_python_wrote_are_read_too(protocol: int, tmp_path: Path) -> None:
    root = _cifar10(tmp_path, write=lambda content: pickle.dumps(content, protocol=protocol))
    assert np.array_equal(
        open_cifar10(root=root, split="test", download=False).pixels.reshape(20, -1), _batch(5)[b"data"]
    )


def test_cifar100_has_its_fine_labels(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    pixels = np.zeros((100, 3072), np.uint8)
    for name in ("train", "test"):
        content = {b"data": pixels, b"fine_labels": list(range(100)), b"coarse_labels": [0] * 100}
        (folder / name).write_bytes(_original(content))
    (folder / "meta").write_bytes(_original({b"fine_label_names": [b"fine%d" % i for i in range(100)]}))

    opened = open_cifar100(root=tmp_path, split="test", download=False)

    assert opened.labels.tolist() == list(range(100))
    assert opened.class_names[99] == "fine99"


class _Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('it ran')",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps(_Attack()), "it refers to builtins.exec, which an array does not need"),
        (b"cnumpy.testing\nrun_module_suite\n.", "it refers to numpy.testing.run_module_suite"),
        (b"", "Ran out of input"),
        (_original(_batch(5))[:500], "truncated"),
        (_original([1]), "must contain a dictionary, not list"),
        (_original({b"data": np.zeros((2, 3072), np.uint8)}), "has no entry 'labels'"),
        (_original({b"data": np.zeros((2, 9), np.uint8), b"labels": [0, 1]}), "uint8 pixels of shape [2, 3072]"),
    ],
)
def test_files_that_hold_anything_else_are_refused_by_name(content: bytes, reason: str, tmp_path: Path) -> None:
    root = _cifar10(tmp_path)
    path = root / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="test_batch") as caught:
        open_cifar10(root=root, split="test", download=False)
    assert reason in str(caught.value)


def _through_the_core(tmp_path: Path, data_path: Path | None) -> Any:
    specs = {spec.name: spec for spec in vitbench_datasets()}
    layouts = [("datasets", spec) for spec in specs.values() if spec.is_layout]
    located = locate(
        "cifar10",
        spec=specs["cifar10"],
        plugin="datasets",
        layouts=layouts,
        data_path=data_path,
        data_root=tmp_path / "root",
    )
    side = WantedSize(image_size=(224, 224))
    return cache_dataset(located, sides=[side], cache_root=tmp_path / "cache", say=lambda line: None)[side]


def test_a_given_folder_is_cached_at_its_own_size(tmp_path: Path) -> None:
    info = _through_the_core(tmp_path, _cifar10(tmp_path / "given"))
    assert info.shape == (3, 32, 32)
    assert info.title == f"cifar10 (unverified, {info.fingerprint[:8]})"


def test_a_given_folder_is_never_downloaded_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("asked the network"))
    given = tmp_path / "given"
    (given / "other").mkdir(parents=True)
    with pytest.raises(UnusableError, match=f"cifar10 in {given}: not found .* --data cifar10=PATH$"):
        _through_the_core(tmp_path, given)


def test_without_network_one_line_says_what_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(UnusableError, match=r"cannot be downloaded .*not known.* --data cifar10=PATH$") as caught:
        _through_the_core(tmp_path, None)
    assert str(tmp_path / "root" / "cifar10") in str(caught.value)
    assert not (tmp_path / "root").exists()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve an archive of small batches from this machine, in the place of the published one."""
    made = _cifar10(tmp_path / "made")
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(made / "cifar-10-batches-py", "cifar-10-batches-py")
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    with serving(tmp_path) as address:
        monkeypatch.setattr(CIFAR10, "url", f"{address}{archive.name}")
        yield


@pytest.mark.usefixtures("served")
def test_a_download_leaves_the_folder_only(tmp_path: Path) -> None:
    info = _through_the_core(tmp_path, None)

    assert info.sizes == {"train": 100, "test": 20}
    assert [path.name for path in (tmp_path / "root" / "cifar10").iterdir()] == ["cifar-10-batches-py"]


@pytest.mark.usefixtures("served")
def test_a_download_with_another_checksum_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR10, "tgz_md5", "0" * 32)

    with pytest.raises(UnusableError, match="cannot be downloaded"):
        _through_the_core(tmp_path, None)
    assert list((tmp_path / "root" / "cifar10").iterdir()) == []
