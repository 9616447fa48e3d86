"""Let the nearest training images vote, by the cosine between features of a model whose weights stay as they are.

As DINO evaluates features (arXiv 2104.14294, after Wu et al., arXiv 1805.01978): of the k nearest images each votes
for its class with ``exp(cosine / temperature)``. Both are chosen on validation.

Shapes: B images asked for, N training images, D features, k neighbours, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.protocols import FitRun, TrainVal

from .probing import Found, Known, best, probe

NEIGHBOURS = (1, 5, 10, 20, 50, 100, 200)
TEMPERATURES = (0.01, 0.02, 0.05, 0.07, 0.1, 0.2, 0.5)


class Neighbours(nn.Module):
    """The votes of the nearest stored features; these are no part of the state dict, since the images give them again.

    Args:
        features: float32[N, D].
        labels: int64[N].
        num_classes: K.
        k: neighbours that vote; all where there are fewer.
        temperature: the smaller, the more the nearest count.
    """

    stored: Tensor
    labels: Tensor

    def __init__(self, features: Tensor, labels: Tensor, *, num_classes: int, k: int, temperature: float) -> None:
        super().__init__()
        self.num_classes, self.k, self.temperature = num_classes, k, temperature
        self.register_buffer("stored", F.normalize(features.float(), dim=1), persistent=False)
        self.register_buffer("labels", labels, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map features ``[B, D]`` to logits ``[B, K]``: the logarithms of smoothed shares of the votes."""
        cosines, labels = self.nearest(features)
        return votes(cosines, labels, num_classes=self.num_classes, temperature=self.temperature)

    def nearest(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and label of the nearest stored features, ``[B, k]`` each, nearest first."""
        with torch.autocast(features.device.type, enabled=False):
            cosines = F.normalize(features.float(), dim=1) @ self.stored.float().T
        cosines, rows = cosines.topk(min(self.k, len(self.stored)), dim=1)
        return cosines, self.labels[rows]


def votes(cosines: Tensor, labels: Tensor, *, num_classes: int, temperature: float) -> Tensor:
    """Return logits ``[B, K]`` of the neighbours' cosines and labels ``[B, k]``.

    The nearest has one vote, and one more is spread evenly over all classes, so that each has a probability.
    """
    weights = ((cosines - cosines[:, :1]) / temperature).exp()
    shares = weights.new_full((len(weights), num_classes), 1 / num_classes).scatter_add_(1, labels, weights)
    return (shares / shares.sum(1, keepdim=True)).log()


def fit(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Store the features of ``data.train`` and return the model with a head that asks them.

    Raises:
        UsageError: the model has no features, or an option leaves too few images.
    """
    return probe(model, data, run, learned)


@torch.no_grad()
def learned(known: Known) -> Found:
    """Return the head with the number of neighbours and the temperature that suit the validation images best."""
    num_classes = known.num_classes
    largest = Neighbours(known.train, known.train_labels, num_classes=num_classes, k=max(NEIGHBOURS), temperature=1)
    parts = [largest.nearest(part) for part in known.val.split(1024)]
    cosines, labels = (torch.cat(each) for each in zip(*parts, strict=True))
    choice = best(
        [
            (
                {"k": k, "temperature": one},
                votes(cosines[:, :k], labels[:, :k], num_classes=num_classes, temperature=one),
            )
            for k in NEIGHBOURS
            for one in TEMPERATURES
        ],
        known.val_labels,
    )
    k, temperature = int(choice["k"]), choice["temperature"]
    head = Neighbours(known.train, known.train_labels, num_classes=num_classes, k=k, temperature=temperature)
    return Found(head=head, chosen=choice)
