"""Trained weights are kept so that they can be loaded again; where they cannot be, or not whole, that is said."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from vitbench.errors import UnusableError
from vitbench.training.card import Card, save_weights
from vitbench.training.checkpoint import State, check_fit

__all__ = ["keep_weights"]


def keep_weights(
    model: nn.Module, path: Path, card: Card, *, before: Mapping[str, Tensor], architecture: Callable[[], nn.Module]
) -> str:
    """Write a trained model's weights, and return in words, after "its weights are", what of them is lost; or nothing.

    Args:
        model: as its recipe left it.
        path: of the file.
        card: what belongs to the weights.
        before: the `unsaved_buffers` that it was built with.
        architecture: builds it anew, on the meta device.
    """
    try:
        save_weights(model, path, card)
    except UnusableError as error:
        return f"not kept: {error}"
    with contextlib.suppress(Exception):  # one that cannot be built on the meta device says nothing
        fresh = architecture()
        try:
            check_fit(fresh, State(model.state_dict()), source="")
        except UnusableError as error:
            return f"kept, but do not fit the model as it is built: {str(error).partition(': ')[2]}"
    now = dict(model.named_buffers())
    for name, buffer in before.items():
        if name in now and not torch.equal(now[name].cpu(), buffer.cpu()):
            return f"kept without the buffer {name}, which training changed and the state dict leaves out"
    return ""
