"""ResNet-9: a network for 32 pixels that is trained in minutes, from scratch.

David Page, "How to train your ResNet" (2018, https://github.com/davidcpage/cifar10-fast): of its DAWNBench network,
94 % on CIFAR-10 after 24 epochs, this is the form of the last part, which pools before batch normalisation and
activation. A W of 16 costs a sixteenth of the published 64: the recipe `supervised` with crop and flip alone brought it
to 87.7 % in 12 passes, with 17.8 minutes of one thread of a Xeon with AVX-512 (channels last, seed 0).

Shapes: B images, C channels, S and T height and width of the input, W channels of the first layer, K classes.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from vitbench.errors import UsageError

from .weights import load

HALVINGS = 3
LOGIT_SCALE = 0.125


def _layer(in_channels: int, out_channels: int, *, pooled: bool = False) -> nn.Sequential:
    """Return a 3x3 convolution, normalised: ``[B, in, S, T]`` to ``[B, out, S, T]``, halved where it is pooled."""
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    pool = [nn.MaxPool2d(2)] if pooled else []
    return nn.Sequential(convolution, *pool, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two layers and a shortcut around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_layer(channels, channels), _layer(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, channels, S, T]`` to the same shape."""
        return x + self.layers(x)  # type: ignore[no-any-return]


class Scaled(nn.Linear):
    """A dense layer without bias whose outputs are an eighth, which keeps the first steps small."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, in]`` to logits ``[B, K]``."""
        return super().forward(x) * LOGIT_SCALE


def build(
    *, num_classes: int, image_size: tuple[int, int], in_channels: int, width: int, checkpoint: str, head: str
) -> nn.Sequential:
    """Return a ResNet-9 that maps images ``[B, C, S, T]`` to logits ``[B, K]``.

    Args:
        num_classes: K.
        image_size: S and T.
        in_channels: C.
        width: W, 64 in the source.
        checkpoint: path of a state dict of this model; empty for initial values.
        head: ``own`` takes the checkpoint's head, ``new`` makes one of zeros for K classes.

    Raises:
        UsageError: the images are too small to be halved three times.
        UnusableError: the checkpoint cannot be read or does not fit.
    """
    if min(image_size) < 2**HALVINGS:
        raise UsageError(f"resnet9 halves its input {HALVINGS} times and needs at least {2**HALVINGS} pixels")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["prep"] = _layer(in_channels, width)  # [B, W, S, T]
    layers["layer1"] = nn.Sequential(_layer(width, 2 * width, pooled=True), Residual(2 * width))
    layers["layer2"] = _layer(2 * width, 4 * width, pooled=True)
    layers["layer3"] = nn.Sequential(
        _layer(4 * width, 8 * width, pooled=True), Residual(8 * width)
    )  # [B, 8 W, S / 8, T / 8]
    layers["pool"] = nn.AdaptiveMaxPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["head"] = Scaled(8 * width, num_classes, bias=False)
    model = nn.Sequential(layers)
    load(model, checkpoint, head=head, classifier="head")
    return model
