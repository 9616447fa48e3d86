"""What a recipe is tried on: a small network, a small Vision Transformer where it needs one, or the plugin's own model.

Shapes: B images in a batch, K classes.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.errors import Skip, UnusableError, UsageError
from vitbench.protocols import TrainVal
from vitbench.testing.building import build, counts, own_channels, sizes
from vitbench.testing.cases import ModelCase, RecipeCase
from vitbench.testing.checks import CheckFailed
from vitbench.testing.fitting import fit, tiny_problem
from vitbench.worker.runtime import runtime, seed_all

__all__ = ["CLASSES", "TinyNet", "TinyViT", "learner", "own_model", "problem"]

CLASSES = 3
MOST_MACS = 30_000_000
"""Of one image: a model is trained on some ten thousand of them in all."""


class TinyNet(nn.Module):
    """A convolution, a norm and a head: parts that a recipe may seek.

    Forward draws no random numbers, so that all chance in a training is the recipe's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8 * 16, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``[B, 3, 8, 8]`` to logits ``[B, K]``."""
        return self.head(F.relu(self.norm(self.convolution(images))).flatten(1))  # type: ignore[no-any-return]


class TinyViT(nn.Module):
    """A Vision Transformer of one block on four patches with timm's names; forward draws no random numbers.

    For recipes that learn from tokens, which `TinyNet` has none of. Its head reads all patches, so that it learns fast.
    """

    WIDTH = 32

    def __init__(self) -> None:
        super().__init__()
        width = self.WIDTH
        self.patch_embed = nn.Sequential(nn.Conv2d(3, width, kernel_size=4, stride=4), nn.Flatten(2), _Transposed())
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 5, width))
        self.blocks = nn.Sequential(
            nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(4 * width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``[B, 3, 8, 8]`` to logits ``[B, K]``."""
        x = self.patch_embed(images)  # [B, 4, WIDTH]
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 1:].flatten(1))  # type: ignore[no-any-return]


class _Transposed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def learner(case: RecipeCase) -> nn.Module:
    """Return the model that a recipe is tried on, always the same.

    Raises:
        Skip, CheckFailed: as `build`; or the recipe does not take a small network, and its own model is too large.
    """
    own = own_model(case)
    if own is not None:
        seed_all(0)
        return build(own, num_classes=CLASSES, image_size=sizes(own)[0])
    network = _network(case)
    seed_all(0)
    return network()


@functools.cache
def _network(case: RecipeCase) -> type[nn.Module]:
    """Return the small Vision Transformer where a recipe refuses the other network in words, and takes that one."""
    refused = _failure(case, TinyNet)
    if refused and isinstance(refused.__cause__, (UsageError, UnusableError)) and not _failure(case, TinyViT):
        return TinyViT
    return TinyNet


def _failure(case: RecipeCase, network: type[nn.Module]) -> CheckFailed | None:
    """Return why a recipe does not take a network; flags that it changes are put back."""
    with runtime(precision="float32", threads=torch.get_num_threads(), seed=0, device="cpu"):
        try:
            fit(case.spec, network(), tiny_problem(num_classes=CLASSES), epochs=1)
        except CheckFailed as failure:
            return failure
    return None


def problem(case: RecipeCase, *, folder: Path | None = None, others: int = 0) -> TrainVal:
    """Return the tiny problem for `learner`; `folder` and `others` as in `tiny_problem`."""
    own = own_model(case)
    shape: dict[str, Any] = {} if own is None else {"image_size": sizes(own)[0], "in_channels": own_channels(own)}
    return tiny_problem(num_classes=CLASSES, folder=folder, others=others, **shape)


@functools.cache
def own_model(case: RecipeCase) -> ModelCase | None:
    """Return the plugin's own model where the recipe is for it alone, as its recipe raises with any other one."""
    if case.model is None:
        return None
    own = ModelCase(spec=case.model)
    if case.model.is_baseline:
        return own
    error = _failure(case, TinyNet)
    if error is None:
        return None
    _, macs = counts(own)
    if macs > MOST_MACS:
        raise Skip(
            f"with a small network {error}, and {case.model.name}, which names this recipe, is too large to be "
            f"trained here ({macs / 1e6:.0f} MMACs)"
        ) from error
    return own
