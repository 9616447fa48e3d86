"""MLP-Mixer (Tolstikhin et al. 2021, arXiv 2105.01601): perceptrons across patches and across channels, in turn."""

from torch import Tensor, nn

from vitbench import UsageError


class Perceptron(nn.Sequential):
    """One hidden layer on the last axis."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class Block(nn.Module):
    """Mix tokens [B, T, width] across T, then across the width, each beside a residual path."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.across_tokens = Perceptron(tokens, max(1, width // 2))
        self.across_channels = Perceptron(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.across_tokens(self.norm1(x).mT).mT
        return x + self.across_channels(self.norm2(x))


class Mixer(nn.Module):
    """Patches, blocks, the mean of all tokens, a linear head."""

    def __init__(self, num_classes: int, tokens: int, in_channels: int, depth: int, width: int, patch: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(in_channels, width, kernel_size=patch, stride=patch)
        self.blocks = nn.Sequential(*(Block(tokens, width) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.blocks(self.embed(images).flatten(2).mT)
        return self.head(self.norm(x).mean(dim=1))


def build(
    num_classes: int, image_size: tuple[int, int], in_channels: int, depth: int, width: int, patch: int
) -> nn.Module:
    """Return a module that maps images [B, C, H, W] to logits [B, K]."""
    height, wide = image_size
    if height % patch or wide % patch:
        raise UsageError(f"patch={patch} does not divide images of {height} x {wide} pixels.")
    return Mixer(num_classes, (height // patch) * (wide // patch), in_channels, depth, width, patch)
