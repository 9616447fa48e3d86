"""Attention weights of any model, taken while it runs, without touching the model.

A `torch.overrides.TorchFunctionMode` sees each call of torch's functions. Fused attention never forms its weights, so
they are computed a second time beside the call, whose own result goes on; where a model forms them itself, by a softmax
over four dimensions, that result is the map. Logits stay equal bit by bit. One exception is torch's native fast path
of `nn.MultiheadAttention` and `nn.TransformerEncoder`, which torch leaves under any such mode: their logits are those
of ``torch.backends.mha.set_fastpath_enabled(False)``.

Shapes: B images, H heads, N queries, M keys, D channels.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vitbench.errors import UnusableError

__all__ = ["AttentionMap", "Watched", "watch"]

_SOFTMAX = (torch.softmax, F.softmax, Tensor.softmax)
_MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionMap:
    """The weights of one attention, in the order of the calls."""

    weights: Tensor
    """float[B, H, N, M], each row adds up to 1; windows lie in the first dimension, or between H and N. Those of fused
    attention are float32, whatever the model computes in."""
    module: str
    """Full name of the module that called, as ``blocks.0.attn``; empty for the model itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """What was seen while a model ran."""

    maps: list[AttentionMap] = field(default_factory=list)
    """In the order of the calls."""
    over_channels: list[str] = field(default_factory=list)
    """Modules whose attention is over channels, as in XCiT: its weights belong to no place of an image."""
    uncalled: list[str] = field(default_factory=list)
    """Modules that are called attention and gave no map."""

    def checked(self) -> list[AttentionMap]:
        """Return the maps.

        Raises:
            UnusableError: there are none, with the reason.
        """
        if self.maps:
            return self.maps
        if self.over_channels:
            raise UnusableError(
                f"the attention of this model is over channels, not positions of the image ({self.over_channels[0]})"
            )
        raise UnusableError("this model has no attention that can be recorded")


@contextmanager
def watch(model: nn.Module, *, gradients: bool = False) -> Iterator[Watched]:
    """Watch the attention of a model while it is called in the block.

    Args:
        model: left as it is: weights, mode and hooks. Other models that are called in the block are not watched.
        gradients: put the weights that are computed into the model's own computation, so that
            ``torch.autograd.grad(logit, map.weights)`` is defined; logits then agree to rounding only.

    Raises:
        UnusableError: the model is compiled: its calls cannot be watched.
    """
    if hasattr(model, "_orig_mod") or any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise UnusableError("a compiled model cannot be recorded: its attention is inside the compiled code")
    watched, stack = Watched(), [_Frame("", ())]
    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(partial(_enter, stack, name), with_kwargs=True))
        handles.append(module.register_forward_hook(partial(_leave, stack), always_call=True))
    try:
        with _Mode(watched, stack, gradients=gradients):
            yield watched
    finally:
        for handle in handles:
            handle.remove()
    called = {one.module for one in watched.maps} | set(watched.over_channels)
    watched.uncalled.extend(
        name
        for name, module in model.named_modules()
        if _is_attention(module) and not any(one == name or one.startswith(f"{name}.") for one in called)
    )


def _is_attention(module: nn.Module) -> bool:
    name = type(module).__name__.lower()
    is_named = isinstance(module, nn.MultiheadAttention) or name.endswith(("attention", "attn"))
    return is_named and not any(_is_attention(child) for child in module.children())


@dataclass(frozen=True, slots=True)
class _Frame:
    """A module that is running, and the shape of its first input."""

    name: str
    shape: tuple[int, ...]


def _enter(stack: list[_Frame], name: str, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    first = next((one for one in (*args, *kwargs.values()) if isinstance(one, Tensor)), None)
    stack.append(_Frame(name, tuple(first.shape) if first is not None else ()))


def _leave(stack: list[_Frame], module: nn.Module, args: object, output: object) -> None:
    stack.pop()


class _Mode(TorchFunctionMode):
    """Sees the calls that are attention, and notes their weights."""

    def __init__(self, watched: Watched, stack: list[_Frame], *, gradients: bool) -> None:
        super().__init__()
        self.watched, self.stack, self.gradients = watched, stack, gradients

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._fused(func, args, kwargs)
        if func is F.multi_head_attention_forward:
            return self._multi_head(func, args, kwargs)
        result = func(*args, **kwargs)
        if func in _SOFTMAX and isinstance(result, Tensor) and _is_over_keys(result, args, kwargs):
            self._note(result)
        return result

    def _note(self, weights: Tensor) -> None:
        if len(self.stack) == 1:  # something else than the model attends
            return
        frame = self.stack[-1]
        is_image = len(frame.shape) == 4 and frame.shape == self.stack[1].shape
        if not is_image and _is_over_channels(weights, frame.shape):
            self.watched.over_channels.append(frame.name)
            return
        if self.gradients and not weights.requires_grad:
            weights.requires_grad_()
        self.watched.maps.append(AttentionMap(weights=weights, module=frame.name))

    def _fused(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        weights, value = _weights_of(*args, **kwargs)
        shape = weights.shape
        if len(shape) == 3 and len(self.stack) > 1:
            weights = _by_heads(weights, self.stack[1].shape)
        self._note(weights)
        return weights.reshape(shape).to(value.dtype) @ value if self.gradients else func(*args, **kwargs)

    def _multi_head(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        given = _MULTI_HEAD.bind(*args, **kwargs)
        given.apply_defaults()
        if self.gradients:
            weights, output = _multi_head_by_hand(**given.arguments)
            self._note(weights)
            if not given.arguments["need_weights"]:
                return output, None
            return output, (weights.mean(1) if given.arguments["average_attn_weights"] else weights)
        # Not as in training: dropped weights do not add up to 1, and what dropout draws here the model would lack.
        asked = {**given.arguments, "need_weights": True, "average_attn_weights": False, "is_causal": False}
        asked["training"] = False
        weights = func(**asked)[1]
        self._note(weights if weights.dim() == 4 else weights[None])
        return func(*args, **kwargs)


def _is_over_keys(result: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a softmax is one of attention: four dimensions, over the last."""
    axis = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    return result.dim() == 4 and axis in (-1, 3)


def _is_over_channels(weights: Tensor, given: tuple[int, ...]) -> bool:
    """Whether weights are between channels: as many as a head has of the module's input, and not as it has tokens."""
    if len(given) < 3 or weights.dim() != 4 or weights.shape[-1] != weights.shape[-2]:
        return False
    places = weights.shape[0] * weights.shape[2]
    for channels in (given[-1],) if len(given) == 3 else (given[1], given[-1]):  # of an image they may come first
        tokens = math.prod(given) // max(channels, 1)
        if weights.shape[1] * weights.shape[3] == channels and places != tokens:
            return True
    return False


def _by_heads(weights: Tensor, given: tuple[int, ...]) -> Tensor:
    """Return weights[B * H, N, M], as some models have them, as weights[B, H, N, M]; `given` is the model's input."""
    images = given[0] if given and len(weights) % max(given[0], 1) == 0 else len(weights)
    return weights.reshape(images, -1, *weights.shape[-2:])


def _weights_of(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the weights that fused attention gives its values, float32, and the values: the arguments are its own."""
    if enable_gqa:
        key, value = (one.repeat_interleave(query.shape[-3] // one.shape[-3], -3) for one in (key, value))
    logits = (query * (scale if scale is not None else query.shape[-1] ** -0.5)) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        logits = logits.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        logits = logits + attn_mask
    weights = logits.softmax(-1, dtype=torch.float32)
    # A query from which all is hidden has no weights at all; a softmax of nothing is NaN.
    return weights.masked_fill(logits.isneginf().all(-1, keepdim=True), 0.0), value


def _multi_head_by_hand(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    is_causal: bool,
    **others: Any,
) -> tuple[Tensor, Tensor]:
    """Return weights[B, H, N, M] and output[N, B, D] of multi-head attention: the arguments are torch's own.

    Raises:
        UnusableError: what `torch.nn.MultiheadAttention` offers and models of images do not use.
    """
    odd = [name for name in ("bias_k", "bias_v", "static_k", "static_v") if others[name] is not None]
    if odd or others["add_zero_attn"] or query.dim() != 3:
        raise UnusableError(
            "gradients through multi-head attention are not supported for added keys or unbatched inputs"
        )
    if in_proj_weight is None:
        into = [others[f"{name}_proj_weight"] for name in "qkv"]
    else:
        into = list(in_proj_weight.chunk(3))
    biases = in_proj_bias.chunk(3) if in_proj_bias is not None else (None, None, None)

    def heads(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # [N, B, D] -> [B, H, N, D / H]
        return F.linear(x, weight, bias).view(*x.shape[:2], num_heads, -1).permute(1, 2, 0, 3)

    q, k, v = (heads(*one) for one in zip((query, key, value), into, biases, strict=True))
    mask = attn_mask
    if mask is not None and mask.dtype == torch.bool:  # here True hides
        mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill_(mask, -math.inf)
    if mask is not None and mask.dim() == 3:
        mask = mask.view(-1, num_heads, *mask.shape[1:])
    if key_padding_mask is not None:
        hidden = key_padding_mask
        if hidden.dtype == torch.bool:
            hidden = torch.zeros_like(hidden, dtype=q.dtype).masked_fill_(hidden, -math.inf)
        mask = hidden[:, None, None] + (mask if mask is not None else 0)
    weights, v = _weights_of(q, k, v, mask, is_causal=is_causal and mask is None)
    output = (weights.to(v.dtype) @ v).permute(2, 0, 1, 3).flatten(2)
    return weights, F.linear(output, out_proj_weight, out_proj_bias)
