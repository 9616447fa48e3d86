"""Recipes: from a built model to the model that is evaluated."""

from __future__ import annotations

from collections.abc import Iterator

import vitbench
from vitbench import Option

# A share, so that a training of any length has its whole schedule: a rise, the peak, and a decay towards 0.
WARMUP = Option(
    0.1, minimum=0, maximum=0.9, help="Share of the training, however long, in which the learning rate rises"
)
CLIP_NORM = Option(1.0, minimum=0, help="Largest norm of the gradients of a step")


def _batch_size(default: int) -> Option:
    return Option(default, minimum=1, help="Images of a training step")


def _lr(default: float) -> Option:
    return Option(default, minimum=0, help="Peak of the learning rate")


@vitbench.hookimpl
def vitbench_recipes() -> Iterator[vitbench.RecipeSpec]:
    """Give `supervised`, `finetune` and `evaluate`."""
    yield vitbench.RecipeSpec(
        name="supervised",
        fit="vitbench_recipes.supervised:fit",
        step="vitbench_recipes.supervised:step",
        summary="Train from scratch: AdamW, warm-up and cosine, label smoothing, crop and flip where the data allow",
        options={
            "epochs": Option(100, minimum=1, help="Passes over the training images"),
            "batch_size": _batch_size(128),
            "lr": _lr(1e-3),
            "weight_decay": Option(0.05, minimum=0, help="Of AdamW; vectors, positions and tokens have none"),
            "warmup": WARMUP,
            "label_smoothing": Option(0.1, minimum=0, maximum=1, help="Share of the target that all classes get alike"),
            "augment": Option(True, help="Crop and flip at random, where the dataset allows it"),
            "clip_norm": CLIP_NORM,
        },
    )
    yield vitbench.RecipeSpec(
        name="finetune",
        fit="vitbench_recipes.finetune:fit",
        step="vitbench_recipes.finetune:step",
        summary="Fine-tune pretrained weights: SGD with momentum, cosine, no weight decay, clip 1, 500 steps",
        options={
            "steps": Option(500, minimum=1, help="Training steps, whatever the number of images"),
            "batch_size": _batch_size(64),
            "lr": _lr(0.01),
            "warmup": WARMUP,
            "clip_norm": CLIP_NORM,
        },
    )
    yield vitbench.RecipeSpec(
        name="evaluate",
        fit="vitbench_recipes.evaluate:fit",
        summary="Train nothing: score a model with its own head, whose class count must match",
        model_options={"head": "own"},
        trains=False,
    )
