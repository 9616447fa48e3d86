"""The attention of each layer of a model while it looks at one image, and where in the image its weights lie.

Shapes: H heads, N queries, M keys, of which G = rows x columns are patches, the last ones, row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitbench import Skip
from vitbench.attention import AttentionMap, Watched, patch_grid
from vitbench.errors import UnusableError, UsageError
from vitbench.figures import FigureSubject, Picture


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One attention."""

    number: int
    """From 1, in the order of the calls."""
    module: str
    """Its full name in the model."""
    weights: Tensor
    """float[H, N, M]; of windows, as they are."""
    prefix: int = 0
    """Keys before the patches."""
    grid: tuple[int, int] = (0, 0)
    """Rows and columns of the patches."""
    lack: str = ""
    """Why its weights are not a map of the image; empty where they are."""

    @property
    def is_pool(self) -> bool:
        """Whether one query that is not a token of the image reads all tokens, as in pooling by attention."""
        return self.weights.shape[-2] == 1 < self.weights.shape[-1]

    @property
    def name(self) -> str:
        """What a title calls it."""
        return f"layer {self.number}" + (f" ({self.module})" if self.module else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """A model's look at one image."""

    layers: tuple[Layer, ...]
    watched: Watched
    logits: Tensor
    """float[K]"""


def look(subject: FigureSubject, image: Tensor) -> Look:
    """Show a model one image of its input, float32[1, C, H, W].

    Raises:
        Skip: it has no attention that can be watched.
    """
    with torch.inference_mode(), subject.maps() as watched:
        logits = subject.model(image)
    size = subject.input_shape[1:]
    layers = (_layer(number, one, subject.model, size) for number, one in enumerate(watched.maps, 1))
    return Look(layers=tuple(layers), watched=watched, logits=logits[0])


def _layer(number: int, one: AttentionMap, model: nn.Module, size: tuple[int, int]) -> Layer:
    weights, lack, prefix, grid = one.weights, "", 0, (0, 0)
    if weights.dim() != 4 or len(weights) != 1:
        lack = "attends within windows or other groups of patches"
    else:
        weights = weights[0]
        queries, keys = weights.shape[1:]
        if queries not in (1, keys):
            lack = "has pooled queries or keys"
        elif any(type(module).__name__ == "Unroll" for module in model.modules()):  # Hiera
            lack = "has its own order of patches"
        else:
            try:
                prefix, grid = grid_of(keys, model, size)
            except UnusableError as error:
                lack = f"cannot be overlaid on the image: {error}"
    return Layer(number=number, module=one.module, weights=weights, prefix=prefix, grid=grid, lack=lack)


def grid_of(tokens: int, model: nn.Module, size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """Return how many tokens stand before the patches, as the model says or else the fewest, and the patches' grid.

    Raises:
        UnusableError: they are not a grid.
    """
    said = next(_said(model, "num_prefix_tokens", int), None)
    try:
        return patch_grid(tokens, size, said)
    except UnusableError:
        return patch_grid(tokens, size)


def reads_class_token(model: nn.Module) -> bool:
    """Return whether the head reads a class token, of a model that has tokens before its patches.

    timm's models say whether the first of these is a class token, and what the head reads; of others it is assumed.
    """
    pools = _said(model, "global_pool", str)
    return next(pools, "token") == "token" and next(_said(model, "has_class_token", bool), True)


def _said(model: nn.Module, name: str, kind: type) -> Iterator[Any]:
    """Give what a model says by an attribute, and after it what its parts say: it may be wrapped."""
    return (value for each in model.modules() if isinstance(value := getattr(each, name, None), kind))


def on_image(weights: Tensor, layer: Layer, *, class_token: bool) -> Tensor:
    """Return how the image is looked at: float[H, rows, columns], of float[H, N, M], not scaled to add up to 1.

    It is the look of the class token or of the query that pools, else the mean of the looks of all patches.
    """
    by_one = layer.is_pool or (class_token and layer.prefix)
    seen = weights[:, 0] if by_one else weights[:, layer.prefix :].mean(1)
    return seen[:, layer.prefix :].unflatten(1, layer.grid)


def whose_look(layer: Layer, *, class_token: bool) -> tuple[str, str]:
    """Say whose look `on_image` returns, for a title, and a sentence on it where there is need of one."""
    if layer.is_pool:
        return "the pool", "The pool's query reads all tokens."
    if class_token and layer.prefix:
        return "the class token", ""
    return (
        "the patches",
        "The mean over all patches as queries: the head reads no class token.",
    )


def whole(seen: Look, what: str) -> tuple[Layer, ...]:
    """Return the layers, where the weights of each are between all tokens of the image, or are those of a pool.

    Args:
        seen: of one image.
        what: what needs this.

    Raises:
        Skip: they are not.
    """
    needs = f"{what} needs each layer's attention over the whole image"
    if odd := next((layer for layer in seen.layers if layer.lack), None):
        raise Skip(f"{needs}, but {odd.name} {odd.lack}")
    if seen.watched.over_channels:
        raise Skip(f"{needs}, but that of {seen.watched.over_channels[0]} is over channels")
    if seen.watched.uncalled:
        raise Skip(f"{needs}, but {seen.watched.uncalled[0]} returned none")
    modules = {layer.module for layer in seen.layers}
    if len(modules) != len(seen.layers) and modules != {""}:
        count = f"{len(seen.layers)} attention maps from {len(modules)} modules"
        raise Skip(f"{needs}, but this model gives {count}")
    return seen.layers


def chosen(layers: Sequence[Layer], layer: int) -> list[Layer]:
    """Return the layer of a number, from 1, or all for 0.

    Raises:
        UsageError: it does not exist.
    """
    if layer > len(layers):
        raise UsageError(f"there is no layer {layer}: the model has {_count(len(layers), 'layer')} with attention")
    return [layers[layer - 1]] if layer else list(layers)


def check_head(layers: Sequence[Layer], head: int) -> None:
    """Check that a head, from 1, is in each of some layers; 0 stands for all.

    Raises:
        UsageError: it is not.
    """
    fewest = min(layers, key=lambda each: each.weights.shape[-3])
    if head > (heads := fewest.weights.shape[-3]):
        raise UsageError(f"there is no head {head}: {fewest.name} has {_count(heads, 'head')}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def shown_images(subject: FigureSubject) -> list[NDArray[np.uint8]]:
    """Return the pictures as the model sees them, each as a tile takes it."""
    return [as_tile(image) for image in subject.pixels([picture.pixels for picture in subject.pictures])]


def as_tile(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image of one or three channels: of more than three the first three, of two the first."""
    return image if len(image) in (1, 3) else image[: 3 if len(image) > 3 else 1]


def labelled(subject: FigureSubject, picture: Picture, logits: Tensor) -> str:
    """Return a picture's name, and after an arrow what the model takes it for where that is not its class."""
    said = int(logits.argmax())
    return picture.name if said == picture.label else f"{picture.name} \u2192 {subject.class_names[said]}"


def on_labels(labels: Sequence[str]) -> str:
    """Return a sentence on the arrows in some labels; empty where there are none."""
    return "An arrow points to the class that the model predicts." if any("\u2192" in one for one in labels) else ""


def listed(numbers: Sequence[int]) -> str:
    """Return numbers that rise in words: ``1 to 4, 7``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
