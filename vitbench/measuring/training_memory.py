"""What the memory of a training step is made of: weights, gradients, optimiser state, activations.

Each part is a sum over unique storages (https://docs.pytorch.org/docs/stable/storage.html), so that views and shared
parameters count once. Activations are what autograd saves for the backward pass
(https://docs.pytorch.org/docs/stable/autograd.html#saved-tensors-hooks-doc), which is what the forward pass keeps; the
low-precision copies of weights that autocast makes are among them. What a kernel needs for itself in passing is in the
measured peak alone. The step is whatever the model's recipe takes, seen through autograd's hooks alone.

Shapes: B images in a batch, C channels, H height, W width.
"""

from __future__ import annotations

import weakref
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from vitbench.protocols import TrainStep

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


def split_training_memory(train: TrainStep, model: nn.Module, images: Tensor, labels: Tensor) -> TrainingMemory:
    """Take a training step, and see what it keeps; of a step that runs the model several times, the most at once.

    It changes the weights as `take` does; gradients are dropped, those from before, too.

    Args:
        train: the step, which has been taken before: its optimiser has its state.
        model: what it trains; it is left in train mode.
        images: a batch ``[B, C, H, W]``.
        labels: int64 ``[B]``.
    """
    model.train()
    train.optimizer.zero_grad(set_to_none=True)
    model.zero_grad(set_to_none=True)
    weights = list(_weights(model))
    kept = _Kept(apart_from=[*weights, images, labels])
    gradients: dict[int, dict[int, int] | None] = {}

    def note(parameter: Tensor) -> None:  # at once, since a step may drop its gradients when it is done
        gradients[id(parameter)] = _storages_of([parameter.grad]) if parameter.grad is not None else {}

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    handles = [parameter.register_post_accumulate_grad_hook(note) for parameter in trained]  # type: ignore[no-untyped-call]
    try:
        with torch.inference_mode(False), torch.enable_grad():
            try:
                with saved_tensors_hooks(kept.pack, kept.unpack):
                    train.take(images, labels)
            except RuntimeError:  # torch.func, for one, refuses such hooks
                kept.bytes = None
                train.take(images, labels)
    finally:
        for handle in handles:
            handle.remove()
    optimiser_bytes = _bytes(_tensors_in(train.optimizer.state), apart_from=weights)
    train.optimizer.zero_grad(set_to_none=True)
    model.zero_grad(set_to_none=True)
    known = [storages for storages in gradients.values() if storages is not None]
    return TrainingMemory(
        gradient_bytes=sum(ChainMap(*known).values()) if len(known) == len(gradients) else None,
        optimiser_bytes=optimiser_bytes,
        activation_bytes=kept.bytes,
    )


class _Kept:
    """Counts what autograd keeps, each time that a backward pass begins to use it."""

    def __init__(self, apart_from: Sequence[Tensor]) -> None:
        self.bytes: int | None = 0
        """The most so far; None where it is not known."""
        self._apart_from = apart_from
        # Weak, since a part of the graph that does not lead to the loss is freed at the end of the forward pass.
        self._saved: list[weakref.ref[Tensor]] = []
        self._counted = True

    def pack(self, tensor: Tensor) -> Tensor:
        alias = tensor.detach()  # an output that keeps itself would be a cycle, which is never freed
        self._saved.append(weakref.ref(alias))
        self._counted = False
        return alias

    def unpack(self, tensor: Tensor) -> Tensor:
        if not self._counted:
            self._counted = True
            alive = [alias for reference in self._saved if (alias := reference()) is not None]
            self._saved = list(map(weakref.ref, alive))
            found = _bytes(alive, apart_from=self._apart_from)
            self.bytes = None if found is None or self.bytes is None else max(self.bytes, found)
        return tensor


def _tensors_in(value: object) -> Iterator[Tensor]:
    """Yield the tensors of an optimiser's state, however it is nested."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(map(_tensors_in, value.values()))
    elif isinstance(value, (list, tuple)):
        yield from chain.from_iterable(map(_tensors_in, value))


def _weights(model: nn.Module) -> Iterable[Tensor]:
    return chain(model.parameters(), model.buffers())


def _bytes(tensors: Iterable[Tensor], apart_from: Iterable[Tensor] = ()) -> int | None:
    """Return the bytes of the storages that tensors lie in, and others do not; None where they are not known."""
    found, known = _storages_of(tensors), _storages_of(apart_from)
    if found is None or known is None:
        return None
    return sum(size for place, size in found.items() if place not in known)


def _storages_of(tensors: Iterable[Tensor]) -> dict[int, int] | None:
    """Return the bytes of each storage that tensors lie in, by its address.

    None where a tensor has no storage of its own: a sparse one, or a wrapper round quantised weights.
    """
    try:
        storages = [tensor.untyped_storage() for tensor in tensors]
        return {storage.data_ptr(): storage.nbytes() for storage in storages}
    except RuntimeError:
        return None
