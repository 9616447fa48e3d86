"""The tokens of a Vision Transformer, for recipes that learn from patches: some replaced, or some left out.

Shapes: B images, C channels, H height and W width of the input, n patches, N tokens (those that stand before the
patches, such as the class token, then the patches row by row), k patches that are encoded, D width.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitbench.attention import patch_grid
from vitbench.errors import UsageError, reason_of

__all__ = ["TokenLayout", "keep_patches", "token_layout", "tokens"]

_PARTS = ("patch_embed", "pos_embed", "blocks", "norm")
"""What timm's Vision Transformers are made of, by its names, that tokens need."""
_BEFORE_PATCHES = ("cls_token", "dist_token", "reg_token")
"""Timm's names of tokens that stand before the patches, in its order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenLayout:
    """The layout of a model's tokens."""

    prefix: int
    """Tokens before the patches."""
    grid: tuple[int, int]
    """Rows and columns of patches."""
    width: int
    """D."""


def tokens(
    model: nn.Module, images: Tensor, *, replace: Callable[[Tensor], Tensor] | None = None, keep: Tensor | None = None
) -> Tensor:
    """Map images ``[B, C, H, W]`` to the encoder's normalised tokens ``[B, N, D]``.

    A model's own method ``tokens(images, *, replace=None, keep=None)`` is used if there is one. Other models need the
    parts that timm's Vision Transformers have, under timm's names: ``patch_embed``, ``pos_embed``, ``blocks`` and
    ``norm``; ``cls_token``, ``dist_token``, ``reg_token``, ``pos_drop`` and ``norm_pre`` where there are such.
    `token_layout` finds out whether a model of these names computes anything else beside them.

    Args:
        model: compiled or not; its uncompiled parts are called here.
        images: a model's input, on its device.
        replace: maps the embeddings of patches ``[B, n, D]``, before positions are added, to those that are used.
        keep: int64[B, k], the patches of each image that are encoded, in this order, each at its own position; those
            tokens that stand before the patches always are. None: all.

    Raises:
        UsageError: the model has no patch tokens, or cannot replace or leave out any.
    """
    model = getattr(model, "_orig_mod", model)
    own = getattr(model, "tokens", None)
    if not callable(own):
        return _tokens_by_names(model, images, replace, keep)
    asked: dict[str, Any] = {"replace": replace, "keep": keep}
    asked = {name: value for name, value in asked.items() if value is not None}
    if lacking := [name for name in asked if name not in inspect.signature(own).parameters]:
        raise UsageError(
            f"the method tokens of {type(model).__name__} takes no {' and no '.join(lacking)}; see "
            "vitbench.training.tokens"
        )
    found: Tensor = own(images, **asked)
    return found


def keep_patches(x: Tensor, keep: Tensor | None, *, prefix: int) -> Tensor:
    """Select the tokens ``[B, prefix + k, D]`` of the patches to keep from all tokens ``[B, N, D]``.

    Args:
        x: tokens with their positions added.
        keep: int64[B, k]; None: all.
        prefix: tokens before the patches, which are always kept.
    """
    if keep is None:
        return x
    return torch.cat([x[:, :prefix], x[:, prefix:].take_along_dim(keep[:, :, None], dim=1)], dim=1)


@torch.no_grad()
def token_layout(model: nn.Module, *, image_size: tuple[int, int], in_channels: int) -> TokenLayout:
    """Return the layout of a model's tokens, from one image; random generators and the model's mode stay unchanged.

    Where the model has a method ``forward_features``, as timm's have, the tokens must be what that gives, so that none
    passes for a plain Vision Transformer by its names alone.

    Args:
        model: on its device.
        image_size: height and width of its input.
        in_channels: C.

    Raises:
        UsageError: it has no patch tokens (see `tokens`), or these are not its own features.
        UnusableError: its patches do not form a grid.
    """
    name, patches = type(getattr(model, "_orig_mod", model)).__name__, list[int]()
    place = next(model.parameters())
    count = in_channels * image_size[0] * image_size[1]
    image = torch.linspace(-1, 1, count, device=place.device, dtype=place.dtype).view(1, in_channels, *image_size)

    def see(embedded: Tensor) -> Tensor:
        patches.append(embedded.shape[1])
        return embedded

    was_training = model.training
    model.eval()
    try:
        found = tokens(model, image, replace=see)
        whole = None if hasattr(model, "tokens") or not hasattr(model, "forward_features") else _features(model, image)
    except UsageError:
        raise
    except Exception as error:  # whatever the parts of a model that only has these names raise
        raise UsageError(f"{name} gives no tokens of patches: {reason_of(error)}") from error
    finally:
        model.train(was_training)
    if whole is not None and (whole.shape != found.shape or not torch.allclose(whole, found, rtol=1e-3, atol=1e-4)):
        raise UsageError(f"{name} computes more than its patch_embed, pos_embed, blocks and norm, so its tokens differ")
    prefix = found.shape[1] - patches[0]
    _, grid = patch_grid(found.shape[1], image_size, prefix)
    return TokenLayout(prefix=prefix, grid=grid, width=found.shape[2])


def _features(model: nn.Module, image: Tensor) -> Tensor:
    features: Tensor = model.forward_features(image)  # type: ignore[operator]
    return features


def _tokens_by_names(
    model: nn.Module, images: Tensor, replace: Callable[[Tensor], Tensor] | None, keep: Tensor | None
) -> Tensor:
    parts: dict[str, Any] = {name: getattr(model, name, None) for name in _PARTS}
    if lacking := [name for name, part in parts.items() if part is None]:
        raise UsageError(
            f"{type(model).__name__} has no tokens of patches: it has neither a method tokens nor "
            f"{', '.join(lacking)}, as timm's Vision Transformers have"
        )
    x = parts["patch_embed"](images)
    x = x.flatten(1, 2) if x.ndim == 4 else x  # timm leaves a grid where images may be of any size
    x = x if replace is None else replace(x)
    before = [token for name in _BEFORE_PATCHES if isinstance(token := getattr(model, name, None), Tensor)]
    prefix, patches, positions = sum(token.shape[1] for token in before), x.shape[1], parts["pos_embed"]
    if positions.shape[1] not in (patches, prefix + patches):
        raise UsageError(
            f"{type(model).__name__} has {positions.shape[1]} positions, and images of "
            f"{images.shape[2]}x{images.shape[3]} pixels have {patches} patches: build it for that image_size"
        )
    on_patches = positions.shape[1] == patches  # timm's no_embed_class
    x = x + positions if on_patches else x
    x = torch.cat([*(token.expand(len(x), -1, -1) for token in before), x], dim=1)
    x = x if on_patches else x + positions
    for name in ("pos_drop", "norm_pre"):
        part = getattr(model, name, None)
        x = x if part is None else part(x)
    x = keep_patches(x, keep, prefix=prefix)
    for block in parts["blocks"]:
        x = block(x)
    normalised: Tensor = parts["norm"](x)
    return normalised
