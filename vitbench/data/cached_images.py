"""The images that a dataset's cache holds, and what their files are called: for whoever shows them after a run.

N images, C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vitbench.records import DataInfo
from vitbench.specs import SplitName

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cached_images", "image_names"]


def image_names(info: DataInfo, split: SplitName, count: int) -> list[str] | None:
    """Return what the images of a split are called, by their position; None where no names are kept, or not any more.

    Args:
        info: the dataset.
        split: the split.
        count: how many names are needed at least: the highest position that is asked for, and one.
    """
    if info.names:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            names = msgspec.json.decode((Path(info.names) / f"{split}.json").read_bytes(), type=list[str])
            if len(names) >= count:
                return names
    return None


def cached_images(
    info: DataInfo, split: SplitName, rows: Sequence[int], labels: Sequence[int]
) -> list[NDArray[Any]] | None:
    """Return images of a split as they were cached, uint8[C, H, W]; None where the cache does not hold them any more.

    Args:
        info: the dataset.
        split: the split.
        rows: their positions in it.
        labels: what each was labelled when it was cached, by which it is seen that they are still those.
    """
    import numpy as np

    place = Path(info.train_cache if split == "train" and info.train_cache else info.cache)
    try:
        known = np.load(place / f"{split}-labels.npy", mmap_mode="r")
        images = np.load(place / f"{split}-images.npy", mmap_mode="r")
        if len(known) != len(images) or known[list(rows)].tolist() != list(labels) or images.dtype != np.uint8:
            return None
        return [np.array(images[row]) for row in rows]
    except (OSError, ValueError, EOFError, IndexError):  # gone, damaged, or of other images
        return None
