"""Recipes: from a built model to the model that is evaluated."""

from __future__ import annotations

from collections.abc import Iterator

import vitbench

# A share, so that a training of any length has its whole schedule: a rise, the peak, and a decay towards 0.
_WARMUP = vitbench.Option(
    0.1, minimum=0, maximum=0.9, help="Share of the training, however long, in which the learning rate rises"
)


@vitbench.hookimpl
def vitbench_recipes() -> Iterator[vitbench.RecipeSpec]:
    """Give `supervised`, `finetune` and `evaluate`."""
    yield vitbench.RecipeSpec(
        name="supervised",
        fit="vitbench_recipes.supervised:fit",
        step="vitbench_recipes.supervised:step",
        summary="Train from scratch: AdamW, warm-up and cosine, label smoothing, crop and flip where the data allow",
        options={
            "epochs": 100,
            "batch_size": 128,
            "lr": 1e-3,
            "weight_decay": 0.05,
            "warmup": _WARMUP,
            "label_smoothing": 0.1,
            "augment": True,
            "clip_norm": 1.0,
        },
    )
    yield vitbench.RecipeSpec(
        name="finetune",
        fit="vitbench_recipes.finetune:fit",
        step="vitbench_recipes.finetune:step",
        summary="Fine-tune pretrained weights: SGD with momentum, cosine, no weight decay, clip 1, 500 steps",
        options={"steps": 500, "batch_size": 64, "lr": 0.01, "warmup": _WARMUP, "clip_norm": 1.0},
    )
    yield vitbench.RecipeSpec(
        name="evaluate",
        fit="vitbench_recipes.evaluate:fit",
        summary="Train nothing: score a model with its own head, whose class count must match",
        model_options={"head": "own"},
        trains=False,
    )
