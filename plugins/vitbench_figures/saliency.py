"""Saliency: where a convolutional network's answer comes from, by class activation maps of the package torchcam.

Grad-CAM: Selvaraju et al., ICCV 2017 (arXiv 1610.02391): the channels of a layer, weighted by their mean gradient.
LayerCAM: Jiang et al., IEEE Transactions on Image Processing 30 (2021): each place of a channel, weighted by its own
positive gradient.

Shapes: B images, C channels, H height, W width, R rows and L columns of a layer's map.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

import vitbench
from vitbench.attention import watch
from vitbench.errors import Skip, UnusableError, UsageError, did_you_mean
from vitbench.figures import Figure, FigureSubject

from .overlay import class_of, drawn
from .trust import judged

__all__ = ["activation_map", "draw", "last_layer"]

FEWEST = 4
"""Rows and columns of a map that is worth a look."""
NAMES = {"layercam": "LayerCAM", "gradcam": "GradCAM"}
TITLES = {"layercam": "LayerCAM", "gradcam": "Grad-CAM"}


def draw(
    subject: FigureSubject, *, method: str, layer: str, target: str, images: int
) -> Iterator[Figure | vitbench.Measurement]:
    """Draw class activation maps over the subject's pictures, and what the tests say of them.

    Args:
        subject: a convolutional network.
        method: ``layercam`` or ``gradcam``.
        layer: full name of a module that gives maps; empty: the last with at least 4x4 places.
        target: name or number of the class to explain; empty: the predicted one.
        images: test images, and mosaics, that the tests use; 0: no tests.

    Raises:
        Skip: no layer gives such maps, or the model has attention, which no layer's map shows.
        UsageError: no such class or layer.
    """
    wanted = class_of(subject, target)
    name = layer or last_layer(subject)
    explain = partial(activation_map, method=method, layer=name)
    trust = judged(subject, explain, images=images)
    yield from trust.measurements
    yield drawn(subject, explain, wanted, title=f"{TITLES[method]} of {name}", trust=trust)
    yield from trust.pictures


def last_layer(subject: FigureSubject) -> str:
    """Return the name of the last module that gives a map of at least 4x4 places.

    What lies inside a block that makes the map smaller does not count, nor does a convolution before its activation
    where the model has any other module.

    Raises:
        Skip: there is none, or the model has attention.
    """
    modules = {name: module for name, module in subject.model.named_modules() if name}
    found = dict[str, None]()  # in the order in which they end

    def note(name: str, module: nn.Module, args: object, output: object) -> None:
        found.pop(name, None)
        if isinstance(output, Tensor) and output.dim() == 4 and min(output.shape[2:]) >= FEWEST:
            found[name] = None

    handles = [module.register_forward_hook(partial(note, name)) for name, module in modules.items()]
    try:
        with torch.inference_mode(), watch(subject.model) as seen:
            subject.model(torch.zeros(1, *subject.input_shape, device=subject.device))
    except UnusableError as error:
        raise Skip(str(error)) from error
    finally:
        for handle in handles:
            handle.remove()
    if seen.maps or seen.over_channels:
        raise Skip("the model has attention, so no layer's map shows what it reads: use the figure attribution")
    blocks = {name for name, module in modules.items() if not isinstance(module, nn.Sequential)} - {*found}
    whole = [name for name in found if not any(name.startswith(f"{block}.") for block in blocks)]
    if not whole:
        raise Skip(f"no layer of the model gives a map of at least {FEWEST}x{FEWEST} positions")
    return ([name for name in whole if not isinstance(modules[name], nn.Conv2d)] or whole)[-1]


def activation_map(subject: FigureSubject, inputs: Tensor, targets: Tensor, *, method: str, layer: str) -> Tensor:
    """Return the class activation map of a class of each image: float[B, R, L], at least 0.

    Args:
        subject: a model; it is left as it is.
        inputs: float[B, C, H, W].
        targets: int64[B].
        method: ``layercam`` or ``gradcam``.
        layer: full name of a module.

    Raises:
        UsageError: no such module, or it gives no map.
    """
    from torchcam import methods

    modules = dict(subject.model.named_modules())
    if layer not in modules:
        raise UsageError(f'the model has no layer "{layer}".{did_you_mean(layer, modules)}')
    # With a gradient of the input, layers whose weights are frozen have one, too.
    extract = getattr(methods, NAMES[method])
    with torch.inference_mode(False), torch.enable_grad(), extract(subject.model, layer) as extractor:
        logits = subject.model(inputs.clone().requires_grad_())
        given = extractor.hook_a[0]
        if given is None or given.dim() != 4:
            raise UsageError(f'the layer "{layer}" gives no map of channels over positions')
        maps: Tensor = extractor(targets.tolist(), logits, normalized=False)[0]
    return maps
