"""The reference network: small, fixed, and timed in turn with each model, so that the machine's mood divides out.

It has a convolutional part and an attention part, so that what slows either kind of model slows it, too. It is pure
torch, its weights and inputs come from a seed, and it always runs eager, in float32, contiguous, at its own batch size,
whatever the model does: what bfloat16 or compiling gains stays visible. Its name is its version: whoever changes what
it computes gives it another, and figures over two references are never compared. Why these parts, and what they
cancel: docs/measuring.md, from benchmarks/reference_study.py.

Shapes: B images, N tokens, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.measuring.steps import Step, inference_step, make_inputs, make_labels, plain_train_step, training_step
from vitbench.records import REFERENCE, Mode

__all__ = ["Reference", "make_reference", "reference_network"]

BATCH_SIZE = 8
IMAGE_SHAPE = (3, 32, 32)
WIDTH, HEADS, BLOCKS = 64, 4, 2
CLASSES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """The reference network on a device, ready to be called."""

    step: Step
    """A forward pass, or a training step; to be called in the same inference or training mode as the model."""
    batch_size: int = BATCH_SIZE
    """Images in each call."""
    name: str = REFERENCE
    conditions: Callable[[], AbstractContextManager[object]] = nullcontext
    """Makes the context that each block runs in, where the model's flags differ from the reference's."""


class _Attention(nn.Module):
    """A pre-norm transformer block: float32 ``[B, N, D]`` to the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mlp_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        qkv = self.qkv(self.norm(tokens)).reshape(batch, count, 3, HEADS, width // HEADS)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, count, width)
        tokens = tokens + self.proj(mixed)
        output: Tensor = tokens + self.mlp(self.mlp_norm(tokens))
        return output


class _Network(nn.Module):
    """Three convolutions, two transformer blocks, a linear head: ``[B, 3, 32, 32]`` to ``[B, 10]``."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
            nn.Conv2d(32, WIDTH, 2, stride=2),
        )
        self.blocks = nn.Sequential(*(_Attention() for _ in range(BLOCKS)))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.stem(images).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(self.blocks(tokens).mean(1))
        return logits


def reference_network() -> nn.Module:
    """Return the network, float32 on the CPU, with the same weights at each call; torch's generator stays as it was."""
    with torch.random.fork_rng(devices=()), torch.device("cpu"):
        torch.manual_seed(0)
        return _Network().float()


def make_reference(
    mode: Mode,
    device: torch.device,
    conditions: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Reference:
    """Return the reference of forward passes, or of training steps of a plain AdamW.

    Args:
        mode: as the model's.
        device: where the model computes.
        conditions: the context of each of its blocks; see `Reference`.
    """
    network = reference_network().to(device)
    inputs = make_inputs(IMAGE_SHAPE, batch_size=BATCH_SIZE, device=device)
    if mode == "inference":
        return Reference(step=inference_step(network, inputs, num_classes=CLASSES), conditions=conditions)
    labels = make_labels(CLASSES, batch_size=BATCH_SIZE, device=device)
    train = plain_train_step(network, nullcontext, num_classes=CLASSES)
    return Reference(step=training_step(train, network, inputs, labels), conditions=conditions)
