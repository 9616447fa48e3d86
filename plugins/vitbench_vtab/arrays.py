"""Images in files of arrays: MATLAB's, smallNORB's, and the compressed array of dSprites.

Shapes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPRITE = (64, 64)
_NORB_TYPES: dict[int, np.dtype[Any]] = {0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4")}
"""Of the elements, by the magic number (https://cs.nyu.edu/~ylclab/data/norb-v1.0-small)."""
_CHUNK = 4096
"""Images that are unpacked at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrays:
    """Images in one array."""

    pixels: NDArray[np.uint8]
    """uint8[N, C, H, W]"""

    def image(self, i: int) -> NDArray[np.uint8]:
        """Return [C, H, W]."""
        return np.ascontiguousarray(self.pixels[i])


def read_mat(path: Path, key: str) -> NDArray[Any]:
    """Return an array of a MATLAB file.

    Raises:
        ValueError: it cannot be read, or has no such array.
    """
    from scipy.io import loadmat

    try:
        found: NDArray[Any] = loadmat(path, variable_names=[key])[key]
    except KeyError as error:
        raise ValueError(f"{path} has no array {key}") from error
    except Exception as error:  # of a damaged file, nearly anything
        raise ValueError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    return found


def read_norb(path: Path) -> NDArray[Any]:
    """Map an array of a file of smallNORB's format: a magic number, the dimensions, three of them at least, and data.

    Raises:
        ValueError: it is not such a file, or cut.
    """
    with path.open("rb") as file:
        head = np.frombuffer(file.read(8), "<i4")
        if len(head) < 2 or int(head[0]) not in _NORB_TYPES or not 1 <= head[1] <= 8:
            raise ValueError(f"{path} is not in the format of smallNORB")
        given = np.frombuffer(file.read(4 * max(3, int(head[1]))), "<i4")
        start = file.tell()
    kind, shape = _NORB_TYPES[int(head[0])], tuple(int(side) for side in given[: head[1]])
    wanted = int(np.prod(shape)) * kind.itemsize
    if min(shape, default=0) < 1 or path.stat().st_size - start != wanted:
        raise ValueError(f"{path} has {path.stat().st_size - start:,} bytes of data, not {wanted:,}; it is damaged")
    found: NDArray[Any] = np.memmap(path, kind, "r", start, shape)
    return found


def read_npz(path: Path, key: str) -> NDArray[Any]:
    """Return an array of a compressed file of NumPy's; none that would have to be unpickled.

    Raises:
        ValueError: it cannot be read, or has no such array.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
            found: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Sprites:
    """Some images of dSprites, unpacked in one pass over the file when the first is asked for, eight pixels a byte."""

    path: Path
    rows: NDArray[np.int64]
    """int64[N], of the file's array."""
    _bits: list[NDArray[np.uint8]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def image(self, i: int) -> NDArray[np.uint8]:
        """Return uint8[1, 64, 64], 0 or 255. Raises ValueError where the file cannot be read."""
        with self._lock:
            if not self._bits:
                self._bits.append(self._unpacked())
        return np.unpackbits(self._bits[0][i]).reshape(1, *SPRITE) * np.uint8(255)

    def _unpacked(self) -> NDArray[np.uint8]:
        """Return uint8[N, 512]; the whole array would take 3 GB."""
        size = SPRITE[0] * SPRITE[1]
        order = np.argsort(self.rows)
        wanted, bits = self.rows[order], np.empty((len(self.rows), size // 8), np.uint8)
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open("imgs.npy") as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, fortran, kind = read(file)
                if shape[1:] != SPRITE or fortran or kind != np.uint8:
                    raise ValueError(f"imgs must be uint8[N, 64, 64], not {kind}{list(shape)}")
                for start in range(0, shape[0], _CHUNK):
                    count = min(_CHUNK, shape[0] - start)
                    images = np.frombuffer(file.read(count * size), np.uint8).reshape(count, size)
                    low, high = np.searchsorted(wanted, [start, start + count])
                    bits[order[low:high]] = np.packbits(images[wanted[low:high] - start], axis=1)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(f"cannot read {self.path}: {error}") from error
        return bits
