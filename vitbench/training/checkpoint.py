"""Checkpoints: files of tensors that came from elsewhere, read without trust and loaded without a gap.

A file is untrusted: safetensors where its name says so, else ``torch.load(weights_only=True)``, never pickled
objects. A state that does not fit its module exactly is an error that names the first keys on both sides, because a
model with half of its weights would be scored as if it had them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from vitbench.errors import UnusableError

__all__ = ["load_checkpoint", "load_state", "read_state"]

_NESTED_UNDER = ("state_dict", "model")


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint file, by name, on the CPU.

    The file holds a state dict, or a mapping with one under ``state_dict`` or ``model``.

    Raises:
        UnusableError: the file is missing, cannot be read without pickle, or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise UnusableError(f"checkpoint {path} is not a file; give the path of a state dict")
    safe = path.suffix == ".safetensors"
    try:
        content: Any = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a broken or hostile file raises is not documented by either library
        reader = "safetensors" if safe else "torch.load(weights_only=True)"
        raise UnusableError(
            f"checkpoint {path} cannot be read by {reader}; save the model's state_dict() alone, as .safetensors"
        ) from error
    if isinstance(content, Mapping):
        content = next((content[key] for key in _NESTED_UNDER if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise UnusableError(f"checkpoint {path} holds no state dict: it must map the names of weights to tensors")
    return dict(content)


def load_state(module: nn.Module, state: Mapping[str, torch.Tensor], *, source: str | Path) -> None:
    """Copy a state into a module whose names and shapes it must match one to one.

    Args:
        module: what is filled, in place.
        state: tensors by name.
        source: what an error calls the state: the path of its file.

    Raises:
        UnusableError: names the first missing and the first unexpected key with their counts, or the first key
            whose shape differs.
    """
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in state]
    unexpected = [name for name in state if name not in wanted]
    if missing or unexpected:
        sides = [
            f"{len(names)} {side} (first: {names[0]})"
            for side, names in (("missing", missing), ("unexpected", unexpected))
            if names
        ]
        raise UnusableError(f"checkpoint {source} does not fit the model: of its keys {' and '.join(sides)}")
    for name, tensor in wanted.items():
        if state[name].shape != tensor.shape:
            raise UnusableError(
                f"checkpoint {source} does not fit the model: {name} is {_shape(state[name])}, "
                f"the model needs {_shape(tensor)}"
            )
    module.load_state_dict(state)


def load_checkpoint(module: nn.Module, path: str | Path) -> None:
    """Read a checkpoint file into a module that it must fit one to one.

    Raises:
        UnusableError: as `read_state` and `load_state` do.
    """
    load_state(module, read_state(path), source=path)


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
