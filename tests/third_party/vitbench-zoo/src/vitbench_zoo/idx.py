"""Images in IDX files, the format of MNIST (Y. LeCun, C. Cortes, C. Burges), plain or compressed by gzip.

A file is a big-endian header and then bytes: two zeros, the type (8: unsigned byte), the number of axes, and the size
of each axis as a 32-bit integer. Images have three axes and may be of any size, labels one.
"""

import gzip
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PREFIXES = {"train": "train", "test": "t10k"}
UNSIGNED_BYTE = 8


@dataclass(frozen=True)
class Digits:
    """Labels int64 [N] and gray images uint8 [N, H, W]."""

    labels: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    class_names: tuple[str, ...]

    def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return some images, uint8 [B, 1, H, W]."""
        return self.pixels[index][:, None]


def open_split(root: Path, split: str) -> Digits:
    """Read a split; the classes are those of both splits' labels."""
    labels = {name: read(find(root, f"{prefix}-labels-idx1-ubyte"), axes=1) for name, prefix in PREFIXES.items()}
    path = find(root, f"{PREFIXES[split]}-images-idx3-ubyte")
    pixels = read(path, axes=3)
    if len(pixels) != len(labels[split]):
        raise ValueError(f"{path} has {len(pixels)} images, but there are {len(labels[split])} labels")
    classes = 1 + max(int(own.max(initial=0)) for own in labels.values())
    return Digits(labels[split].astype(np.int64), pixels, tuple(map(str, range(classes))))


def find(root: Path, name: str) -> Path:
    """Return the path of a file, plain or compressed."""
    for path in (root / name, root / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"there is neither {name} nor {name}.gz in {root}; put MNIST's four files there")


def read(path: Path, *, axes: int) -> NDArray[np.uint8]:
    """Return the array of an IDX file."""
    try:
        content = (gzip.decompress if path.suffix == ".gz" else bytes)(path.read_bytes())
    except (OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    header = 4 + 4 * axes
    if len(content) < header or content[:4] != bytes((0, 0, UNSIGNED_BYTE, axes)):
        raise ValueError(f"{path} is not an IDX file of unsigned bytes in {axes} axes")
    shape = tuple(map(int, np.frombuffer(content[4:header], dtype=">u4")))
    if len(content) - header != math.prod(shape):
        raise ValueError(
            f"{path} should hold {math.prod(shape)} bytes after its header, and has {len(content) - header}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
