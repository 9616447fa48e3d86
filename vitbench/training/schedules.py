"""How long to train, and how fast at each step: pure functions of the step."""

from __future__ import annotations

import math

import torch

from vitbench.errors import UsageError
from vitbench.protocols import FitRun
from vitbench.training.loading import steps_per_epoch

__all__ = ["set_lr", "total_steps", "warmup_cosine"]


def total_steps(run: FitRun, num_images: int, batch_size: int) -> int:
    """Return the length of a training run in steps: the user's epochs, else the option `epochs`, else `steps`.

    Raises:
        UsageError: the length is below one.
    """
    epochs = run.options.get("epochs") if run.budget.epochs is None else run.budget.epochs
    name, asked = ("steps", run.options["steps"]) if epochs is None else ("epochs", epochs)
    given = {option: run.options[option] for option in ("epochs", "steps") if option in run.options}
    for option, value in [*given.items(), (name, asked)]:
        if int(value) < 1:
            raise UsageError(f"{option} must be at least 1, not {value}")
    return int(asked) if name == "steps" else int(asked) * steps_per_epoch(num_images, batch_size)


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
    """Set the learning rate of all parameter groups, scaled where a group has a ``lr_scale``, as layer decay gives."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
