"""A tiny training problem, and how a recipe is run on it.

Each class has a picture of its own, which noise hides in part; some classes have more images than others, so that
even counting them teaches something. The split's images lie among others, which its index does not name, as they do
in the image cache.

Shapes: N images, C channels, S side in pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitbench.protocols import Budget, FitRun, Split, TrainVal
from vitbench.specs import Preprocess, RecipeSpec, load_target
from vitbench.testing.checks import CheckFailed, raised

__all__ = ["TRAIN_IMAGES", "fit", "tensors_of", "tiny_problem"]

TRAIN_IMAGES, VAL_IMAGES, OTHER_IMAGES = 192, 48, 60


def tiny_problem(
    *,
    num_classes: int = 3,
    image_size: int = 8,
    in_channels: int = 1,
    others: int = 0,
    folder: Path | None = None,
) -> TrainVal:
    """Return a problem of 192 training and 48 validation images, always the same but for `others`.

    Args:
        num_classes: K.
        image_size: S.
        in_channels: C.
        others: seed of all that a recipe must not look at: images that no index names, and the test split's file.
        folder: where the images are to lie as they do in the image cache; None: in memory.
    """
    rng = np.random.default_rng(0)
    count = TRAIN_IMAGES + VAL_IMAGES
    labels = np.maximum(np.arange(count) % (num_classes + 1) - 1, 0)  # class 0 has twice as many as each other
    shape = (in_channels, image_size, image_size)
    pictures = rng.integers(0, 256, (num_classes, *shape))
    images = (0.6 * pictures[labels] + 0.4 * rng.integers(0, 256, (count, *shape))).astype(np.uint8)
    rows = rng.permutation(count + OTHER_IMAGES)
    unseen = np.random.default_rng(1 + others)
    pool = unseen.integers(0, 256, (count + OTHER_IMAGES, *shape), dtype=np.uint8)
    pool[rows[:count]] = images
    if folder is not None:
        _write(folder, pool, unseen, num_classes)
        pool = np.load(folder / "train-images.npy", mmap_mode="r")

    def split(part: slice) -> Split:
        return Split(images=pool, index=rows[part].astype(np.int64), labels=labels[part].astype(np.int64))

    return TrainVal(
        train=split(slice(0, TRAIN_IMAGES)),
        val=split(slice(TRAIN_IMAGES, count)),
        class_names=tuple(f"class {k}" for k in range(num_classes)),
        image_size=image_size,
        in_channels=in_channels,
        preprocess=Preprocess(mean=(0.5,) * in_channels, std=(0.25,) * in_channels),
        augmentations=("crop",),
    )


def _write(folder: Path, pool: NDArray[np.uint8], unseen: np.random.Generator, num_classes: int) -> None:
    """Write the images, and a test split beside them, under the names that the image cache gives them."""
    folder.mkdir()
    np.save(folder / "train-images.npy", pool)
    np.save(folder / "test-images.npy", unseen.integers(0, 256, pool[:OTHER_IMAGES].shape, dtype=np.uint8))
    np.save(folder / "test-labels.npy", unseen.integers(0, num_classes, OTHER_IMAGES))


def fit(
    recipe: RecipeSpec,
    model: nn.Module,
    *,
    data: TrainVal | None = None,
    seed: int = 0,
    epochs: int = 20,
    device: str = "cpu",
    num_classes: int = 3,
    image_size: int = 8,
    in_channels: int = 1,
) -> nn.Module:
    """Train a model on the tiny problem by a recipe and return what the recipe returns, not compiled.

    Args:
        recipe: with its own options.
        model: on the CPU.
        data: the problem; None: `tiny_problem` of the next three.
        num_classes, image_size, in_channels: K, S, C.
        seed: of the run, and of torch.
        epochs: the user's budget.
        device: where.

    Raises:
        CheckFailed: it raised, or gave no module.
    """
    run = FitRun(
        device=torch.device(device),
        precision="float32",
        seed=seed,
        budget=Budget(epochs=epochs),
        options=recipe.options,
        log=lambda **_: None,
    )
    if data is None:
        data = tiny_problem(num_classes=num_classes, image_size=image_size, in_channels=in_channels)
    torch.manual_seed(seed)
    try:
        fitted = load_target(recipe.fit)(model, data, run)
    except Exception as error:
        raise CheckFailed(f"fit raised {raised(error)}") from error
    if not isinstance(fitted, nn.Module):
        raise CheckFailed(f"fit gave {type(fitted).__name__}; return the module that is to be evaluated")
    whole: nn.Module = getattr(fitted, "_orig_mod", fitted)
    return whole


def tensors_of(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Give all parameters and buffers by name; those, too, that a state dict leaves out."""
    yield from model.named_parameters()
    yield from model.named_buffers()
