"""Trained weights are kept so that they can be loaded again; where they cannot be, or not whole, that is said."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitbench.errors import UnusableError
from vitbench.records import KeyedCell, QualityCell
from vitbench.specs import Preprocess
from vitbench.training.card import Card, save_weights
from vitbench.training.checkpoint import State, check_fit, digest_of, read_state
from vitbench.training.frozen_features import FITTED, fitted_head, with_head
from vitbench.worker.hands import Hands

__all__ = ["HEAD", "card_of", "keep_head", "keep_weights", "with_kept_head"]

HEAD = "head"
"""Name of what is kept of a model that has a new head, and is otherwise as it was built."""
_BACKBONE = "backbone"
"""Name of the SHA-256 of all its other weights, among the tensors of the head."""


def keep_weights(
    model: nn.Module, path: Path, card: Card, *, before: Mapping[str, Tensor], architecture: Callable[[], nn.Module]
) -> str:
    """Write a trained model's weights, and return in words, after "its weights are", what of them is lost; or nothing.

    Args:
        model: as its recipe left it.
        path: of the file.
        card: what belongs to the weights.
        before: the `unsaved_buffers` that it was built with.
        architecture: builds it again, on the meta device.
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
            return f"kept without the buffer {name}, which training changed but the state dict does not include"
    return ""


def keep_head(model: nn.Module, hands: Hands) -> str:
    """Keep the head that a model was given, and say in words, after "its weights are", what they are.

    A head that is not a linear layer is not kept: only a function of a plugin could make it again.

    Args:
        model: that `vitbench.training.with_head` gave.
        hands: keep it.
    """
    head = fitted_head(model)
    if type(head) is not nn.Linear:
        return "those that it was built with; its head is not kept"
    hands.keep(HEAD, {**head.state_dict(), _BACKBONE: _digest_of_others(model)})
    return "those that it was built with; its head is kept apart"


def with_kept_head(model: nn.Module, path: str, images: Tensor) -> nn.Module:
    """Return a model with the head that `keep_head` kept.

    Args:
        model: freshly built; it is changed.
        path: of the head's file.
        images: two of the model's inputs.

    Raises:
        UnusableError: the file cannot be read, or its head was learned on other weights.
    """
    state = read_state(path)
    outputs, width = state["weight"].shape
    linear = nn.Linear(width, outputs)
    linear.load_state_dict({name: tensor for name, tensor in state.items() if name != _BACKBONE})
    model = with_head(model, linear, images)
    if not torch.equal(_digest_of_others(model), state[_BACKBONE]):
        raise UnusableError("the model's weights are not those that its head was trained on; run the training again")
    return model


def _digest_of_others(model: nn.Module) -> Tensor:
    """Return the SHA-256 of all tensors of a model but its new head's, uint8[32]."""
    place = f"{getattr(model, FITTED)}."
    tensors = (*model.named_parameters(), *model.named_buffers())
    others = {name: tensor.detach().cpu() for name, tensor in tensors if not name.startswith(place)}
    return torch.tensor(list(bytes.fromhex(digest_of(others))), dtype=torch.uint8)


def card_of(how: Preprocess, planned: KeyedCell) -> Card:
    """Return what belongs to the weights that a cell trains."""
    assert planned.data is not None
    return Card(
        mean=how.mean,
        std=how.std,
        interpolation=how.interpolation,
        crop_fraction=how.crop_fraction,
        crop_mode=how.crop_mode,
        fill=how.fill,
        image_size=planned.image_size,
        in_channels=planned.in_channels,
        class_names=planned.data.class_names,
        trained=_trained(planned),
    )


def _trained(planned: KeyedCell) -> dict[str, Any]:
    """Return how a cell's weights come to be; a file that an option names is told by its SHA-256."""
    cell, data, files = planned.cell, planned.data, planned.provenance.files
    assert isinstance(cell, QualityCell)
    assert data is not None
    found = {
        "model": cell.model,
        "options": {name: files.get(f"model.{name}", value) for name, value in cell.options.items()},
        "recipe": cell.recipe,
        "recipe_options": {name: files.get(f"recipe.{name}", value) for name, value in cell.recipe_options.items()},
        "dataset": data.title,
        "data_fingerprint": data.fingerprint,
        "seed": cell.seed,
    }
    cut = {"limit": cell.limit, "epochs": cell.epochs, "budget": cell.budget}
    if planned.allotted and not cell.recipe_options.get("by_time"):
        cut["steps"] = planned.allotted.steps
    return found | {name: value for name, value in cut.items() if value is not None}
