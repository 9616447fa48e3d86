"""Weights for data whose classes are of unequal size."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["class_weights"]


def class_weights(labels: NDArray[np.int64], num_classes: int) -> Tensor:
    """Return float32[K], the weight of each class in inverse proportion to its images; their mean over images is 1.

    They weight each image's loss as if all classes were equally large, as scikit-learn's ``class_weight="balanced"``
    does; ``class_weights(...)[labels]`` are the weights with which `shuffled` draws from such a set.

    Args:
        labels: int64[N], each in 0..K-1.
        num_classes: K. A class without an image has weight 0.
    """
    counts = np.bincount(labels, minlength=num_classes)
    weights = np.divide(len(labels), np.count_nonzero(counts) * counts, where=counts > 0, out=np.zeros(num_classes))
    return torch.from_numpy(weights.astype(np.float32))
