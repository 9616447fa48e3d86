"""Images and labels in idx files, the format of MNIST (LeCun, Cortes and Burges), plain or compressed by gzip.

A file is a big-endian header, then values: two zeros, the type (8: unsigned bytes), the number of axes, and the length
of each axis in 32 bits. Images have three axes, labels one. Nothing of the header is believed before the file has
shown as many values.

The layout: ``train-images-idx3-ubyte`` with ``train-labels-idx1-ubyte``, and the same for ``t10k`` or ``test`` and for
``val``, each with or without ``.gz``, in the folder, in ``raw/`` or, as torchvision has it, in ``<name>/raw/``.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitbench.specs import SplitName

from .naming import SPLITS, is_hidden, listed, split_of

__all__ = [
    "IdxFile",
    "IdxImages",
    "detect",
    "file_of",
    "files_in",
    "open_idx",
    "pair_of",
    "read_idx",
    "read_pair",
    "unpacked",
]

Kind = Literal["images", "labels"]

_NAME = re.compile(
    r"(?P<prefix>(?:.*[-_.])?)(?P<word>[A-Za-z0-9]+)[-_](?P<kind>images|labels)[-.]idx\d-[a-z]+(?:\.gz)?"
)
_TEST_WORD = "t10k"
"""The test split, as MNIST's files are called."""
_TRANSPOSED = "emnist-"
"""What the names of EMNIST's files begin with."""
_AXES = {"images": 3, "labels": 1}
_UNSIGNED_BYTES = 8
_OTHER_TYPES = {
    9: "signed bytes",
    11: "16-bit integers",
    12: "32-bit integers",
    13: "32-bit floats",
    14: "64-bit floats",
}
_GZIP = b"\x1f\x8b"
_CHUNK = 2**20


class IdxFile(NamedTuple):
    """What an idx file holds, by its name."""

    prefix: str
    """Which dataset, where several lie in a folder: ``emnist-letters-``; mostly empty."""
    split: SplitName
    kind: Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class IdxImages:
    """One split."""

    pixels: NDArray[np.uint8]
    """uint8[N, 1, H, W]"""
    labels: NDArray[np.int64]
    """int64[N]"""
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    verified: bool | None = None
    """Whether its files are the published ones; None: there are none to compare with."""

    def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return uint8[B, 1, H, W]."""
        return self.pixels[index]


def detect(root: Path) -> bool:
    """Whether there are idx files of images in `root`."""
    return any(file.kind == "images" for folder in _folders(root) for file in files_in(folder))


def open_idx(*, root: Path, split: SplitName, download: bool = False) -> IdxImages | None:
    """Return one split, or None where there are no files of it; classes are the numbers up to the highest label.

    Raises:
        FileNotFoundError: `root` does not exist.
        ValueError: there are no such files, some are missing, or one cannot be read.
    """
    folder, files = _dataset_in(root)
    [prefix] = {file.prefix for file in files}
    pairs = {s: pair_of(files, prefix, s, folder) for s in SPLITS if any(file.split == s for file in files)}
    if split not in pairs:
        return None
    labels = {s: read_idx(path, kind="labels") for s, (_, path) in pairs.items()}
    highest = max(int(each.max(initial=0)) for each in labels.values())
    pixels, own = read_pair(*pairs[split])
    where = ", ".join(f"{s} from {path.relative_to(root).as_posix()}" for s, (path, _) in pairs.items())
    return IdxImages(
        pixels=pixels[:, None],
        labels=own.astype(np.int64),
        class_names=tuple(map(str, range(highest + 1))),
        notes=(f"layout idx: {where}",),
    )


def file_of(name: str) -> IdxFile | None:
    """Return what a file holds, if its name is that of an idx file of a split."""
    match = None if is_hidden(name) else _NAME.fullmatch(name)
    if match is None:
        return None
    split: SplitName | None = "test" if match["word"].casefold() == _TEST_WORD else split_of(match["word"])
    kind: Kind = "images" if match["kind"] == "images" else "labels"
    return None if split is None else IdxFile(match["prefix"], split, kind)


def files_in(folder: Path) -> dict[IdxFile, Path]:
    """Return the idx files in a folder by what they hold; of a plain and a compressed one the compressed, of which
    checksums are published."""
    paths = sorted(path for path in folder.iterdir() if path.exists()) if folder.is_dir() else []
    return {file: path for path in paths if (file := file_of(path.name))}


def read_pair(images: Path | IO[bytes], labels: Path | IO[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return uint8[N, H, W] and uint8[N] of two files.

    Raises:
        ValueError: one cannot be read, or they hold different numbers of images and labels.
    """
    pixels, numbers = read_idx(images, kind="images"), read_idx(labels, kind="labels")
    if len(pixels) != len(numbers):
        raise ValueError(f"{_name(images)} has {len(pixels):,} images, and {_name(labels)} {len(numbers):,} labels")
    return pixels, numbers


def read_idx(source: Path | IO[bytes], *, kind: Kind) -> NDArray[np.uint8]:
    """Return the values of an idx file: uint8[N, H, W] of images, uint8[N] of labels.

    No more memory is taken than what the file really holds, and than what its header promises.

    Args:
        source: its path, or the open file, which has a name. Whether it is compressed, its first bytes say.
        kind: what it is to hold.

    Raises:
        ValueError: it is damaged, cut, too long, or holds another type or number of axes.
    """
    name = _name(source)
    try:
        with unpacked(source) as file:
            shape = _shape(file, kind, name)
            size = math.prod(shape)
            content = bytearray()
            while len(content) <= size and (chunk := file.read(min(_CHUNK, size + 1 - len(content)))):
                content += chunk
    except EOFError as error:
        raise ValueError(f"cannot read {name}: its compressed data is truncated") from error
    except (OSError, zlib.error) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or error
        raise ValueError(f"cannot read {name}: {reason}") from error
    if len(content) < size:
        raise ValueError(f"{name} is truncated: its header promises {size:,} values, but it has only {len(content):,}")
    if len(content) > size:
        raise ValueError(f"{name} is too long: more data follows the {size:,} values that its header promises")
    return np.frombuffer(content, np.uint8).reshape(shape)


@contextlib.contextmanager
def unpacked(source: Path | IO[bytes]) -> Iterator[IO[bytes]]:
    """Open a file to read what is in it, compressed or not."""
    if isinstance(source, Path) and source.exists() and not source.is_file():  # a pipe would be waited for
        raise ValueError(f"cannot read {source}: it is not a file")
    with source.open("rb") if isinstance(source, Path) else source as raw:
        start = raw.read(len(_GZIP))
        raw.seek(0)
        if start != _GZIP:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as file:
            yield file  # type: ignore[misc]


def _name(source: Path | IO[bytes]) -> str:
    return str(source) if isinstance(source, Path) else str(source.name)


def _shape(file: IO[bytes], kind: Kind, name: str) -> tuple[int, ...]:
    """Read an idx file's header."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or (start[2] != _UNSIGNED_BYTES and start[2] not in _OTHER_TYPES):
        raise ValueError(f"{name} is not an idx file: it {f'starts with {start.hex()}' if start else 'is empty'}")
    if start[2] != _UNSIGNED_BYTES:
        raise ValueError(f"{name} holds {_OTHER_TYPES[start[2]]}; {kind} must be unsigned bytes")
    if start[3] != _AXES[kind]:
        axes = f"{start[3]} {'axis' if start[3] == 1 else 'axes'}"
        raise ValueError(f"{name} has {axes}; {kind} have {_AXES[kind]}")
    lengths = file.read(4 * start[3])
    if len(lengths) < 4 * start[3]:
        raise ValueError(f"{name} is truncated within its header")
    shape = tuple(int(length) for length in np.frombuffer(lengths, ">u4"))
    if 0 in shape[1:]:
        raise ValueError(f"{name} holds images of {shape[1]}x{shape[2]} pixels")
    return shape


# --- where the files lie ---------------------------------------------------------------------------------------------


def _folders(root: Path) -> list[Path]:
    """Return the folders that may hold the files: the root, or those that torchvision makes."""
    if not root.exists():
        raise FileNotFoundError(f"no folder {root.name}")
    return [root, root / "raw", *sorted(path for path in root.glob("*/raw") if not is_hidden(path.parent.name))]


def _dataset_in(root: Path) -> tuple[Path, dict[IdxFile, Path]]:
    """Return the folder and the files of the only dataset in `root`.

    Raises:
        ValueError: there is none, there are several, or it is EMNIST.
    """
    held = {folder: files for folder in _folders(root) if (files := files_in(folder))}
    if not held:
        raise ValueError("there is no train-images-idx3-ubyte or other idx file of a split (with or without .gz)")
    if len(held) > 1:
        names = listed([f"{folder.relative_to(root).as_posix()}/" for folder in held])
        raise ValueError(f"it contains several datasets, {names}; give the folder of one of them")
    [(folder, files)] = held.items()
    if len(prefixes := sorted({file.prefix for file in files})) > 1:
        names = listed([f"{prefix}*" if prefix else "those without a prefix" for prefix in prefixes])
        raise ValueError(f"it contains several datasets, {names}; give a folder with the files of one of them")
    if prefixes[0].startswith(_TRANSPOSED):
        subset = prefixes[0].removeprefix(_TRANSPOSED).removesuffix("-")
        raise ValueError(
            "its files are EMNIST's, whose images are stored transposed; --data emnist=PATH --dataset "
            f"emnist:subset={subset} "
            "turns them upright and names their classes"
        )
    return folder, files


def pair_of(files: dict[IdxFile, Path], prefix: str, split: SplitName, folder: Path) -> tuple[Path, Path]:
    """Return the files of a split's images and labels.

    Raises:
        ValueError: one is missing.
    """
    images, labels = files.get(IdxFile(prefix, split, "images")), files.get(IdxFile(prefix, split, "labels"))
    if images is None or labels is None:
        missing = "labels" if images else "images" if labels else "images and labels"
        there = listed([path.name for path in files.values()])
        raise ValueError(f"the {missing} of {split} are missing in {folder}; there are {there}")
    return images, labels
