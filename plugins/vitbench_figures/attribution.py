"""Attribution: which patches a Vision Transformer's answer rests on, by attention weighted with its gradient.

Chefer, Gur and Wolf, "Generic attention-model explainability", ICCV 2021 (arXiv 2103.15679), equations 5 and 6: the
rule for self-attention. The gradient of one class is that of their "Transformer interpretability beyond attention
visualization", CVPR 2021 (arXiv 2012.09838). With the attention A of a layer, H heads and y the logit of a class:

    R = I;  then for each layer  R = R + E_h[(dy/dA * A)^+] R

The picture is the row of the token that the head reads, over the patches, without the I. Which tokens the head reads is
seen from the gradient of the last layer's attention, so models that average their patches need no rule of their own.

Shapes: B images, H heads, N tokens, C channels, S and T height and width, R rows and L columns of patches.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

import vitbench
from vitbench.errors import Skip, UnusableError
from vitbench.figures import Figure, FigureSubject

from .layers import grid_of, look, whole
from .overlay import class_of, drawn
from .trust import judged

__all__ = ["draw", "relevance"]


def draw(subject: FigureSubject, *, target: str, images: int) -> Iterator[Figure | vitbench.Measurement]:
    """Draw the relevance of patches over the subject's pictures, and what the tests say of it.

    Args:
        subject: a model with attention between all patches.
        target: name or number of the class to explain; empty: the predicted one.
        images: test images, and mosaics, that the tests use; 0: no tests.

    Raises:
        Skip: the model's attention is not between the same patches in each layer.
        UsageError: no such class.
    """
    wanted = class_of(subject, target)
    whole(look(subject, subject.inputs([subject.pictures[0].pixels])), "attribution")
    trust = judged(subject, relevance, images=images)
    yield from trust.measurements
    yield drawn(subject, relevance, wanted, title="Attribution", trust=trust)
    yield from trust.pictures


def relevance(subject: FigureSubject, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the relevance of each patch for a class of each image: float[B, R, L], at least 0.

    Args:
        subject: a model; it is left as it is.
        inputs: float[B, C, S, T].
        targets: int64[B].

    Raises:
        Skip: the attention cannot be watched, or is not between the same patches in each layer.
    """
    with torch.inference_mode(False), torch.enable_grad():
        with subject.maps(gradients=True) as seen:
            logits = subject.model(inputs.clone())
        maps = [one.weights for one in seen.maps]
        chosen = logits.gather(1, targets.clone()[:, None]).sum()
        gradients = torch.autograd.grad(chosen, maps, allow_unused=True, materialize_grads=True)
    tokens = maps[0].shape[-1]
    joint = own = torch.eye(tokens, device=inputs.device).expand(len(inputs), -1, -1)  # [B, N, N]
    for weights, gradient in zip(maps, gradients, strict=True):
        if weights.dim() != 4 or len(weights) != len(inputs) or weights.shape[-1] != joint.shape[-2] != 1:
            raise Skip("attribution needs the same tokens in each layer, but this model's change or have windows")
        flow = (gradient * weights.detach()).clamp(min=0).mean(1) @ joint
        joint = joint + flow if flow.shape == joint.shape else flow  # a pool's query was no token before it
    if joint.shape == own.shape:
        joint = joint - own  # of tokens that the head averages it would outshine all else, the same for each
    read = (gradients[-1] != 0).any(-1).any(1).to(joint)  # [B, N], 1 where the head reads a token
    rows = (read[:, None] @ joint)[:, 0] / read.sum(1, keepdim=True).clamp(min=1)
    try:
        before, grid = grid_of(tokens, subject.model, subject.input_shape[1:])
    except UnusableError as error:
        raise Skip(str(error)) from error
    return rows[:, before:].reshape(-1, *grid)
