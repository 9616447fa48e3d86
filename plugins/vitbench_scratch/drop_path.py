"""Stochastic depth: in training, each image skips each residual branch with some probability.

Huang et al. 2016, "Deep Networks with Stochastic Depth" (arXiv 1603.09382): the probability rises linearly with the
depth. A branch that is kept is divided by the probability to be kept, so that evaluation has nothing to scale.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitbench.errors import UsageError


class DropPath(nn.Module):
    """Drop the whole of a branch ``[B, ...]`` for each image, with a probability below 1."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, branch: Tensor) -> Tensor:
        """Map ``[B, ...]`` to the same shape."""
        if not self.training or not self.probability:
            return branch
        kept = 1 - self.probability
        shape = (len(branch), *(1,) * (branch.ndim - 1))
        return branch * (torch.rand(shape, device=branch.device) < kept).to(branch.dtype).div_(kept)

    def extra_repr(self) -> str:
        """Say the probability where the model is printed."""
        return f"probability={self.probability:.3g}"


def rising(last: float, depth: int) -> list[float]:
    """Return the probability of each of `depth` blocks, from 0 in even steps to that of the last.

    Raises:
        UsageError: the last is below 0, or 1 and more.
    """
    if not 0 <= last < 1:
        raise UsageError(f"drop_path must be at least 0 and below 1, not {last}")
    return [last * index / max(1, depth - 1) for index in range(depth)]
