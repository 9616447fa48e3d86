"""Fewer labels than images: the part of a training split that is learnt from with its labels."""

from __future__ import annotations

import dataclasses

import numpy as np

from vitbench.data.splits import SPLIT_SEED, nested_order
from vitbench.errors import UsageError
from vitbench.protocols import Split

__all__ = ["labelled", "labelled_count"]


def labelled(split: Split, labels: float) -> Split:
    """Return the images of a split whose labels may be used, chosen from each class in proportion.

    They are the same for each model, recipe and seed, and a smaller selection is always part of a larger one.

    Args:
        split: such as ``data.train``.
        labels: a share of the images, up to 1, or their number, from 2; all images if there are fewer.

    Raises:
        UsageError: it is neither, or leaves a class of the split without a label.
    """
    count = labelled_count(len(split), labels)
    if count == len(split):
        return split
    if (classes := len(np.unique(split.labels))) > count:
        raise UsageError(
            f"labels = {labels:g} leaves {classes - count} of {classes} classes without a label: it is {count} of "
            f"{len(split):,} images; use at least {classes}"
        )
    rows = np.sort(nested_order(split.labels, SPLIT_SEED)[:count])
    return dataclasses.replace(split, index=split.index[rows], labels=split.labels[rows])


def labelled_count(images: int, labels: float) -> int:
    """Return how many of a training split's images `labelled` returns, at least one.

    Raises:
        UsageError: `labels` is neither a share nor a number of images.
    """
    if 0 < labels <= 1:
        return max(1, round(labels * images))
    if not labels >= 2 or labels % 1:
        raise UsageError(f"labels = {labels:g} is neither a share of the images, up to 1, nor their number, from 2 on")
    return min(int(labels), images)
