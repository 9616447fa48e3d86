"""A moving average of a model's weights, which is often more accurate than the weights of the last step.

Polyak and Juditsky 1992 (https://doi.org/10.1137/0330046); exponential, with the rising decay of TensorFlow's
ExponentialMovingAverage, so that a short training does not keep its initial weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

__all__ = ["WeightAverage"]


class WeightAverage:
    """The average of a model's trainable parameters and of its floating-point buffers, such as batch statistics.

    A buffer with infinite numbers, such as the mask of an attention, is not averaged.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start from the weights as they are.

        Args:
            model: on its device, compiled or not.
            decay: below 1: after n updates the average keeps min(decay, (1 + n) / (10 + n)) of itself at the next one.
                0: there is no average, and each method leaves the weights as they are.
        """
        self._decay, self._updates = decay, 0
        trained = (parameter for parameter in model.parameters() if parameter.requires_grad)
        buffers = (buffer for buffer in model.buffers() if buffer.is_floating_point() and buffer.isfinite().all())
        self._weights = [each.detach() for each in (*trained, *buffers)] if decay else []
        self._averages = [weight.clone() for weight in self._weights]

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the weights after the current step."""
        if self._weights:
            self._updates += 1
            decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
            lerp = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            lerp(self._averages, self._weights, self._updates)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Replace the model's weights by the average within the block, to evaluate or store it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def apply(self) -> None:
        """Replace the model's weights by the average, at the end of the training."""
        for weight, average in zip(self._weights, self._averages, strict=True):
            weight.copy_(average)

    def state_dict(self) -> dict[str, Any]:
        """Return the average, for a training run that may be resumed later."""
        return {"updates": self._updates, "averages": self._averages}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        self._updates = state["updates"]
        for average, saved in zip(self._averages, state["averages"], strict=True):
            average.copy_(saved)

    @torch.no_grad()
    def _swap(self) -> None:
        for weight, average in zip(self._weights, self._averages, strict=True):
            held = weight.clone()
            weight.copy_(average)
            average.copy_(held)
