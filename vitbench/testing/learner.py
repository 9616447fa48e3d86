"""What a recipe is tried on: a small network, or the plugin's own model where the recipe is for that one.

Shapes: B images in a batch, K classes.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.errors import Skip
from vitbench.protocols import TrainVal
from vitbench.testing.building import build, counts, own_channels, sizes
from vitbench.testing.cases import ModelCase, RecipeCase
from vitbench.testing.checks import CheckFailed
from vitbench.testing.fitting import fit, tiny_problem
from vitbench.worker.runtime import seed_all

__all__ = ["CLASSES", "TinyNet", "learner", "own_model", "problem"]

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


def learner(case: RecipeCase) -> nn.Module:
    """Return the model that a recipe is tried on, always the same.

    Raises:
        Skip, CheckFailed: as `build`; or the recipe does not take the small network, and its own model is too large.
    """
    own = own_model(case)
    seed_all(0)
    return TinyNet() if own is None else build(own, num_classes=CLASSES, image_size=sizes(own)[0])


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
    try:
        fit(case.spec, TinyNet(), tiny_problem(num_classes=CLASSES), epochs=1)
    except CheckFailed as error:
        _, macs = counts(own)
        if macs > MOST_MACS:
            raise Skip(
                f"with a small network {error}, and {case.model.name}, which names this recipe, is too large to be "
                f"trained here ({macs / 1e6:.0f} MMACs)"
            ) from error
        return own
    return None
