"""What the memory of a training step is made of: weights, gradients, optimiser state, activations.

Each part is a sum over unique storages (https://docs.pytorch.org/docs/stable/storage.html), so that views and shared
parameters count once. Activations are what autograd saves for the backward pass
(https://docs.pytorch.org/docs/stable/autograd.html#saved-tensors-hooks-doc), which is what the forward pass keeps; the
low-precision copies of weights that autocast makes are among them. What a kernel needs for itself in passing is in the
measured peak alone.

Shapes: B images in a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from vitbench.measuring.steps import Autocast

__all__ = ["TrainingMemory", "split_training_memory", "weight_bytes"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingMemory:
    """Bytes of the parts that only training has; None where they are not known."""

    gradient_bytes: int | None = None
    optimiser_bytes: int | None = None
    activation_bytes: int | None = None


def weight_bytes(model: nn.Module) -> int | None:
    """Return the bytes of parameters and buffers, trained or frozen; None where they are not plain tensors."""
    return _bytes(_weights(model))


def split_training_memory(model: nn.Module, images: Tensor, autocast: Autocast = nullcontext) -> TrainingMemory:
    """Take a training step as `vitbench.measuring.steps.training_step` does, and see what it keeps.

    The weights stay as they are; gradients are dropped, those from before, too.

    Args:
        model: maps ``[B, C, H, W]`` to logits ``[B, K]``; it is left in train mode.
        images: one batch.
        autocast: makes the context of the forward pass.
    """
    model.train()
    model.zero_grad(set_to_none=True)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with torch.inference_mode(False), torch.enable_grad():
        loss, activation_bytes = _forward(model, images, autocast)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in trainable if parameter.grad is not None]
        gradient_bytes = _bytes(gradients)
        # On gradients of nothing AdamW makes its state and moves no weight, not even where they had overflowed.
        for gradient in gradients:
            gradient.zero_()
        optimiser = torch.optim.AdamW(trainable, lr=0.0)
        optimiser.step()
    state = chain.from_iterable(of_parameter.values() for of_parameter in optimiser.state.values())
    optimiser_bytes = _bytes(part for part in state if isinstance(part, Tensor))
    model.zero_grad(set_to_none=True)
    return TrainingMemory(
        gradient_bytes=gradient_bytes, optimiser_bytes=optimiser_bytes, activation_bytes=activation_bytes
    )


def _forward(model: nn.Module, images: Tensor, autocast: Autocast) -> tuple[Tensor, int | None]:
    """Return the loss and the bytes of what autograd keeps for it; None where the model does not let it be seen."""
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    # Weak, since a part of the graph that does not lead to the loss is freed at the end of the forward pass.
    saved: list[weakref.ref[Tensor]] = []

    def keep(tensor: Tensor) -> Tensor:
        alias = tensor.detach()  # an output that keeps itself would be a cycle, which is never freed
        saved.append(weakref.ref(alias))
        return alias

    def loss_of() -> Tensor:
        with autocast():
            return F.cross_entropy(model(images), labels)

    try:
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = loss_of()
    except RuntimeError:  # torch.func, for one, refuses such hooks
        return loss_of(), None
    kept = (tensor for reference in saved if (tensor := reference()) is not None)
    return loss, _bytes(kept, apart_from=[*_weights(model), images, labels])


def _weights(model: nn.Module) -> Iterable[Tensor]:
    return chain(model.parameters(), model.buffers())


def _bytes(tensors: Iterable[Tensor], apart_from: Iterable[Tensor] = ()) -> int | None:
    """Return the bytes of the storages that tensors lie in, and others do not.

    None where a tensor has no storage of its own: a sparse one, or a wrapper round quantised weights.
    """
    try:
        known = _storages(apart_from)
        return sum(size for place, size in _storages(tensors).items() if place not in known)
    except RuntimeError:
        return None


def _storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Return the bytes of each storage that tensors lie in, by its address."""
    storages = (tensor.untyped_storage() for tensor in tensors)
    return {storage.data_ptr(): storage.nbytes() for storage in storages}
