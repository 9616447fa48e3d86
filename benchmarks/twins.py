"""A plugin of five identical models: any difference found between their speeds is wrong (equal_models.py)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

import vitbench


def build(*, num_classes: int, in_channels: int) -> nn.Module:
    """Return a small convolutional network."""
    return nn.Sequential(
        *(nn.Conv2d(in_channels, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU()),
        *(nn.Conv2d(24, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, num_classes)),
    )


@vitbench.hookimpl
def vitbench_models() -> Iterator[vitbench.ModelSpec]:
    """Offer the five."""
    for name in ("ada", "bea", "cleo", "dora", "eve"):
        yield vitbench.ModelSpec(name=name, build=build, summary="The same small convolutional network")
