"""The building blocks of a training loop, for recipes: a recipe is one straight-line function that uses them.

``vitbench_recipes.supervised`` is the example to read and fork.
"""

from __future__ import annotations

from vitbench.training.augmentation import Augmentation, augment
from vitbench.training.averaging import WeightAverage
from vitbench.training.balance import class_weights
from vitbench.training.choosing import BestEpoch
from vitbench.training.clock import EpochClock
from vitbench.training.draws import Draws, derived_seed
from vitbench.training.frozen_features import features, with_head
from vitbench.training.inputs import convert, preprocess, statistics
from vitbench.training.labels import labelled, labelled_count
from vitbench.training.length import TrainingLength
from vitbench.training.loading import Batch, Resident, batches, resident, shuffled, steps_per_epoch
from vitbench.training.loops import (
    DivergedError,
    MeanLoss,
    descend,
    evaluate_top1,
    train_step,
    with_progress,
)
from vitbench.training.module_state import load_whole_state, whole_state
from vitbench.training.optimizers import named_optimizer
from vitbench.training.patch_tokens import TokenLayout, keep_patches, token_layout, tokens
from vitbench.training.schedules import pretraining_steps, set_lr, total_steps, warmup_cosine
from vitbench.training.setup import autocast, decay_groups, grad_scaler, on_device
from vitbench.training.state import Stateful, TrainingState
from vitbench.training.together import trainval

__all__ = [
    "Augmentation",
    "Batch",
    "BestEpoch",
    "DivergedError",
    "Draws",
    "EpochClock",
    "MeanLoss",
    "Resident",
    "Stateful",
    "TokenLayout",
    "TrainingLength",
    "TrainingState",
    "WeightAverage",
    "augment",
    "autocast",
    "batches",
    "class_weights",
    "convert",
    "decay_groups",
    "derived_seed",
    "descend",
    "evaluate_top1",
    "features",
    "grad_scaler",
    "keep_patches",
    "labelled",
    "labelled_count",
    "load_whole_state",
    "named_optimizer",
    "on_device",
    "preprocess",
    "pretraining_steps",
    "resident",
    "set_lr",
    "shuffled",
    "statistics",
    "steps_per_epoch",
    "token_layout",
    "tokens",
    "total_steps",
    "train_step",
    "trainval",
    "warmup_cosine",
    "whole_state",
    "with_head",
    "with_progress",
]
