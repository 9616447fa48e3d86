"""Weights cast once to a reduced precision, as a model is deployed in it, rather than at each call.

Autocast casts the float32 weights of a layer whenever the layer is called in inference, which takes as long as reading
them from memory three times. Whoever serves a model in bfloat16 or float16 keeps its weights in it. So what autocast
would cast in torch's own layers is cast beforehand, and autocast stays on: it finds nothing to cast there, and sees to
all else (norms and softmax in float32) as before. The logits are the same to the last bit.

On the CPU, `nn.MultiheadAttention` and `nn.TransformerEncoderLayer` keep their weights: they leave their fused kernels,
or fail, where these are of another type than the input.

https://docs.pytorch.org/docs/stable/amp.html, "Autocast Op Reference"
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

from vitbench.training.setup import reduced_dtype

__all__ = ["CAST_AT_EACH_CALL", "CastWeights"]

CAST_AT_EACH_CALL = (
    "its weights are cast at each call, as autocast does, because a forward pass with weights cast once failed"
)

_LAYERS = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.MultiheadAttention),
)
_PARAMETERS = frozenset(
    {"weight", "bias", "in_proj_weight", "in_proj_bias", "q_proj_weight", "k_proj_weight", "v_proj_weight"}
)

_FUSED_ON_CPU = (nn.MultiheadAttention, nn.TransformerEncoderLayer)

T = TypeVar("T")


class CastWeights:
    """The weights that autocast would cast at each call, cast once, and the way back.

    Args:
        model: on its device; its weights are cast in place. One that is compiled must not have been called yet.
        precision: for float32 and tf32 nothing is done.
    """

    def __init__(self, model: nn.Module, precision: str) -> None:
        self.failed = False
        """Whether the model cannot do with weights that are cast once, and autocast casts them."""
        self._before: list[tuple[nn.Parameter, Tensor]] = []
        dtype = reduced_dtype(precision)
        for parameter in _castable(model) if dtype else ():
            self._before.append((parameter, parameter.data))
            parameter.data = parameter.data.to(dtype)

    @property
    def cast(self) -> bool:
        """Whether any weight is cast now."""
        return bool(self._before)

    def restore(self) -> None:
        """Give the model its own weights back, the very tensors."""
        for parameter, data in self._before:
            parameter.data = data
        self._before.clear()

    def settle(self, call: Callable[[], T]) -> T:
        """Return what a call of the model gives; where it fails for the cast, after it was undone.

        A part that a model computes outside of autocast, as some do with their head, does not go with cast weights.
        """
        try:
            return call()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            if not self.cast:
                raise
            self.restore()
            result = call()
            self.failed = True
            return result

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said of it, in words."""
        return (CAST_AT_EACH_CALL,) if self.failed else ()


def _castable(model: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the float32 parameters that nothing but torch's own layers of products uses."""
    owners: dict[nn.Parameter, list[bool]] = defaultdict(list)
    fused = {part for module in model.modules() if isinstance(module, _FUSED_ON_CPU) for part in module.modules()}
    for module in model.modules():
        kinds = [kind for kind in _LAYERS if isinstance(module, kind)]
        # Another forward may do with its weights what autocast does not: standardise them, add to them in float32.
        own = any(type(module).forward is kind.forward for kind in kinds) and "forward" not in vars(module)
        for name, parameter in module._parameters.items():
            if parameter is not None:
                kept = module in fused and parameter.device.type == "cpu"
                owners[parameter].append(own and not kept and name in _PARAMETERS)
    for parameter, products in owners.items():
        if all(products) and parameter.dtype == torch.float32:
            yield parameter
