"""ResNet, from scratch, of two kinds of block.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (arXiv 1512.03385), tables 1 and 6. The
bottleneck strides in its 3x3 convolution ("v1.5"), as torchvision's does; weights carry torchvision's names, so that
its state dicts load and give the same logits. Below 64 pixels the stem is the one for CIFAR: a 3x3 convolution
without pooling, since the ImageNet stem would leave a 32-pixel image one pixel by the last stage.

Expected on CIFAR-10 / CIFAR-100, 200 epochs of SGD, CIFAR stem: ResNet-18 96.0 / 75.6, ResNet-34 - / 76.8,
ResNet-50 - / 77.4 percent (cifar10-airbench; weiaicunzai/pytorch-cifar100).

Shapes: B images, C channels, S and T height and width of the input, W channels of the first stage, E expansion of the
block, K classes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from vitbench.errors import UsageError

from .drop_path import DropPath, rising
from .weights import load

Stem = Literal["cifar", "imagenet"]

IMAGENET_STEM_FROM = 64
"""Shorter side of the input in pixels from which the ImageNet stem is used."""


def _convolution(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (figure 5, left)."""

    expansion: ClassVar[int] = 1

    def __init__(self, in_channels: int, channels: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _convolution(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(in_channels, channels * self.expansion, stride)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, S, T]`` to ``[B, channels, S / stride, T / stride]``."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(self.drop_path(out) + self.downsample(x))  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up to four times the channels, and a shortcut (figure 5, right)."""

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, channels: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _convolution(channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = _convolution(channels, channels * self.expansion, 1)
        self.bn3 = nn.BatchNorm2d(channels * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(in_channels, channels * self.expansion, stride)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, S, T]`` to ``[B, 4 * channels, S / stride, T / stride]``."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(self.drop_path(out) + self.downsample(x))  # type: ignore[no-any-return]


def _projection(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return the shortcut: the identity where shapes agree, else a strided 1x1 convolution (option B)."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(_convolution(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))


def trunk(
    block: type[BasicBlock] | type[Bottleneck],
    depths: Sequence[int],
    *,
    in_channels: int,
    width: int,
    stem: Stem,
    drop_path: float = 0.0,
) -> OrderedDict[str, nn.Module]:
    """Return stem and stages in order, with initial values and torchvision's names: ``conv1`` ... ``layer4``.

    Args:
        block: the kind of block.
        depths: blocks in each stage; stage i has ``W * 2**i * E`` channels, and halves the sides from i = 1 on.
        in_channels: C.
        width: W.
        stem: ``imagenet`` divides the sides by 4, ``cifar`` keeps them.
        drop_path: probability with which an image skips the last block; it rises from 0 at the first.

    Raises:
        UsageError: a drop_path below 0, or 1 and more.
    """
    drops = iter(rising(drop_path, sum(depths)))
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = (
        _convolution(in_channels, width, 7, 2) if stem == "imagenet" else _convolution(in_channels, width, 3)
    )
    layers["bn1"] = nn.BatchNorm2d(width)
    layers["relu"] = nn.ReLU(inplace=True)
    if stem == "imagenet":
        layers["maxpool"] = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
    channels_in = width
    for index, depth in enumerate(depths):
        channels = width * 2**index
        blocks = []
        for position in range(depth):
            stride = 2 if index and position == 0 else 1
            blocks.append(block(channels_in, channels, stride, drop_path=next(drops)))
            channels_in = channels * block.expansion
        layers[f"layer{index + 1}"] = nn.Sequential(*blocks)
    for layer in layers.values():
        for module in layer.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return layers


def build(
    *,
    num_classes: int,
    image_size: tuple[int, int],
    in_channels: int,
    block: Literal["basic", "bottleneck"],
    depths: Sequence[int],
    width: int,
    drop_path: float,
    checkpoint: str,
    head: str,
) -> nn.Sequential:
    """Return a ResNet that maps images ``[B, C, S, T]`` to logits ``[B, K]``.

    Args:
        num_classes: K.
        image_size: S and T, the shorter of which chooses the stem.
        in_channels: C.
        block: the kind of block.
        depths: blocks in each of the four stages.
        width: W, 64 in the paper.
        drop_path: as `trunk` takes it.
        checkpoint: path of a state dict of this model, or of torchvision's; empty for initial values.
        head: ``own`` takes the checkpoint's head, ``new`` makes one of zeros for K classes.

    Raises:
        UsageError: a width below 1, or a drop_path out of its range.
        UnusableError: the checkpoint cannot be read or does not fit.
    """
    if width < 1:
        raise UsageError(f"width must be at least 1, not {width}")
    stem: Stem = "imagenet" if min(image_size) >= IMAGENET_STEM_FROM else "cifar"
    kind = BasicBlock if block == "basic" else Bottleneck
    layers = trunk(kind, depths, in_channels=in_channels, width=width, stem=stem, drop_path=drop_path)
    layers["avgpool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(width * 2 ** (len(depths) - 1) * kind.expansion, num_classes)
    model = nn.Sequential(layers)
    model.facts = {"stem": stem}  # type: ignore[assignment]
    load(model, checkpoint, head=head, classifier="fc")
    return model
