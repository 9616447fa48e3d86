"""Training and validation images together: what is learned from last, when nothing is left to choose."""

from __future__ import annotations

import numpy as np

from vitbench.errors import UsageError
from vitbench.protocols import Split, TrainVal

__all__ = ["trainval"]


def trainval(data: TrainVal) -> Split:
    """Return the training images and, after them, the validation images of a run as one split.

    Validation images that were drawn from the training images lie beside them in one array, and so do rows of one
    array in memory. Those of a validation split of the dataset's own are copied into memory together with the others.

    Raises:
        UsageError: the two are cached in different sizes, as for photographs that training may crop.
    """
    train, val = data.train, data.val
    labels = np.concatenate([train.labels, val.labels])
    if train.images is val.images or _drawn_from_train(data):
        return Split(images=train.images, index=np.concatenate([train.index, val.index]), labels=labels)
    if train.images.shape[1:] != val.images.shape[1:]:
        sizes = [f"{images.shape[2]}x{images.shape[3]}" for images in (train.images, val.images)]
        raise UsageError(
            f"training images are cached at {sizes[0]}, to be cropped from, and validation images at {sizes[1]}, "
            "so they cannot be used for training together; move the validation images into the training split"
        )
    images = np.concatenate([train.images[train.index], val.images[val.index]])
    return Split(images=images, index=np.arange(len(images)), labels=labels)


def _drawn_from_train(data: TrainVal) -> bool:
    """Whether the validation images are rows of the training split, which the larger form of it has, too."""
    names = [getattr(split.images, "filename", None) for split in (data.train, data.val)]
    return all(name is not None and str(name).endswith("train-images.npy") for name in names)
