"""Does a map follow the model? Its weights are made random from the top, and the maps compared with those before.

Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018 (arXiv 1810.03292), cascading randomisation. A map that
stays the same explains the image, not the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from vitbench.figures import FigureSubject

__all__ = ["cascade", "rank_correlation"]


def cascade(subject: FigureSubject, seed: int, shares: Sequence[float]) -> Iterator[tuple[float, nn.Module]]:
    """Give the model with ever more of its weights made random, the last layers' first.

    Each is the same module, so it holds until the next. Random means: as the architecture is before training. Matrices
    that are then of one value, such as a head of zeros, would give maps of nothing; they get their trained weights in
    another order.

    Args:
        subject: with the trained model.
        seed: of the random weights.
        shares: of the tensors that are random, from 0 to 1.
    """
    model = subject.fresh(seed)
    trained, state = subject.model.state_dict(), model.state_dict()
    generator = torch.Generator().manual_seed(seed)
    random = {name: _random(state[name], trained[name], generator) for name in state if name in trained}
    names = list(random)[::-1]
    for share in shares:
        count = round(share * len(names))
        for place, name in enumerate(names):
            state[name].copy_(random[name] if place < count else trained[name])
        yield share, model


def _random(fresh: Tensor, trained: Tensor, generator: torch.Generator) -> Tensor:
    if fresh.dim() < 2 or (fresh != fresh.flatten()[0]).any():
        return fresh.clone()
    order = torch.randperm(trained.numel(), generator=generator).to(trained.device)
    return trained.flatten()[order].view_as(trained)


def rank_correlation(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Return Spearman's correlation of each two maps, float64[B]; 0 where one is the same everywhere.

    Args:
        first: float[B, R, L].
        second: float[B, R, L].
    """
    from scipy.stats import rankdata

    ranks = list[NDArray[np.float64]]()
    for maps in (first, second):
        values = np.asarray(maps, dtype=np.float64)
        rank = rankdata(values.reshape(len(values), -1), axis=1)
        ranks.append(rank - rank.mean(1, keepdims=True))
    norms = np.sqrt((ranks[0] ** 2).sum(1) * (ranks[1] ** 2).sum(1))
    found: NDArray[np.float64] = (ranks[0] * ranks[1]).sum(1) / np.where(norms == 0, 1, norms)
    return found
