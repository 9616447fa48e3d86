"""A tiny training problem, and how a recipe is run on it.

Each class has a picture of its own, which noise hides in part; some classes have more images than others, so that
even counting them teaches something. The split's images lie among others, which its index does not name, as they do
in the image cache; they are gray and larger than the model's input, so that only `preprocess` makes the one of the
other.

Shapes: N images, C channels of the model's input, (H, W) its size in pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitbench import contract
from vitbench.errors import Skip, UsageError
from vitbench.execution.messages import Progress
from vitbench.protocols import Budget, FitRun, Split, TrainVal
from vitbench.specs import OptionValue, Preprocess, RecipeSpec, load_target
from vitbench.testing.checks import CheckFailed, need, raised
from vitbench.training.frozen_features import extracted
from vitbench.worker.held_out import HeldOut
from vitbench.worker.runtime import seed_all

__all__ = ["PREPROCESS", "TRAIN_IMAGES", "fit", "options_of", "run_of", "tensors_of", "tiny_problem"]

TEACHER = "kit/teacher"
"""The name that an option of kind model gets."""

TRAIN_IMAGES, VAL_IMAGES, OTHER_IMAGES = 192, 48, 60
PREPROCESS = Preprocess(mean=(0.75,), std=(0.5,))
"""Images of it have the mean -0.5; by their own statistics they would have 0, and without normalisation 0.5."""


def tiny_problem(
    *,
    num_classes: int = 3,
    image_size: tuple[int, int] = (8, 8),
    in_channels: int = 3,
    others: int = 0,
    folder: Path | None = None,
) -> TrainVal:
    """Return a problem of 192 training and 48 validation images, always the same except for `others`.

    Args:
        num_classes: K.
        image_size: (H, W); the images have half as many pixels more each way.
        in_channels: C; the images have one.
        others: seed of all that a recipe must not look at: images that their split's index does not name, and the test
            split's file.
        folder: where the images are to lie as they do in the image cache; None: in memory.
    """
    rng = np.random.default_rng(0)
    count = TRAIN_IMAGES + VAL_IMAGES
    labels = np.maximum(np.arange(count) % (num_classes + 1) - 1, 0)  # class 0 has twice as many as each other
    shape = (1, *(side * 3 // 2 for side in image_size))
    pictures = rng.integers(0, 256, (num_classes, *shape))
    images = (0.6 * pictures[labels] + 0.4 * rng.integers(0, 256, (count, *shape))).astype(np.uint8)
    rows = rng.permutation(count + OTHER_IMAGES)
    unseen = np.random.default_rng(1 + others)
    if folder is not None:
        folder.mkdir()

    def split(name: str, part: slice) -> Split:
        # Each in a file of its own, as photographs lie in the cache: no row has an image in both.
        pool = unseen.integers(0, 256, (count + OTHER_IMAGES, *shape), dtype=np.uint8)
        pool[rows[part]] = images[part]
        if folder is not None:
            np.save(folder / f"{name}-images.npy", pool)
            pool = np.load(folder / f"{name}-images.npy", mmap_mode="r")
        return Split(images=pool, index=rows[part].astype(np.int64), labels=labels[part].astype(np.int64))

    train, val = split("train", slice(0, TRAIN_IMAGES)), split("val", slice(TRAIN_IMAGES, count))
    if folder is not None:
        _write_test(folder, unseen, shape, num_classes)
    return TrainVal(
        train=train,
        val=val,
        class_names=tuple(f"class {k}" for k in range(num_classes)),
        image_size=image_size,
        in_channels=in_channels,
        preprocess=PREPROCESS,
        augmentations=("crop",),
    )


def _write_test(folder: Path, unseen: np.random.Generator, shape: tuple[int, ...], num_classes: int) -> None:
    """Write a test split under the names that the image cache gives it."""
    np.save(folder / "test-images.npy", unseen.integers(0, 256, (OTHER_IMAGES, *shape), dtype=np.uint8))
    np.save(folder / "test-labels.npy", unseen.integers(0, num_classes, OTHER_IMAGES))


def fit(
    recipe: RecipeSpec,
    model: nn.Module,
    data: TrainVal,
    *,
    seed: int = 0,
    epochs: int | None = 20,
    options: Mapping[str, OptionValue] | None = None,
    device: str = "cpu",
    **changes: Any,
) -> nn.Module:
    """Train a model on the tiny problem by a recipe and return what the recipe returns, not compiled.

    Args:
        recipe: with its own options.
        model: on the CPU.
        data: of `tiny_problem`.
        seed: of the run, and of all generators.
        epochs: the user's budget; None: none, as in most runs.
        options: in place of the recipe's own.
        device: where.
        changes: fields of the `FitRun`, in place of the kit's.

    Raises:
        CheckFailed: it raised, or gave no module.
        Skip: what it requires is not installed, or it needs a file.
    """
    need(recipe.requires)
    function = load_target(recipe.fit)  # what cannot be imported is no broken contract
    run = replace(run_of(recipe, data, seed=seed, epochs=epochs, options=options, device=device), **changes)
    seed_all(seed)
    try:
        fitted = contract.call(function, {"model": model, "data": data, "run": run})
    except Exception as error:
        lacking = [name for name, option in recipe.declared.items() if option.kind == "file" and not run.options[name]]
        if lacking and isinstance(error, (UsageError, FileNotFoundError)):
            raise Skip(f"its option {lacking[0]} needs a file, which the kit does not have: {error}") from error
        raise CheckFailed(f"fit raised {raised(error)}") from error
    if not isinstance(fitted, nn.Module):
        raise CheckFailed(f"fit returned {type(fitted).__name__}; return the module to evaluate")
    whole: nn.Module = getattr(fitted, "_orig_mod", fitted)
    return whole


def options_of(recipe: RecipeSpec) -> dict[str, OptionValue]:
    """Return a recipe's own options; where one names a model, a small one, which `FitRun.build` makes."""
    return {name: TEACHER if option.kind == "model" else option.default for name, option in recipe.declared.items()}


def run_of(
    recipe: RecipeSpec,
    data: TrainVal,
    *,
    seed: int = 0,
    epochs: int | None = None,
    options: Mapping[str, OptionValue] | None = None,
    device: str = "cpu",
) -> FitRun:
    """Return the conditions of a run on the tiny problem; the arguments are those of `fit`."""
    return FitRun(
        device=torch.device(device),
        precision="float32",
        seed=seed,
        budget=Budget(epochs=epochs),
        options=options_of(recipe) if options is None else options,
        log=_log,
        build=partial(_build_teacher, data=data),
        out_of_fold=HeldOut(data.train, data.val, num_classes=data.num_classes).add,
        features=partial(_features, data=data, device=torch.device(device)),
    )


def _features(model: nn.Module, split: Split, *, data: TrainVal, device: torch.device) -> NDArray[np.float32]:
    """Do what `FitRun.features` does, and keep nothing."""
    return np.concatenate(list(extracted(model, split, data, device=device, precision="float32")))


def _build_teacher(text: str, *, data: TrainVal) -> nn.Module:
    """Return a small network for a problem, always the same; raise UsageError for another text than the kit's name."""
    if text != TEACHER:
        raise UsageError(f'"{text}" is not what an option of kind "model" holds')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolution, head = nn.Conv2d(data.in_channels, 8, 3, stride=2, padding=1), nn.Linear(8, data.num_classes)
        return nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def _log(*, epoch: float | None = None, epochs: int | None = None, **values: float) -> None:
    """Take what `FitRun.log` takes, and raise where a run would: a row of the curve holds numbers."""
    msgspec.json.encode(Progress(epoch=epoch, epochs=epochs))
    if epoch is not None and float(epoch).is_integer():
        for value in values.values():
            float(value)


def tensors_of(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Give all parameters and buffers by name; those, too, that a state dict leaves out."""
    yield from model.named_parameters()
    yield from model.named_buffers()
