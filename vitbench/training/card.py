"""What belongs to weights besides tensors: how their images were made, and the names and the order of their classes.

vitbench writes it into the metadata of its safetensors files. Other trainers leave some of it in theirs: timm's train
script in its arguments, others as ``class_to_idx``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn.parameter import is_lazy

from vitbench.errors import UnusableError
from vitbench.training.checkpoint import DIGEST, EXTRA, digest_of, is_extra, read_content

__all__ = ["Card", "read_card", "save_weights"]

_KEY = "vitbench"
"""Of the metadata."""


class Card(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a file says of its weights; an empty field says nothing."""

    mean: tuple[float, ...] = ()
    """As of a `vitbench.specs.Preprocess`, like the next five."""
    std: tuple[float, ...] = ()
    interpolation: str = ""
    crop_fraction: float | None = None
    crop_mode: str = ""
    fill: tuple[float, ...] = ()
    image_size: tuple[int, int] | None = None
    """Height and width of the input in pixels."""
    in_channels: int | None = None
    class_names: tuple[str, ...] = ()
    """In the order of the outputs."""
    trained: dict[str, Any] = {}
    """How they came to be: model, recipe, their options, dataset, its fingerprint, and so on. For people, but that
    ``dataset`` and ``data_fingerprint`` say what the weights have seen."""


def save_weights(module: nn.Module, path: Path, card: Card) -> None:
    """Write a module's state as safetensors, with its card and a digest of its tensors.

    What modules keep beside tensors is written, too, where JSON holds it.

    Raises:
        UnusableError: the state holds something else, which nothing could read back; no file is written.
    """
    tensors, extra = dict[str, torch.Tensor](), dict[str, Any]()
    for name, value in module.state_dict().items():
        if isinstance(value, torch.Tensor):
            tensors[name] = value
        elif is_extra(name) and _is_json(value):
            extra[name] = value
        else:
            raise UnusableError(f"{name} is of type {type(value).__name__}, which safetensors do not hold")
    for name, tensor in tensors.items():
        if is_lazy(tensor):
            raise UnusableError(f"{name} never got a shape")
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise UnusableError(f"{name} is a sparse or quantised tensor, which safetensors do not hold")
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata = {"format": "pt", _KEY: msgspec.json.encode(card).decode(), DIGEST: digest_of(state)}
    metadata |= {EXTRA: json.dumps(extra)} if extra else {}
    save_file(state, path, metadata=metadata)


def _is_json(value: object) -> bool:
    """Whether JSON gives a value back as it was."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


def read_card(path: str | Path) -> Card:
    """Return what a checkpoint file says about its weights; nothing if only its model can read this kind of file.

    Raises:
        UnusableError: what it says cannot be used.
    """
    path = Path(path)
    try:
        found = _of_safetensors(path) if path.suffix == ".safetensors" else _of_trainer(read_content(path))
    except UnusableError:
        return Card()
    try:
        return msgspec.convert(found, Card, strict=False)
    except msgspec.ValidationError as error:
        raise UnusableError(f"checkpoint {path} has unusable information about its weights: {error}") from error


def _of_safetensors(path: Path) -> object:
    try:
        with safe_open(path, framework="pt") as file:
            return msgspec.json.decode((file.metadata() or {}).get(_KEY, "{}"))
    except Exception as error:  # what a broken file raises is not documented
        raise UnusableError(f"checkpoint {path} cannot be read by safetensors: {error}") from error


def _of_trainer(content: object) -> dict[str, Any]:
    """Return what the checkpoint of another trainer says of its weights."""
    if not isinstance(content, Mapping):
        return {}
    found: dict[str, Any] = {"class_names": _class_names(content)}
    arguments = content.get("args")
    arguments = vars(arguments) if isinstance(arguments, argparse.Namespace) else arguments
    if "arch" in content and isinstance(arguments, Mapping):  # of timm, where None and empty leave it to the model
        size = arguments.get("input_size") or [arguments.get("in_chans"), *[arguments.get("img_size")] * 2]
        found |= {
            "mean": _numbers(arguments.get("mean")),
            "std": _numbers(arguments.get("std")),
            "interpolation": arguments.get("interpolation") or "",
            "crop_fraction": arguments.get("crop_pct") or None,
            "crop_mode": arguments.get("crop_mode") or "",
            "in_channels": size[0] or None,
            "image_size": size[1:] if all(size[1:]) else None,
        }
    return found


def _class_names(content: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return class names in the order of the outputs, from where trainers leave them; none where they are not whole."""
    index = content.get("class_to_idx")
    if isinstance(index, Mapping) and sorted(map(str, index.values())) == sorted(map(str, range(len(index)))):
        return tuple(str(name) for name, _ in sorted(index.items(), key=lambda item: int(item[1])))
    for key in ("class_names", "classes"):
        names = content.get(key)
        if isinstance(names, (list, tuple)) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return ()


def _numbers(given: object) -> tuple[float, ...]:
    if isinstance(given, torch.Tensor):
        given = given.flatten().tolist()
    return tuple(map(float, given)) if isinstance(given, Sequence) and not isinstance(given, str) else ()
