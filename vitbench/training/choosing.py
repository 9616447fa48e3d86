"""Which epoch's weights a training ends with: those of the last one, or of the best on the validation images."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from torch import nn

from vitbench.errors import UsageError
from vitbench.training.module_state import load_whole_state, whole_state

__all__ = ["BestEpoch"]


class BestEpoch:
    """Keeps the weights of the best epoch, and reports when there has been no better one for long enough.

    Among epochs of equal accuracy, the latest is kept. Its validation accuracy is too high, since it was used for
    choosing; the test images are untouched.
    """

    def __init__(self, model: nn.Module, *, keep: str, patience: int) -> None:
        """Start before the first epoch.

        Args:
            model: on its device.
            keep: ``best``, or ``last``: then nothing is kept, and no method does anything.
            patience: number of epochs without a better one after which training ends; 0: never.

        Raises:
            UsageError: patience is set although the last epoch's weights are kept.
        """
        if patience and keep != "best":
            raise UsageError(
                f'patience = {patience} needs keep = "best", and keep is "{keep}"; change it or set patience = 0'
            )
        self._model, self._keeps, self._patience = model, keep == "best", patience
        self._epoch = self._since = 0
        self._top1 = -1.0
        self._weights: dict[str, Any] = {}

    def add(self, epoch: int, val_top1: float) -> dict[str, float]:
        """Record the accuracy of the model after an epoch, counted from 1.

        Returns:
            ``best_epoch``, for `FitRun.log`; nothing where the last epoch is kept.
        """
        if not self._keeps:
            return {}
        self._since = 0 if val_top1 > self._top1 else self._since + 1
        if val_top1 >= self._top1:
            self._top1, self._epoch = val_top1, epoch
            self._weights = deepcopy(whole_state(self._model))
        return {"best_epoch": self._epoch}

    @property
    def is_over(self) -> bool:
        """Whether patience has run out."""
        return 0 < self._patience <= self._since

    def apply(self) -> None:
        """Load the weights of the best epoch into the model, at the end of training."""
        if self._weights:
            load_whole_state(self._model, self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the state, for a training run that may be resumed later."""
        return {"val_top1": self._top1, "epoch": self._epoch, "since": self._since, "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        self._top1, self._epoch, self._since = state["val_top1"], state["epoch"], state["since"]
        self._weights = dict(state["weights"])
