"""From a keyed cell to its model: find the spec again in this process and call its build function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from vitbench import contract
from vitbench.errors import VitbenchError
from vitbench.records import KeyedCell
from vitbench.specs import ModelSpec, OptionValue, load_target

__all__ = [
    "ModelBuildError",
    "build_model",
    "checked_build",
    "facts_of",
    "fill_zeros",
    "meta_architecture",
    "without_weights",
]


class ModelBuildError(VitbenchError):
    """A plugin's build function gave something that is not a model, or not a whole one."""


def build_model(planned: KeyedCell, spec: ModelSpec, num_classes: int) -> nn.Module:
    """Return the cell's model as `build` gives it, on the CPU; with random weights where those of the hub are away.

    Raises:
        ModelBuildError: `build` returned no module.
    """
    options = planned.cell.options
    own = spec.build_arguments(without_weights(options) if planned.hub == "away" else options)
    return checked_build(planned.cell.model, load_target(spec.build), _offered(planned, num_classes), own)


def checked_build(
    name: str,
    build: Callable[..., object],
    offered: Mapping[str, Any],
    own: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Return what a build function makes of what it is offered and of its own arguments; raises as `build_model` does.

    Args:
        name: of the model, for messages.
        build: a plugin's function, or a user's.
        offered: arguments by name, of which it gets those that it names.
        own: the model's fixed arguments and options, of which it gets all.
    """
    model = contract.call(build, offered, own)
    if not isinstance(model, nn.Module):
        raise ModelBuildError(f"{name}: build returned {type(model).__name__}, not a torch.nn.Module")
    lazy = [each for each, tensor in (*model.named_parameters(), *model.named_buffers()) if is_lazy(tensor)]
    if lazy:
        words = f"{name}: build leaves the shape of {lazy[0]} open; give a whole model, without lazy modules"
        raise ModelBuildError(words)
    return model


def _offered(planned: KeyedCell, num_classes: int) -> dict[str, Any]:
    """Return what each build function is offered."""
    return {"num_classes": num_classes, "image_size": planned.image_size, "in_channels": planned.in_channels}


def facts_of(model: nn.Module) -> dict[str, str]:
    """Return what a model says of itself for the record, in its attribute `facts`."""
    return {str(name): str(value) for name, value in getattr(model, "facts", {}).items()}


def fill_zeros(model: nn.Module, *, std: float, generator: torch.Generator | None = None) -> None:
    """Fill parameters that are all zero with small numbers: behind a head of zeros no logit tells anything."""
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=std, generator=generator)


def meta_architecture(planned: KeyedCell, spec: ModelSpec, num_classes: int) -> Callable[[], nn.Module]:
    """Return a function that builds the model on the meta device: shapes alone, no weights, nothing downloaded."""
    options = without_weights(planned.cell.options)

    def architecture() -> nn.Module:
        with torch.device("meta"):
            offered, own = _offered(planned, num_classes), spec.build_arguments(options)
            model: nn.Module = contract.call(load_target(spec.build), offered, own)
        return model.to("meta").eval()

    return architecture


def without_weights(options: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """Return a model's options for random weights."""
    without: dict[str, OptionValue] = {"pretrained": False, "checkpoint": ""}
    return {name: without.get(name, value) for name, value in options.items()}
