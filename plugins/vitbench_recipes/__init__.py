"""Recipes: from a built model to the model that is evaluated; and a figure of what one of them predicts."""

from __future__ import annotations

from collections.abc import Iterator

import vitbench
from vitbench import Option

# A share, so that a training of any length has its whole schedule: a rise, the peak, and a decay towards 0.
WARMUP = Option(0.1, minimum=0, maximum=0.9, help="Share of the training used for learning-rate warm-up")
CLIP_NORM = Option(1.0, minimum=0, help="Clip the norm of the gradients at this value; 0: no clipping")
MICRO_BATCH = Option(0, minimum=0, help="Images per forward pass, for gradient accumulation; 0: the whole batch")
BALANCE = Option(
    "none",
    choices=("none", "loss", "sampling"),
    help="How to balance classes of unequal size: weight the loss, or sample each class equally often",
)
KEEP = Option(
    "last", choices=("last", "best"), help="Weights to return: the last epoch's, or the best by validation accuracy"
)
KEPT_BEST = {"keep": "best"}
"""What makes a recipe with the option `KEEP` choose by the validation images."""
BY_TIME = Option(
    False,
    help="Follow the clock instead of steps: end when the budget's time is over; needs --budget, not bit-reproducible",
)
STEPS = Option(0, minimum=0, help="Training steps, instead of epochs; 0: set by the epochs")
LABELS = Option(
    1.0,
    minimum=1e-9,
    help="Images with a label: a share up to 1, or a number of 2 or more; the same ones for each model and seed",
)
FOLDS = Option(
    0,
    minimum=0,
    help="Folds to hold out in turn, so that each labelled image is evaluated; 1: none; 0: 5 if there are fewer "
    "than 1,000 validation images",
)
FINAL = Option(
    "train",
    choices=("train", "trainval"),
    help="What the final training uses: the training images, or also the validation images, as in VTAB-1k",
)
PATIENCE = Option(0, minimum=0, help="Stop after this many epochs without improvement (needs keep=best); 0: never")


def _batch_size(default: int) -> Option:
    return Option(default, minimum=1, help="Images per training step")


def _lr(default: float, meaning: str = "Peak learning rate") -> Option:
    return Option(default, minimum=0, help=meaning)


SUPERVISED: dict[str, Option] = {
    "epochs": Option(100, minimum=1, help="Passes over the training images"),
    "steps": STEPS,
    "batch_size": _batch_size(128),
    "labels": LABELS,
    "micro_batch": MICRO_BATCH,
    "optimizer": Option("adamw", help="adamw, sgd (Nesterov, 0.9), or any of timm's by name, such as muon"),
    "lr": _lr(1e-3),
    "weight_decay": Option(0.05, minimum=0, help="Not applied to vectors, positions and tokens"),
    "warmup": WARMUP,
    "clip_norm": CLIP_NORM,
    "label_smoothing": Option(
        0.1, minimum=0, maximum=1, help="Label smoothing: share of the target spread evenly over all classes"
    ),
    "ema": Option(
        0.999,
        minimum=0,
        maximum=0.999999,
        help="Decay of the moving average of the weights, which is evaluated; 0: off",
    ),
    "balance": BALANCE,
    "keep": KEEP,
    "patience": PATIENCE,
    "repeats": Option(1, minimum=1, help="Differently augmented copies of each image in a batch"),
    "augment": Option(True, help="Augment the images, as set by the following options and allowed by the dataset"),
    "crop": Option(
        "auto",
        choices=("auto", "none", "padded", "resized"),
        help="padded: small shifts; resized: a box of any scale; auto: resized at 64 pixels and above",
    ),
    "scale": Option((0.08, 1.0), minimum=0.0001, maximum=1, help="Smallest and largest area of a resized crop"),
    "flip": Option(True, help="Mirror half the images"),
    "policy": Option("autoaugment", choices=("none", "autoaugment", "randaugment"), help="Augmentation policy"),
    "operations": Option(2, minimum=0, help="Operations of RandAugment per image"),
    "magnitude": Option(9, minimum=0, maximum=30, help="Strength of RandAugment's operations"),
    "jitter": Option(0.0, minimum=0, maximum=1, help="Largest change of brightness, contrast and saturation"),
    "cutout": Option(0.0, minimum=0, maximum=1, help="Side of the hidden square, relative to the image's side"),
    "erase": Option(0.25, minimum=0, maximum=1, help="Probability of random erasing"),
    "mixup": Option(0.8, minimum=0, help="Alpha of Mixup; 0: none"),
    "cutmix": Option(1.0, minimum=0, help="Alpha of CutMix; 0: none. With both, each image gets one of them"),
}
"""Of `supervised`, and of the second phase of `masked-patches`, which is the same."""
PROBES = {
    "linear-probe": "Freeze the weights, learn a linear head: logistic regression, its penalty chosen on validation",
    "knn": "Freeze the weights, let the nearest training images vote by cosine; k and temperature chosen on validation",
    "prototype": "Freeze the weights, predict the class whose mean feature is nearest",
}
"""Recipes that learn from features alone."""


@vitbench.hookimpl
def vitbench_figures() -> Iterator[vitbench.FigureSpec]:
    """Give `reconstruction`, of what `masked-patches` keeps."""
    yield vitbench.FigureSpec(
        name="reconstruction",
        draw="vitbench_recipes.masked_figure:draw",
        summary="Masked images, and what a pretraining by masked-patches predicts of them",
        needs=("kept",),
        options={"images": Option(64, minimum=0, help="Number of unseen images to measure the prediction on; 0: none")},
    )


@vitbench.hookimpl
def vitbench_recipes() -> Iterator[vitbench.RecipeSpec]:
    """Give `supervised`, `study`, `finetune`, `masked-patches`, `linear-probe`, `knn`, `prototype` and `evaluate`."""
    yield vitbench.RecipeSpec(
        name="supervised",
        fit="vitbench_recipes.supervised:fit",
        step="vitbench_recipes.supervised:step",
        summary="Train from scratch: AdamW, warm-up and cosine, strong augmentation, weight averaging",
        options={**SUPERVISED, "final": FINAL, "by_time": BY_TIME},
        chooses=KEPT_BEST,
    )
    yield vitbench.RecipeSpec(
        name="study",
        fit="vitbench_recipes.study:fit",
        step="vitbench_recipes.study:step",
        summary="Train from scratch as the study did: Adam at a constant rate, crop, flip and rotation",
        options={
            "epochs": Option(100, minimum=1, help="Passes over the training images"),
            "steps": STEPS,
            "by_time": BY_TIME,
            "batch_size": _batch_size(256),
            "lr": _lr(3e-3, "Learning rate, constant"),
        },
        chooses=False,
    )
    yield vitbench.RecipeSpec(
        name="finetune",
        fit="vitbench_recipes.finetune:fit",
        step="vitbench_recipes.finetune:step",
        summary="Fine-tune pretrained weights: SGD with momentum, cosine, no weight decay, clip 1, 500 steps",
        options={
            "steps": Option(
                500, minimum=0, help="Training steps, regardless of the number of images; 0: set by the epochs"
            ),
            "epochs": Option(100, minimum=1, help="Passes over the training images, if steps is 0"),
            "by_time": BY_TIME,
            "batch_size": _batch_size(64),
            "micro_batch": MICRO_BATCH,
            "optimizer": Option("sgd", choices=("sgd", "adamw"), help="sgd with momentum 0.9, or adamw"),
            "lr": _lr(0.01),
            "weight_decay": Option(0.0, minimum=0, help="Not applied to vectors, positions and tokens"),
            "sweep": Option(
                "none",
                choices=("none", "lightweight"),
                help="lightweight: try rates 0.1 and 0.01 with 500 and 2,500 steps, then train with the best of them",
            ),
            "final": FINAL,
            "layer_decay": Option(
                1.0,
                minimum=0.01,
                maximum=1,
                help="Learning rate of each layer relative to the next; only for timm models",
            ),
            "warmup": WARMUP,
            "clip_norm": CLIP_NORM,
            "balance": BALANCE,
            "keep": KEEP,
            "patience": PATIENCE,
        },
        model_options={"head": "new"},
        chooses={**KEPT_BEST, "sweep": "lightweight"},
    )
    yield vitbench.RecipeSpec(
        name="masked-patches",
        fit="vitbench_recipes.masked_patches:fit",
        step="vitbench_recipes.supervised:step",
        summary="Predict masked patches without labels, then train as supervised does; for models with tokens",
        options={
            **SUPERVISED,
            "pretrain_epochs": Option(100, minimum=1, help="Passes over all training images before training on labels"),
            "pretrain_steps": Option(
                0, minimum=0, help="Steps of pretraining, instead of its epochs; 0: set by the epochs"
            ),
            "pretrain_lr": _lr(1e-3, "Peak learning rate of pretraining"),
            "mask": Option(0.5, minimum=0.001, maximum=0.999, help="Share of the patches that are masked"),
            "target": Option(
                "colours",
                choices=("colours", "pixels"),
                help="What is predicted of a masked patch: its mean colour in 3 bits per channel, or its pixels",
            ),
            "encoder": Option(
                "all",
                choices=("all", "visible"),
                help="What the model sees: all patches, some replaced; or those that are not masked, before a decoder",
            ),
            "decoder_width": Option(128, minimum=4, help="Width of the decoder, with encoder=visible"),
            "decoder_depth": Option(2, minimum=1, help="Layers of the decoder, with encoder=visible"),
        },
        chooses=KEPT_BEST,
    )
    for name, summary in PROBES.items():
        yield vitbench.RecipeSpec(
            name=name,
            fit=f"vitbench_recipes.{name.replace('-', '_')}:fit",
            summary=summary,
            options={"labels": LABELS, "folds": FOLDS} | ({"final": FINAL} if name == "linear-probe" else {}),
            model_options={"head": "new"},
        )
    yield vitbench.RecipeSpec(
        name="evaluate",
        fit="vitbench_recipes.evaluate:fit",
        summary="No training: score a model with its own head",
        options={
            "class_map": Option(
                "", kind="file", help="A CSV, JSON or TOML file: which classes of the head mean which class of the data"
            ),
            "classes": Option(
                "subset",
                choices=("subset", "all"),
                help="Drop the head's classes that the data does not have, or let them compete",
            ),
        },
        model_options={"head": "own"},
        trains=False,
        chooses=False,
    )
