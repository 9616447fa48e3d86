"""The pieces of a training loop, public, for recipes: a recipe is one straight-line function on these.

``vitbench_recipes.supervised`` is the example to read and to fork.
"""

from __future__ import annotations

from vitbench.training.augmentation import Augmentation, augment
from vitbench.training.draws import Draws, derived_seed
from vitbench.training.inputs import preprocess, statistics
from vitbench.training.loading import Batch, Resident, batches, resident, shuffled, steps_per_epoch
from vitbench.training.loops import DivergedError, MeanLoss, evaluate_top1, train_step, with_progress
from vitbench.training.schedules import set_lr, total_steps, warmup_cosine
from vitbench.training.setup import autocast, decay_groups, grad_scaler, on_device

__all__ = [
    "Augmentation",
    "Batch",
    "DivergedError",
    "Draws",
    "MeanLoss",
    "Resident",
    "augment",
    "autocast",
    "batches",
    "decay_groups",
    "derived_seed",
    "evaluate_top1",
    "grad_scaler",
    "on_device",
    "preprocess",
    "resident",
    "set_lr",
    "shuffled",
    "statistics",
    "steps_per_epoch",
    "total_steps",
    "train_step",
    "warmup_cosine",
    "with_progress",
]
