"""k nearest neighbours on pixels: what a model scores that memorises and learns nothing.

Expected with k = 5: 98.6 % on the quick suite's digits, about a third right on CIFAR-10. All of CIFAR-10's test split
takes about 4 minutes of processor time and 1.3 GiB.

Shapes: B images asked for, M stored images in a chunk, D = C * H * W pixel values with H and W at most 32,
k neighbours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.errors import UsageError
from vitbench.protocols import FitRun, TrainVal
from vitbench.training import batches, preprocess

_LARGEST_SIDE = 32
"""Larger images are shrunk: distances of more pixels cost memory and tell little more."""
_CHUNK_VALUES = 1 << 23
"""Pixel values of stored images that are compared at once: 64 MiB in float64."""
_GRAIN = 1e-5
"""Squared distances that differ by less count as equal; float64 rounds far below it."""


class PixelNeighbours(nn.Module):
    """Votes of the k nearest stored images.

    Equal distances go to the image stored first, and equal votes to the class of the nearer image, so that the
    answer depends on neither batch size nor order; distances are in float64 for the same reason. The stored images
    are not part of the state dict: they are the training split again.
    """

    pixels: Tensor
    """float32[N, D]"""
    labels: Tensor
    """int64[N]"""

    def __init__(self, num_classes: int) -> None:
        """Start without stored images; `fit` brings them."""
        super().__init__()
        self.num_classes = num_classes
        self.k = 1
        self.register_buffer("pixels", torch.empty(0, 0), persistent=False)
        self.register_buffer("labels", torch.empty(0, dtype=torch.int64), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map float images [B, C, H, W] to logits [B, K], the logarithms of smoothed shares of votes."""
        home = torch.device("cpu") if images.device.type == "mps" else images.device  # MPS has no float64
        neighbours = self._nearest(as_rows(images).to(home).double()).to(images.device)  # [B, k]
        k = neighbours.shape[1]
        # A nearer neighbour's vote counts a little more: enough to settle a tie, too little to outvote anyone.
        weights = 1 + 1e-3 / k * torch.arange(k, 0, -1, device=images.device)
        votes = torch.zeros(len(images), self.num_classes, device=images.device)
        votes.scatter_add_(1, self.labels[neighbours], weights.expand(len(images), -1))
        smoothed = votes + 1 / self.num_classes
        return (smoothed / smoothed.sum(1, keepdim=True)).log()

    def _nearest(self, asked: Tensor) -> Tensor:
        """Return the rows [B, k] of the stored images nearest to asked [B, D], nearest first."""
        count, width = self.pixels.shape
        k = min(self.k, count)
        best = torch.empty(len(asked), 0, dtype=torch.int64, device=asked.device)
        for start in range(0, count, max(1, _CHUNK_VALUES // width)):
            stored = self.pixels[start : start + max(1, _CHUNK_VALUES // width)].to(asked.device).double()  # [M, D]
            squared = asked.square().sum(1, keepdim=True) + stored.square().sum(1) - 2 * asked @ stored.T  # [B, M]
            # One integer orders by distance, then by row: no two are equal, so that topk has no choice.
            rows = torch.arange(start, start + len(stored), device=asked.device)
            rank = (squared / _GRAIN).round().long() * count + rows
            best = torch.cat([best, rank], dim=1).topk(min(k, best.shape[1] + len(stored)), largest=False).values
        return best % count


def as_rows(images: Tensor) -> Tensor:
    """Turn images [B, C, H, W] into rows [B, D], shrunk to 32 pixels each way in which they are larger."""
    height, width = (min(side, _LARGEST_SIDE) for side in images.shape[-2:])
    if (height, width) != images.shape[-2:]:
        images = F.interpolate(images, size=(height, width), mode="area")
    return images.flatten(1)


def build(*, num_classes: int, image_size: tuple[int, int], in_channels: int) -> nn.Module:
    """Return the baseline, not yet fitted."""
    return PixelNeighbours(num_classes)


@torch.no_grad()
def fit(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Store the images of ``data.train``, preprocessed as the model will see them."""
    if not isinstance(model, PixelNeighbours):
        raise UsageError("the recipe baseline/knn fits baseline/knn-pixels only; choose another recipe")
    if run.options["k"] < 1:
        raise UsageError(f"k must be at least 1, not {run.options['k']}")
    rows, labels = [], []
    for images, batch_labels in batches(data.train, batch_size=1024, device=run.device):
        inputs = preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
        rows.append(as_rows(inputs))
        labels.append(batch_labels)
        run.log()
    model.k = run.options["k"]
    model.pixels, model.labels = torch.cat(rows), torch.cat(labels)
    return model
