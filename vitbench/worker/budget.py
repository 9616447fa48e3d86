"""A recipe that goes on after the user's epochs is stopped: its result would be shown as one of fewer epochs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from vitbench.errors import VitbenchError
from vitbench.records import KeyedCell, QualityCell
from vitbench.specs import RecipeSpec

__all__ = ["OverBudgetError", "check_epoch", "cut_short", "held_to_images", "over_budget"]

MOST_PASSES = 8
"""Over the images of an epoch: SAM makes two, AugMix three, repeated augmentation three; twice as many are far off."""

SHORT = 0.5
"""Share of the steps that were planned before the first training, below which a result is doubtful."""


class OverBudgetError(VitbenchError):
    """A recipe ignores its budget."""


def check_epoch(recipe: str, epoch: float, epochs: int) -> None:
    """Raise OverBudgetError where a recipe logs an epoch after the last that the user allows."""
    if epoch > epochs + 1e-6:
        raise _over(recipe, epochs, f"it logs epoch {epoch:g}")


@contextmanager
def held_to_images(model: nn.Module, recipe: str, *, epochs: int | None, images: int) -> Iterator[None]:
    """Raise OverBudgetError from within a model that sees far more images in train mode than its epochs have.

    This stops recipes that log no epochs. A compiled model counts nothing: it would be compiled another way.

    Args:
        model: that the block trains.
        recipe: full name.
        epochs: that the user allows; None: any.
        images: of an epoch.
    """
    if epochs is None:
        yield
        return
    most, seen = MOST_PASSES * epochs * images, 0

    def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal seen
        if torch.compiler.is_compiling() or not module.training:
            return
        inputs = next(iter((*args, *kwargs.values())), None)
        if isinstance(inputs, torch.Tensor) and inputs.ndim:
            seen += len(inputs)
        if seen > most:
            raise _over(recipe, epochs, f"the model has seen {seen / images:.0f} times as many images as it trains on")

    hook = model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def over_budget(planned: KeyedCell, recipe: RecipeSpec, steps: int) -> tuple[str, ...]:
    """Say so where a recipe did not keep to the steps that a run's budget gave it; it keeps its result.

    Args:
        planned: its cell.
        recipe: of the cell.
        steps: how many it took; 0: none that could be counted.
    """
    cell, allotted = planned.cell, planned.allotted
    if not isinstance(cell, QualityCell) or cell.budget is None or planned.baseline or not recipe.trains:
        return ()
    if allotted is None or not steps:
        return (f"recipe {cell.recipe} takes no steps of a torch optimiser, so the budget cannot limit it",)
    if steps > allotted.steps and not cell.recipe_options.get("by_time"):
        return (f"recipe {cell.recipe} ignores the budget: it took {steps} steps of {allotted.steps}",)
    return ()


def cut_short(planned: KeyedCell) -> tuple[str, ...]:
    """Say so where what ran before a training took so much longer than expected that it has lost most of its steps."""
    given = planned.allotted
    if given is None or given.steps >= SHORT * given.planned_steps:
        return ()
    return (
        f"the budget left it {given.steps:,} of {given.planned_steps:,} planned steps: what ran before took longer",
    )


def _over(recipe: str, epochs: int, found: str) -> OverBudgetError:
    unit = "epoch" if epochs == 1 else "epochs"
    return OverBudgetError(
        f"recipe {recipe} ignores its budget of {epochs} {unit}: {found}; it must end after run.budget.epochs"
    )
