"""One hidden layer on pixels: ``[B, C, H, W]`` to logits ``[B, K]``."""

from torch import nn


def build(*, num_classes: int, image_size: tuple[int, int], in_channels: int, width: int) -> nn.Module:
    """Return a module with about ``C H W width`` parameters."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(in_channels * image_size[0] * image_size[1], width),
        nn.ReLU(),
        nn.Linear(width, num_classes),
    )
