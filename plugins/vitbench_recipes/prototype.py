"""Learn nothing but means: the class whose mean feature is nearest, of a model whose weights stay as they are.

As in prototypical networks (arXiv 1703.05175), here with frozen features, standardised, and Euclidean distance. Half
its square, over a temperature that is chosen on validation, is a linear function of the features except for a part that
all classes share: the head is a linear layer.

Shapes: N training images, D features, K classes.
"""

from __future__ import annotations

import torch
from torch import nn

from vitbench.protocols import FitRun, TrainVal

from .probing import Found, Known, best, linear_head, probe, standardised

TEMPERATURES = tuple(10 ** (exponent / 4) for exponent in range(-8, 13))
"""In squared distances per feature: 0.01 to 1000."""


def fit(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Take the mean features of each class of ``data.train`` and return the model with the head that they make.

    Raises:
        UsageError: the model has no features, or an option leaves too few images.
    """
    return probe(model, data, run, learned)


def learned(known: Known) -> Found:
    """Return the head of the nearest mean; a class without an image has the mean of all, and the least bias."""
    scaled, mean, scale = standardised(known)
    labels, width = known.train_labels, scaled.train.shape[1]
    counts = torch.bincount(labels, minlength=known.num_classes)
    means = scaled.train.new_zeros(known.num_classes, width).index_add_(0, labels, scaled.train)
    means /= counts.clamp(min=1)[:, None]
    bias = -means.square().sum(1) / 2
    bias[counts == 0] = bias.min() - width
    raw = scaled.val @ means.T + bias
    chosen = best([({"temperature": one}, raw / (one * width)) for one in TEMPERATURES], known.val_labels)
    divisor = chosen["temperature"] * width
    return Found(head=linear_head(means / divisor, bias / divisor, mean, scale), chosen=chosen)
