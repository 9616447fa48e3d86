"""The majority class: what a model scores that never looks at the image.

Its probabilities are the class frequencies of the training split with one image added to each class (Laplace's
rule), so that they are finite; among constant answers no other has a lower expected cross-entropy.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitbench.errors import UsageError
from vitbench.protocols import FitRun, TrainVal


class Majority(nn.Module):
    """Gives each image the same logits."""

    logits: Tensor

    def __init__(self, num_classes: int) -> None:
        """Start with equal logits, before any image has been counted."""
        super().__init__()
        self.register_buffer("logits", torch.zeros(num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, K]."""
        return self.logits.expand(len(images), -1)


def build(*, num_classes: int, image_size: tuple[int, int], in_channels: int) -> nn.Module:
    """Return the baseline, not yet fitted."""
    return Majority(num_classes)


def fit(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Set the logits to the logarithms of the class frequencies of ``data.train``."""
    if not isinstance(model, Majority):
        raise UsageError("the recipe baseline/majority fits baseline/majority only; choose another recipe")
    model.to(run.device)
    counts = torch.bincount(torch.from_numpy(data.train.labels), minlength=data.num_classes) + 1
    model.logits.copy_((counts / counts.sum()).log())
    return model
