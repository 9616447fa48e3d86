"""Parameters and MACs are the published ones, fused attention included, and cost neither memory nor weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import nn

from vitbench.measuring.flops import count_macs, count_params

pytestmark = pytest.mark.compute


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return build().eval()


def vit_macs(tokens: int, patches: int, width: int, depth: int, patch_values: int, classes: int) -> int:
    """MACs = (T-1) P^2 C D + L (12 T D^2 + 2 T^2 D) + D K, with four times the width in the feed-forward."""
    blocks = depth * (12 * tokens * width**2 + 2 * tokens**2 * width)
    return patches * patch_values * width + blocks + width * classes


@pytest.mark.parametrize(
    ("build", "params", "gmacs"),
    [
        (torchvision.models.vit_b_16, 86_567_656, 17.564),
        (lambda: timm.create_model("vit_tiny_patch16_224"), 5_717_416, 1.254),
        (torchvision.models.resnet50, 25_557_032, 4.089),
    ],
    ids=["torchvision-vit-b16", "timm-vit-ti16", "resnet50"],
)
def test_published_counts(build: Callable[[], nn.Module], params: int, gmacs: float) -> None:
    model = on_meta(build)
    assert count_params(model) == params
    assert round(count_macs(model, (3, 224, 224)) / 1e9, 3) == gmacs


def test_rectangles_of_any_channels_have_their_closed_forms() -> None:
    vit = on_meta(
        lambda: timm.create_model("vit_tiny_patch16_224", img_size=(16, 32), patch_size=4, in_chans=5, num_classes=10)
    )
    expected = vit_macs(tokens=33, patches=32, width=192, depth=12, patch_values=5 * 16, classes=10)
    assert count_macs(vit, (5, 16, 32)) == expected
    convolution = on_meta(lambda: nn.Conv2d(5, 7, 3, padding=1))
    assert count_macs(convolution, (5, 6, 10)) == 5 * 9 * 7 * 6 * 10


def test_torchs_own_encoder_is_counted_in_spite_of_its_fast_path() -> None:
    def build() -> nn.Module:
        layer = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True)
        return nn.TransformerEncoder(layer, 2)

    expected = 2 * (12 * 10 * 64**2 + 2 * 10**2 * 64)
    model = on_meta(build)
    with torch.inference_mode():
        assert count_macs(model, (10, 64)) == expected
    assert count_macs(model.requires_grad_(False), (10, 64)) == expected


def test_shared_and_frozen_parameters_count_once() -> None:
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, shared, nn.Linear(4, 4).requires_grad_(False), nn.BatchNorm1d(4))
    assert count_params(model) == 20 + 20 + 8
