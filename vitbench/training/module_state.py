"""All that a module holds: its state dict, and the buffers that this leaves out, which a training may change too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["load_whole_state", "unsaved_buffers", "whole_state"]


def unsaved_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the buffers that a model's state dict leaves out (``persistent=False``), by name."""
    saved = model.state_dict()
    return {name: buffer.detach().clone() for name, buffer in model.named_buffers() if name not in saved}


def whole_state(model: nn.Module) -> dict[str, Any]:
    """Return the state that `load_whole_state` takes; the tensors of the state dict are the module's own."""
    return {"state": model.state_dict(), "buffers": unsaved_buffers(model)}


@torch.no_grad()
def load_whole_state(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Load a state that `whole_state` returned into a module; its tensors may be on any device."""
    model.load_state_dict(state["state"])
    buffers = dict(model.named_buffers())
    for name, buffer in state["buffers"].items():
        buffers[name].copy_(buffer)
