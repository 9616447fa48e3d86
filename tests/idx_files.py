"""Files in the format of MNIST, as its page describes it: http://yann.lecun.com/exdb/mnist."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

__all__ = ["idx", "images_and_labels", "write_idx"]


def idx(array: np.ndarray, *, kind: int = 8) -> bytes:
    """Return an array in the format, as unsigned bytes, or with the number of another type in its header."""
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes((0, 0, kind, array.ndim)) + lengths + array.astype(np.uint8).tobytes()


def images_and_labels(count: int, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8[N, 28, 28] that differ from each other, and uint8[N] whose classes take turns."""
    pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    return pixels, np.arange(count, dtype=np.uint8) % classes


def write_idx(
    folder: Path, *, train: int = 40, test: int = 20, words: tuple[str, str] = ("train", "t10k"), packed: bool = True
) -> Path:
    """Write the four files of a dataset of ten classes, compressed or not."""
    folder.mkdir(parents=True, exist_ok=True)
    for word, count in zip(words, (train, test), strict=True):
        for name, array in zip(("images-idx3", "labels-idx1"), images_and_labels(count), strict=True):
            content = idx(array)
            path = folder / f"{word}-{name}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return folder
