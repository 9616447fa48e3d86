"""MNIST and the datasets in its format: Fashion-MNIST, KMNIST and EMNIST, by torchvision's addresses and checksums.

All have gray images of 28x28 pixels. MNIST (LeCun et al., 1998), Fashion-MNIST (Xiao et al., 2017, arXiv 1708.07747)
and KMNIST (Clanuwat et al., 2018, arXiv 1812.01718) are four idx files each. EMNIST (Cohen et al., 2017, arXiv
1702.05373) is one archive with the idx files of six subsets, whose images lie transposed.

Debian's package dataset-fashion-mnist serves instead of a download where it is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from .downloading import download_file
from .idx import IdxFile, IdxImages, file_of, files_in, pair_of, read_pair, unpacked

if TYPE_CHECKING:
    from torchvision.datasets import MNIST

_CHUNK = 2**20
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the four files."""
_UNPACKED = {
    "MNIST": (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    "FashionMNIST": (
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
}
"""MD5 of published files once unpacked. Torchvision's are of the compressed ones, which others compress again."""


def open_mnist(*, root: Path, split: Literal["train", "test"], download: bool) -> IdxImages:
    """Return one split of MNIST.

    Args:
        root: the folder that holds its files, or where they lie in ``raw`` or, as torchvision has it, ``MNIST/raw``.
        split: which split.
        download: whether to fetch what is missing (12 MB).

    Raises:
        FileNotFoundError: it is not at `root`.
        OSError: the download failed.
        ValueError: a file is missing beside others, or is not what MNIST's files are.
    """
    from torchvision.datasets import MNIST

    return _open(MNIST, tuple("0123456789"), root, split, download)


def open_fashion_mnist(*, root: Path, split: Literal["train", "test"], download: bool) -> IdxImages:
    """Return one split of Fashion-MNIST (31 MB); as `open_mnist`, but that installed files are linked to first."""
    from torchvision.datasets import FashionMNIST

    return _open(FashionMNIST, tuple(FashionMNIST.classes), root, split, download, installed=_DEBIAN)


def open_kmnist(*, root: Path, split: Literal["train", "test"], download: bool) -> IdxImages:
    """Return one split of KMNIST (21 MB); as `open_mnist`."""
    from torchvision.datasets import KMNIST

    return _open(KMNIST, tuple(KMNIST.classes), root, split, download)


def open_emnist(*, root: Path, split: Literal["train", "test"], download: bool, subset: str) -> IdxImages:
    """Return one split of a subset of EMNIST, its images upright.

    Args:
        root: the folder that holds the published archive ``gzip.zip`` or the subset's files, or where these lie in
            ``gzip``, ``raw`` or ``EMNIST/raw``. Checksums are published of the archive alone.
        split: which split.
        download: whether to fetch the archive (562 MB) where neither is there.
        subset: one of torchvision's ``EMNIST.splits``.

    Raises: as `open_mnist`.
    """
    from torchvision.datasets import EMNIST

    prefix = f"emnist-{subset}-"
    folder, files = _files_at(root, prefix, ("gzip", "raw", "EMNIST/raw"))
    verified = False
    if files:
        pixels, numbers = read_pair(*pair_of(files, prefix, split, folder))
    else:
        archive = root / "gzip.zip"
        if not archive.exists():
            if not download:
                raise FileNotFoundError(f"neither gzip.zip nor {prefix}{split}-images-idx3-ubyte")
            download_file([EMNIST.url], archive, md5=EMNIST.md5)
        pixels, numbers = _from_archive(archive, f"{prefix}{split}")
        with archive.open("rb") as file:
            verified = _md5_of(file) == EMNIST.md5
    names = EMNIST.classes_split_dict[subset]
    first = 1 if subset == "letters" else 0  # its labels count from 1, where torchvision has a name for no class
    return IdxImages(
        pixels=np.ascontiguousarray(pixels.swapaxes(1, 2))[:, None],
        labels=numbers.astype(np.int64) - first,
        class_names=tuple(names[first:]),
        verified=verified,
    )


def _open(
    published: type[MNIST],
    class_names: tuple[str, ...],
    root: Path,
    split: Literal["train", "test"],
    download: bool,
    *,
    installed: Path | None = None,
) -> IdxImages:
    folder, files = _files_at(root, "", ("raw", f"{published.__name__}/raw"))
    if download:
        for name, md5 in published.resources:
            if file_of(name) in files:
                continue
            if installed and (installed / name).is_file():
                _link(folder / name, installed / name)
            else:
                download_file([mirror + name for mirror in published.mirrors], folder / name, md5=md5)
        files = files_in(folder)
    elif not files:
        raise FileNotFoundError(f"no {published.resources[0][0]}")
    images, labels = pair_of(files, "", split, folder)
    pixels, numbers = read_pair(images, labels)
    sums = {*(md5 for _, md5 in published.resources), *_UNPACKED.get(published.__name__, ())}
    package = installed is not None and images.resolve().parent == installed.resolve()
    return IdxImages(
        pixels=pixels[:, None],
        labels=numbers.astype(np.int64),
        class_names=class_names,
        notes=(f"read from {installed}, from Debian's package dataset-fashion-mnist",) if package else (),
        verified=_has_sum(images, sums) and _has_sum(labels, sums),
    )


def _files_at(root: Path, prefix: str, inside: Collection[str]) -> tuple[Path, dict[IdxFile, Path]]:
    """Return the first folder that has files with a prefix, and these; the root and nothing where none has."""
    for folder in (root, *(root / name for name in inside)):
        if files := {file: path for file, path in files_in(folder).items() if file.prefix == prefix}:
            return folder, files
    return root, {}


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):  # another process has put it there meanwhile
        path.symlink_to(target)


def _from_archive(archive: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if not archive.is_file():  # a pipe would be waited for
        raise ValueError(f"cannot read {archive}: it is not a file")
    try:
        with (
            zipfile.ZipFile(archive) as held,
            held.open(f"gzip/{name}-images-idx3-ubyte.gz") as images,
            held.open(f"gzip/{name}-labels-idx1-ubyte.gz") as labels,
        ):
            return read_pair(images, labels)
    except KeyError as error:
        raise ValueError(f"{archive}: {error.args[0]}") from error
    except (zipfile.BadZipFile, RuntimeError) as error:  # RuntimeError: it asks for a password
        raise ValueError(f"cannot read {archive}: {error}") from error


def _has_sum(path: Path, sums: Collection[str]) -> bool:
    """Whether a file, as it lies or once unpacked, has one of the checksums."""
    with path.open("rb") as file:
        if _md5_of(file) in sums:
            return True
    with unpacked(path) as file:
        return _md5_of(file) in sums


def _md5_of(file: IO[bytes]) -> str:
    found = hashlib.md5(usedforsecurity=False)
    while chunk := file.read(_CHUNK):
        found.update(chunk)
    return found.hexdigest()
