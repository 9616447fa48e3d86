"""The first layer of a model as filters over pixels, however it is written.

A convolution has them. Where patches are cut out first and go through a dense layer, an image in which each pixel has
its own number says which input of the layer is which pixel.

Shapes: C channels, S and T height and width of the input, D filters, h and w their height and width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vitbench import Skip


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstLayer:
    """Filters over pixels."""

    name: str
    """Of the module, in the model."""
    filters: Tensor
    """float[D, C, h, w]"""
    is_embedding: bool
    """Whether each pixel is in one place of one filter's field: patches side by side."""
    note: str = ""
    """What the filters leave out."""


class _FoundError(Exception):
    """Ends the forward pass: the first layer has been called."""


def first_layer(model: nn.Module, input_shape: tuple[int, int, int]) -> FirstLayer:
    """Return a model's first layer.

    Raises:
        Skip: it is not a linear map of pixels.
    """
    calls: list[tuple[str, nn.Module, Tensor]] = []
    numbers = torch.arange(1, math.prod(input_shape) + 1, dtype=torch.float32).view(1, *input_shape)
    device = next((each.device for each in model.parameters()), torch.device("cpu"))
    handles = [
        module.register_forward_pre_hook(partial(_note, calls, name))
        for name, module in model.named_modules()
        if not any(True for _ in module.children())
    ]
    try:
        with torch.inference_mode():
            model(numbers.to(device))
    except _FoundError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    if not calls or not isinstance(layer := calls[-1][1], nn.Conv2d | nn.Linear):
        raise Skip("the model has no first layer of filters: no convolution or dense layer was called")
    name = calls[-1][0]
    if isinstance(layer, nn.Conv2d):
        return _of_convolution(name, layer, input_shape)
    return _of_dense(name, layer, calls, input_shape)


def _note(calls: list[tuple[str, nn.Module, Tensor]], name: str, module: nn.Module, args: Sequence[Any]) -> None:
    """Note a call of a module with its input, and end the forward pass where it is one of filters."""
    if args and isinstance(args[0], Tensor):
        calls.append((name, module, args[0].detach().cpu()))
        if isinstance(module, nn.Conv2d | nn.Linear):
            raise _FoundError


def _of_convolution(name: str, layer: nn.Conv2d, input_shape: tuple[int, int, int]) -> FirstLayer:
    weight = layer.weight.detach()
    if weight.shape[1] != input_shape[0] or layer.groups != 1:
        raise Skip(f"the first layer, {name}, does not read the image's {input_shape[0]} channels")
    side_by_side = tuple(layer.stride) == tuple(layer.kernel_size) and max(layer.kernel_size) > 1
    return FirstLayer(name=name, filters=weight, is_embedding=side_by_side)


def _of_dense(
    name: str, layer: nn.Linear, calls: Sequence[tuple[str, nn.Module, Tensor]], input_shape: tuple[int, int, int]
) -> FirstLayer:
    """Return the filters of a dense layer whose inputs are pixels, perhaps after a LayerNorm."""
    weight, given, note = layer.weight.detach().cpu(), calls[-1][2], ""
    if len(calls) > 1 and isinstance(norm := calls[-2][1], nn.LayerNorm):
        given = calls[-2][2]
        note = f"{calls[-2][0]}, which normalises the patch first, is represented by its gain alone."
        if norm.weight is not None and norm.weight.shape == weight.shape[1:]:
            weight = weight * norm.weight.detach().cpu()
    pixels = next(filter(partial(_are_pixels, count=math.prod(input_shape)), given.reshape(-1, given.shape[-1])), None)
    if pixels is None or len(pixels) != weight.shape[1]:
        raise Skip(f"the first layer, {name}, does not read pixels alone")
    channels, height, width = input_shape
    where = pixels.long() - 1
    channel, row, column = where // (height * width), where // width % height, where % width
    row, column = row - row.min(), column - column.min()
    filters = torch.zeros(len(weight), channels, int(row.max()) + 1, int(column.max()) + 1)
    filters.view(len(weight), -1).index_add_(
        1, (channel * filters.shape[2] + row) * filters.shape[3] + column, weight.float()
    )
    patches = filters.shape[2:] != (height, width)  # else it reads the whole image at once
    return FirstLayer(name=name, filters=filters, is_embedding=patches, note=note)


def _are_pixels(values: Tensor, *, count: int) -> bool:
    """Whether values are numbers of pixels, from 1, none of them missing or made of several."""
    return bool(((values >= 1) & (values <= count) & (values == values.round())).all())
