"""What a test gives to be benchmarked - a name, a module or a function - as one way to build a model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import get_args

from torch import nn

from vitbench.catalog import load_catalog
from vitbench.catalog.options import model_options, parse_model
from vitbench.errors import UnusableError, UsageError, did_you_mean, reason_of
from vitbench.planning.expand import default_recipe
from vitbench.planning.resolve import resolve_model
from vitbench.planning.suite import AskedModel
from vitbench.records import Mode, Precision, canonical_name
from vitbench.specs import OptionValue, load_target
from vitbench.worker.build import checked_build

__all__ = ["BenchmarkConditions", "Given", "Model", "given_model"]

Model = str | nn.Module | Callable[..., nn.Module]
"""``plugin/name:option=value,...``; a module, of which a copy is measured; or
``build(*, num_classes, image_size, in_channels) -> nn.Module``."""

IMAGE_SIZE, IN_CHANNELS = (32, 32), 3
"""Of models that follow the data: CIFAR's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkConditions:
    """Under which a model is benchmarked."""

    mode: Mode
    batch_size: int
    device: str
    """As a user writes it: ``cpu``, ``cuda:1``, ``auto``."""
    precision: Precision
    num_classes: int
    """K of a model that is built here."""
    image_size: int | tuple[int, int] | None
    """Height and width of the input in pixels, or the side of a square one; None: what the model's spec says, else
    CIFAR's."""

    def __post_init__(self) -> None:
        for name, kind in (("mode", Mode), ("precision", Precision)):
            value, known = getattr(self, name), get_args(kind)
            if value not in known:
                hint = did_you_mean(str(value), known)
                raise UsageError(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, not {value!r}.{hint}")
        for name in ("batch_size", "num_classes"):
            value = getattr(self, name)
            if not _is_count(value):
                raise UsageError(f"{name} must be a positive whole number, not {value!r}.")
        sides = self.image_size if isinstance(self.image_size, (tuple, list)) else (self.image_size,) * 2
        if self.image_size is not None and not (len(sides) == 2 and all(map(_is_count, sides))):
            raise UsageError(f"image_size must be a positive whole number, or two, not {self.image_size!r}.")

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width of the input; None: not asked for."""
        if self.image_size is None or isinstance(self.image_size, int):
            return None if self.image_size is None else (self.image_size, self.image_size)
        height, width = self.image_size
        return height, width


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A model that can be built."""

    label: str
    """For the record: its canonical name, or that of its class or function."""
    build: Callable[[], nn.Module]
    """Builds it, on the CPU or where its builder puts it."""
    num_classes: int | None
    """K of its logits; None: whatever they have."""
    image_size: tuple[int, int]
    """Height and width."""
    in_channels: int = IN_CHANNELS


def given_model(model: Model, conditions: BenchmarkConditions) -> Given:
    """Return how a model is built; what can be wrong with a name is wrong now.

    Raises:
        UsageError: the name or an option is unknown, the model is a baseline, or it is not a model at all.
        UnusableError: the model's plugin is broken, or lacks a module.
    """
    if isinstance(model, str):
        return _named(model, conditions)
    size = conditions.input_size or IMAGE_SIZE
    if isinstance(model, nn.Module):
        return Given(label=type(model).__name__, build=partial(_copy, model), num_classes=None, image_size=size)
    if not callable(model):
        raise UsageError(
            f"the model must be a name, a torch.nn.Module or a function that builds one, not {type(model).__name__}."
        )
    label = getattr(model, "__name__", type(model).__name__)
    arguments = {"num_classes": conditions.num_classes, "image_size": size, "in_channels": IN_CHANNELS}
    return Given(
        label=label,
        build=partial(checked_build, label, model, arguments),
        num_classes=conditions.num_classes,
        image_size=size,
    )


def _named(text: str, conditions: BenchmarkConditions) -> Given:
    """Find a model in the catalog and complete its options, as a run does."""
    catalog = load_catalog()
    short, written = parse_model(text)
    offer = catalog.model(short)
    if offer.spec.is_baseline:
        raise UsageError(f"model {offer.name} is a baseline; its speed is meaningless.")
    recipe = catalog.recipe(default_recipe(offer.spec, written), home=offer.plugin.name)
    family = offer.spec.resolve is not None
    options: dict[str, OptionValue] = {**written}
    if not family:
        options = model_options(f"model {offer.name}", offer.spec, recipe.spec, options)
    resolved = resolve_model(AskedModel(name=offer.name, options=options, family=family), recipe.name, catalog)
    if resolved.fault:
        raise UnusableError(f"model {offer.name}: {resolved.fault.reason}.")
    spec = resolved.spec
    if "image_size" in resolved.options and conditions.input_size not in (None, spec.input_size):
        raise UsageError(f"model {offer.name}: its name and the test ask for two image sizes; give one of them.")
    size = conditions.input_size or spec.input_size or IMAGE_SIZE
    channels = spec.in_channels or IN_CHANNELS
    label = canonical_name(offer.name, resolved.options, spec.defaults)
    asked = {"num_classes": conditions.num_classes, "image_size": size, "in_channels": channels}
    build = load_target(spec.build)  # imported here, so that what it imports is not weighed as the model's
    return Given(
        label=label,
        build=partial(checked_build, label, build, asked, spec.build_arguments(resolved.options)),
        num_classes=conditions.num_classes,
        image_size=size,
        in_channels=channels,
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 1


def _copy(module: nn.Module) -> nn.Module:
    """Copy a module, so that the test's own keeps its weights, its mode and its device."""
    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise UsageError(
            f"the module {type(module).__name__} cannot be copied; give a function that builds it. {reason_of(error)}"
        ) from error
