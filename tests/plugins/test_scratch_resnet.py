"""Residual networks: sizes, stems and logits are those of the paper and of torchvision."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torchvision
import vitbench_scratch
from torch import nn
from vitbench_scratch.resnet import build

from vitbench.errors import UsageError

pytestmark = pytest.mark.compute


SPECS = {
    spec.name: spec
    for spec in vitbench_scratch.vitbench_models()
    if spec.name.startswith("resnet") and spec.name != "resnet9"
}

DEPTHS = {
    "resnet18": {"block": "basic", "depths": (2, 2, 2, 2)},
    "resnet34": {"block": "basic", "depths": (3, 4, 6, 3)},
    "resnet50": {"block": "bottleneck", "depths": (3, 4, 6, 3)},
}
"""Table 1 of the paper."""


def resnet(name: str, *, classes: int, size: int | tuple[int, int], channels: int = 3, **options) -> nn.Module:
    spec = SPECS[name]
    return build(
        num_classes=classes,
        image_size=(size, size) if isinstance(size, int) else size,
        in_channels=channels,
        **spec.arguments,
        **{**spec.defaults, **options},
    )


def parameter_count(block: str, depths: Sequence[int], *, width: int, channels: int, classes: int, stem: str) -> int:
    """Count by tables 1 and 6 of the paper: k * k * in * out for a convolution, 2 per channel of a batch norm."""
    expansion = {"basic": 1, "bottleneck": 4}[block]
    total = ({"imagenet": 49, "cifar": 9}[stem] * channels + 2) * width
    before = width
    for stage, depth in enumerate(depths):
        c = width * 2**stage
        after = expansion * c
        if block == "basic":
            total += depth * (18 * c * c + 4 * c) + 9 * (before - after) * c
        else:
            total += depth * (17 * c * c + 12 * c) + (before - after) * c
        if before != after:
            total += (before + 2) * after
        before = after
    return total + (before + 1) * classes


@pytest.mark.parametrize(
    ("name", "size", "classes", "expected", "stem"),
    [
        ("resnet18", 224, 1000, 11_689_512, "imagenet"),
        ("resnet34", 224, 1000, 21_797_672, "imagenet"),
        ("resnet50", 224, 1000, 25_557_032, "imagenet"),
        ("resnet18", 32, 10, 11_173_962, "cifar"),
        ("resnet34", 32, 10, 21_282_122, "cifar"),
        ("resnet50", 32, 10, 23_520_842, "cifar"),
    ],
)
def test_parameter_counts_and_stem(name, size, classes, expected, stem):
    with torch.device("meta"):
        model = resnet(name, classes=classes, size=size)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    assert parameter_count(**DEPTHS[name], width=64, channels=3, classes=classes, stem=stem) == expected
    assert model.facts == {"stem": stem}


@pytest.mark.parametrize(
    ("width", "channels", "classes", "size", "stem"), [(16, 1, 10, 8, "cifar"), (24, 2, 7, 64, "imagenet")]
)
@pytest.mark.parametrize("name", SPECS)
def test_parameter_counts_follow_the_sizes(name, width, channels, classes, size, stem):
    with torch.device("meta"):
        model = resnet(name, classes=classes, size=size, channels=channels, width=width)
    expected = parameter_count(**DEPTHS[name], width=width, channels=channels, classes=classes, stem=stem)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.mark.parametrize(("size", "stem"), [(63, "cifar"), (64, "imagenet")])
def test_stem_follows_the_size(size, stem):
    model = resnet("resnet18", classes=3, size=size, channels=1, width=4).eval()
    assert model.facts["stem"] == stem
    images = torch.randn(2, 1, size, size)
    before_layer1 = [name for name, _ in model.named_children()].index("layer1")
    side = model[:before_layer1](images).shape[-1]
    assert side == (size if stem == "cifar" else size // 4)
    assert model(images).shape == (2, 3)


@pytest.mark.parametrize("name", SPECS)
def test_logits_equal_torchvision_s(name):
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)(num_classes=10)
    for key, tensor in theirs.state_dict().items():
        if "running" in key:
            tensor.uniform_(0.5, 1.5)
        elif ".bn" in key or "downsample.1" in key:
            tensor.copy_(tensor + 0.1 * torch.randn_like(tensor.float()))
    ours = resnet(name, classes=10, size=64)
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected, logits = theirs.eval()(images), ours.eval()(images)
    assert expected.std() > 0
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


def test_torchvision_checkpoint_loads(tmp_path):
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=10)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    ours = resnet("resnet18", classes=10, size=64, checkpoint=str(tmp_path / "resnet18.pth"))
    assert torch.equal(ours.fc.weight, theirs.fc.weight)


def test_bad_width():
    with pytest.raises(UsageError, match="width must be at least 1, not 0"):
        resnet("resnet18", classes=10, size=32, width=0)


@pytest.mark.parametrize(("size", "stem"), [((63, 200), "cifar"), ((200, 63), "cifar")])
def test_the_shorter_side_chooses_the_stem(size, stem):
    with torch.device("meta"):
        assert resnet("resnet18", classes=3, size=size, width=8).facts == {"stem": stem}
