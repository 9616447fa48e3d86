"""How long to train, and how fast at each step: pure functions of the step."""

from __future__ import annotations

import math

import torch

from vitbench.errors import UsageError
from vitbench.protocols import FitRun
from vitbench.training.loading import steps_per_epoch

__all__ = ["pretraining_steps", "set_lr", "total_steps", "warmup_cosine"]


def total_steps(run: FitRun, num_images: int, batch_size: int) -> int:
    """Return the length of a training run in steps, at most the budget's.

    It is set by the user's epochs, else the option `steps` if it is above 0, else the option `epochs`. A budget may end
    it within an epoch.

    Raises:
        UsageError: the length is below one.
    """
    own = _own_length(run, num_images, batch_size)
    return own if run.budget.steps is None else min(own, run.budget.steps)


def _own_length(run: FitRun, num_images: int, batch_size: int) -> int:
    """Return the length without a budget's steps."""
    epochs, steps = run.options.get("epochs"), run.options.get("steps")
    for name, value, least in (("epochs", epochs, 1), ("steps", steps, 0 if "epochs" in run.options else 1)):
        if value is not None and int(value) < least:
            raise UsageError(f"{name} must be at least {least}, not {value}")
    if run.budget.epochs is None and steps:
        return int(steps)
    epochs = run.budget.epochs or epochs
    if epochs is None:
        raise UsageError("a recipe that trains needs an option epochs or steps")
    return int(epochs) * steps_per_epoch(num_images, batch_size)


def pretraining_steps(run: FitRun, num_images: int, batch_size: int) -> int:
    """Return the length in steps of what a recipe does before it learns from labels, 0 for one without such a phase.

    The user's number of epochs applies to each phase; otherwise it is the option `pretrain_steps` if it is above 0,
    else the option `pretrain_epochs`. A budget's steps are for both phases together, and bound neither here.

    Args:
        run: its options and budget.
        num_images: of the training split, whatever part of it has labels.
        batch_size: of the recipe.
    """
    steps, epochs = run.options.get("pretrain_steps", 0), run.options.get("pretrain_epochs", 0)
    if run.budget.epochs is None and steps:
        return int(steps)
    return int(run.budget.epochs or epochs) * steps_per_epoch(num_images, batch_size) if epochs or steps else 0


def warmup_cosine(step: int, *, total_steps: int, warmup_steps: int) -> float:
    """Return the share of the peak learning rate at a step counted from 0.

    It rises in equal steps over the warm-up, is 1 at step `warmup_steps`, and falls along half a cosine
    (Loshchilov and Hutter 2016, arXiv 1608.03983) that would reach 0 at step `total_steps`, and stays there.

    Args:
        step: counted from 0.
        total_steps: at least 1.
        warmup_steps: before the peak. A warm-up that would not end in time is cut to one step less than all, so that
            every training reaches its peak: one of a single step is at it.
    """
    warmup = min(warmup_steps, total_steps - 1)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / (total_steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of all parameter groups, times a group's ``lr_scale`` if it has one (layer decay)."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
