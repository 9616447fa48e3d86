"""What enters a model's head, and another head in its place: for recipes that leave the model's weights as they are.

Shapes: B images in a batch, N images in a split, C channels, H height and W width of the input, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitbench.errors import UsageError
from vitbench.protocols import Split, TrainVal
from vitbench.specs import Preprocess
from vitbench.training.inputs import preprocess
from vitbench.training.loading import batches, padded
from vitbench.training.setup import autocast

__all__ = ["FITTED", "extracted", "features", "fitted_head", "own_features", "with_head"]

FITTED = "fitted_head"
"""The attribute of a model that names the part that `with_head` gave it."""
BATCHES = {"cpu": 32}
"""Images of a forward pass, by kind of device: few where each one takes long, since a short batch is filled up."""
BATCH = 128
"""On all other devices."""
_TOLERANCE = 1e-3

Reader = Callable[[Tensor], Tensor]


def features(model: nn.Module, images: Tensor) -> Tensor:
    """Map images ``[B, C, H, W]`` to what the model's head reads, ``[B, D]``.

    A model's own method ``features(images)`` is used if there is one; a submodule of that name does not count.
    Otherwise, features are the input of the last linear layer or 1x1 convolution that the forward pass calls, provided
    that the output of this layer is the output of the model.

    Args:
        model: not compiled; it is run in eval mode.
        images: a model's input, on its device.

    Raises:
        UsageError: the model has no features, or its method returns something else.
    """
    with _evaluating(model):
        return _reader(model, images[:2])(images)


@torch.no_grad()
def extracted(
    model: nn.Module,
    split: Split,
    data: TrainVal,
    *,
    device: torch.device,
    precision: str,
    channels_last: bool = False,
    tick: Callable[[int], None] = lambda _: None,
) -> Iterator[NDArray[np.float32]]:
    """Yield the features of a split's images in its order, float32[n, D] for each batch.

    Short batches are filled up, so that an image has the same features, to the bit, whichever others it comes with.
    Nothing is compiled: that would take longer than the pass.

    Args:
        model: is moved to the device, and is in eval mode meanwhile.
        split: such as ``data.train``.
        data: says how the images become input.
        device: where to compute.
        precision: what to compute in, as `vitbench.protocols.FitRun` says it.
        channels_last: whether to use that memory format.
        tick: gets the number of images that are done, after each batch.

    Raises:
        UsageError: as `features` does, or the features are not finite.
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    size, done = BATCHES.get(device.type, BATCH), 0
    reader: Reader | None = None
    with _evaluating(model):
        for images, _ in batches(split, batch_size=size, device=device):
            how: Preprocess = data.preprocess
            x = preprocess(padded(images, size), how, image_size=data.image_size, in_channels=data.in_channels)
            x = x.contiguous(memory_format=layout)
            with autocast(precision, device):
                reader = reader or _reader(model, x[:2])
                found = reader(x)[: len(images)].float()
            if not found.isfinite().all():
                raise UsageError(f"the features of {_name(model)} are not finite; compute in float32")
            done += len(images)
            tick(done)
            yield found.cpu().numpy()


def with_head(model: nn.Module, head: nn.Module, images: Tensor) -> nn.Module:
    """Return a model whose features go through a new head; its other weights stay unchanged.

    Where the features enter the model's last linear layer, the head takes its place, and the model is returned;
    otherwise a module that holds both. Its attribute ``fitted_head`` names the head: that alone is stored, not the rest
    of the weights again.

    Args:
        model: is changed.
        head: maps features ``[B, D]`` to logits ``[B, K]``.
        images: a few inputs of the model, on its device, used to find its head.

    Raises:
        UsageError: as `features` does.
    """
    with _evaluating(model), torch.no_grad():
        own, name = own_features(model), _last_linear(model, images[:2])
        if name and (own is None or _enter(model, name, own, images[:2])):
            parent, _, child = name.rpartition(".")
            is_linear = isinstance(model.get_submodule(name), nn.Linear)
            setattr(model.get_submodule(parent), child, head if is_linear else _OnPixel(head))
            made, place = model, name if is_linear else f"{name}.head"
        else:
            made, place = _Headed(model, head), "head"
    setattr(made, FITTED, place)
    return made


def fitted_head(model: nn.Module) -> nn.Module | None:
    """Return the head that `with_head` gave a model, which is all that differs from the model as it was built."""
    name = getattr(model, FITTED, None)
    return model.get_submodule(name) if isinstance(name, str) else None


class _OnPixel(nn.Module):
    """A head in the place of a convolution of one pixel."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Map features ``[B, D, 1, 1]`` to logits ``[B, K, 1, 1]``."""
        return cast(Tensor, self.head(x.flatten(1)))[:, :, None, None]


class _Headed(nn.Module):
    """A model whose own method gives the features, and a head on them."""

    def __init__(self, model: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.model, self.head = model, head

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, H, W]`` to logits ``[B, K]``."""
        return cast(Tensor, self.head(cast(Reader, self.model.features)(images)))


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode for a while; each part has its own mode again afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _name(model: nn.Module) -> str:
    return type(model).__name__


def _reader(model: nn.Module, sample: Tensor) -> Reader:
    """Return what gives the features of a model in eval mode; two images show how it is done."""
    own = own_features(model)
    if own is not None:
        return lambda images: _checked(own(images), images, f"the method features of {_name(model)}")
    name = _last_linear(model, sample)
    if not name:
        raise UsageError(
            f"{_name(model)} has no features: it has no method features, and its output is not that of a last "
            "linear layer; see vitbench.training.features"
        )
    return lambda images: _entering(model, name, images)


def own_features(model: nn.Module) -> Reader | None:
    """Return a model's own method ``features``; None where it has none: a submodule of that name does not count."""
    own = getattr(model, "features", None)
    return own if callable(own) and not isinstance(own, nn.Module) else None


def _checked(found: object, images: Tensor, what: str) -> Tensor:
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(images) or not found.is_floating_point():
        shown = f"{found.dtype} {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise UsageError(f"{what} returned {shown}; it must return one vector of numbers per image, [B, D]")
    return found


def _is_linear(module: nn.Module) -> bool:
    one_pixel = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
    return isinstance(module, nn.Linear) or one_pixel


def _flat(tensor: Any) -> Tensor | None:
    """Return one vector per image, where a tensor has that, with or without sides of one pixel."""
    vectors = isinstance(tensor, Tensor) and tensor.ndim in (2, 4) and tensor.shape[2:].numel() == 1
    return tensor.flatten(1) if vectors else None


def _last_linear(model: nn.Module, sample: Tensor) -> str:
    """Return the name of the last linear layer that a forward pass calls, if the model gives what it gives; or nothing.

    Values alone would not tell: behind a head of zeros, all is zero. So the layer is made to give other ones.
    """
    calls: list[tuple[str, Tensor | None, Tensor | None]] = []
    hooks = [
        module.register_forward_hook(
            lambda _, given, gave, name=name: calls.append((name, _flat(given[0] if given else None), _flat(gave)))
        )
        for name, module in model.named_modules()
        if name and _is_linear(module)
    ]
    try:
        model(sample)
    finally:
        for hook in hooks:
            hook.remove()
    if not calls:
        return ""
    name, given, gave = calls[-1]
    if given is None or gave is None or [each for each, *_ in calls].count(name) > 1:
        return ""
    marked = torch.linspace(-1, 1, gave.numel(), device=gave.device, dtype=gave.dtype).view_as(gave)
    hook = model.get_submodule(name).register_forward_hook(lambda _, __, output: marked.view_as(output))
    try:
        found = model(sample)
    finally:
        hook.remove()
    return name if isinstance(found, Tensor) and found.shape == marked.shape and torch.equal(found, marked) else ""


def _entering(model: nn.Module, name: str, images: Tensor) -> Tensor:
    """Return what enters a layer, and see that the model gives what the layer makes of it."""
    layer, seen = model.get_submodule(name), list[Tensor]()
    hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        logits = model(images)
    finally:
        hook.remove()
    again = layer(seen[-1]).flatten(1)
    if again.shape != logits.shape or not torch.allclose(
        again, logits, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True
    ):
        raise UsageError(
            f"{_name(model)} has no features: it returns something other than its last linear layer, {name}"
        )
    return _checked(seen[-1].flatten(1), images, f"{name} of {_name(model)}")


def _enter(model: nn.Module, name: str, own: Reader, sample: Tensor) -> bool:
    """Whether what a model's own method gives is what enters a layer."""
    entering, found = _entering(model, name, sample), own(sample)
    return found.shape == entering.shape and torch.allclose(found, entering, rtol=_TOLERANCE, atol=_TOLERANCE)
