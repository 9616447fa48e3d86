"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): the published Python archives, by torchvision's addresses and checksums.

The archives hold pickles, which can run any code when read. They are read by an unpickler that rebuilds arrays and
nothing else. Whether the dataset is the published one, its pixels say.
"""

from __future__ import annotations

import pickle
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .downloading import reach

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10


@dataclass(frozen=True, kw_only=True, slots=True)
class Cifar:
    """One split of CIFAR."""

    pixels: NDArray[np.uint8]
    """uint8[N, 3, 32, 32]"""
    labels: NDArray[np.int64]
    """int64[N]"""
    class_names: tuple[str, ...]

    def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return uint8[B, 3, 32, 32]."""
        return self.pixels[index]


def open_cifar10(*, root: Path, split: Literal["train", "test"], download: bool) -> Cifar:
    """Return one split of CIFAR-10.

    Args:
        root: the folder that holds ``cifar-10-batches-py``, or that folder itself.
        split: which split.
        download: whether to fetch it (170 MB) where it is missing.

    Raises:
        FileNotFoundError: it is not at `root`.
        OSError: the download failed.
        ValueError: a file there is not what CIFAR's files are.
    """
    from torchvision.datasets import CIFAR10

    return _open(CIFAR10, root, split, download, labels_key="labels")


def open_cifar100(*, root: Path, split: Literal["train", "test"], download: bool) -> Cifar:
    """Return one split of CIFAR-100 with its 100 fine labels; as `open_cifar10`, from ``cifar-100-python``."""
    from torchvision.datasets import CIFAR100

    return _open(CIFAR100, root, split, download, labels_key="fine_labels")


def _open(
    published: type[CIFAR10], root: Path, split: Literal["train", "test"], download: bool, *, labels_key: str
) -> Cifar:
    folder = root if root.name == published.base_folder else root / published.base_folder
    if not folder.is_dir():
        if not download:
            raise FileNotFoundError(f"no folder {published.base_folder}")
        _download(published, folder)
    chosen = published.train_list if split == "train" else published.test_list
    batches = [_load_batch(folder / name, labels_key) for name, _ in chosen]
    meta = _unpickle(folder / published.meta["filename"])
    return Cifar(
        pixels=np.concatenate([pixels for pixels, _ in batches]),
        labels=np.concatenate([labels for _, labels in batches]),
        class_names=tuple(_text(name) for name in meta[published.meta["key"]]),
    )


def _download(published: type[CIFAR10], folder: Path) -> None:
    from torchvision.datasets.utils import download_and_extract_archive

    reach(published.url)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".download-") as temporary:
        try:
            download_and_extract_archive(published.url, temporary, filename=published.filename, md5=published.tgz_md5)
        except RuntimeError as error:  # the checksum of what came is wrong
            raise OSError(f"{published.url}: {error}") from error
        try:
            Path(temporary, published.base_folder).replace(folder)
        except OSError:  # another process has put it there meanwhile
            if not folder.is_dir():
                raise


def _load_batch(path: Path, labels_key: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    batch = _unpickle(path)
    try:
        pixels, labels = batch["data"], np.asarray(batch[labels_key], dtype=np.int64)
    except KeyError as error:
        raise ValueError(f"{path} has no entry {error}") from error
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3072):
        raise ValueError(f"{path} must contain uint8 pixels of shape [{len(labels)}, 3072], one row per label")
    return pixels.reshape(-1, 3, 32, 32), labels


class _ArrayUnpickler(pickle.Unpickler):
    """Rebuilds containers, numbers, text and numpy arrays; refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the constructor for one of numpy's own names, under whichever module numpy had it."""
        if module.partition(".")[0] == "numpy" and name in _REBUILDERS:
            return _REBUILDERS[name]
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, which an array does not need")


# Asked of numpy itself, whose private modules these functions move between from version to version.
_REBUILDERS = {
    "ndarray": np.ndarray,
    "dtype": np.dtype,
    "_reconstruct": np.empty(0).__reduce__()[0],
    "_frombuffer": np.empty(0).__reduce_ex__(5)[0],
}


def _unpickle(path: Path) -> dict[str, Any]:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ValueError(f"cannot read {path}: it is not a file")
    with path.open("rb") as file:
        try:
            content = _ArrayUnpickler(file, encoding="latin1").load()
        # A damaged pickle raises nearly anything: EOFError, KeyError, UnicodeDecodeError, MemoryError.
        except Exception as error:
            raise ValueError(f"cannot read {path}: {error or type(error).__name__}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must contain a dictionary, not {type(content).__name__}")
    return {_text(key): value for key, value in content.items()}


def _text(name: str | bytes) -> str:
    return name.decode("latin1") if isinstance(name, bytes) else name
