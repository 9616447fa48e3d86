"""Saliency: class activation maps equal to what they are by hand, and of models as they come."""

from __future__ import annotations

import pytest
import timm
import torch
from figures import digits, figure_subject
from torch import Tensor, nn
from vitbench_figures.saliency import activation_map, draw, last_layer
from vitbench_scratch.resnet9 import build
from vitbench_scratch.vit import VisionTransformer

import vitbench
from vitbench.errors import Skip, UsageError
from vitbench.figures import Grid


class OneChannel(nn.Module):
    """A convolution of three channels, and a head that reads the mean of the second alone, for class 1."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(3, 2, bias=False)
        self.head.weight.data = torch.tensor([[0.0, 0, 0], [0, 2, 0]])

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.pool(self.features(images)).flatten(1))


@pytest.mark.parametrize("method", ["gradcam", "layercam"])
def test_the_map_of_a_head_that_reads_one_channel_is_that_channel(method: str) -> None:
    model = OneChannel().requires_grad_(False)
    subject = figure_subject(model)
    assert last_layer(subject) == "features"
    inputs = subject.inputs([digits().images[row] for row in range(3)])
    found = activation_map(subject, inputs, torch.tensor([1, 1, 0]), method=method, layer="features")
    channel = model.features(inputs)[:, 1] * 2 / 64  # the gradient of the mean of 8x8 places, times the weight
    assert found[:2].allclose(channel[:2])
    assert found[2].eq(0).all(), "the head of class 0 reads nothing"


def resnet9(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build(num_classes=10, image_size=(8, 8), in_channels=1, width=4, checkpoint="", head="own").eval()


@pytest.mark.parametrize(("method", "title"), [("gradcam", "Grad-CAM"), ("layercam", "LayerCAM")])
def test_the_figure_shows_maps_and_tests_and_leaves_the_model_as_it_is(method: str, title: str) -> None:
    model = resnet9()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    subject = figure_subject(model, fresh=resnet9, resized=lambda height, width: resnet9())
    found = list(draw(subject, method=method, layer="", target="", images=4))
    assert {"deletion", "rank_correlation", "pointing"} <= {
        one.name for one in found if isinstance(one, vitbench.Measurement)
    }
    grid = next(one for one in found if isinstance(one, Grid))
    assert grid.title.startswith(f"{title} of ")
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert not any(module.training or module._forward_hooks for module in model.modules())
    assert all(each.requires_grad and each.grad is None for each in model.parameters())


def test_what_gives_no_maps_is_skipped_in_one_line() -> None:
    sizes = {"patch_size": 2, "depth": 1, "width": 8, "heads": 1, "mlp_ratio": 1.0, "dropout": 0.0, "drop_path": 0.0}
    vit = VisionTransformer(num_classes=10, image_size=(8, 8), in_channels=1, **sizes)  # type: ignore[arg-type]
    for model, reason in (
        (vit, "the model has attention"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "no layer of the model gives a map of at least 4x4 positions"),
    ):
        with pytest.raises(Skip, match=reason):
            list(draw(figure_subject(model), method="gradcam", layer="", target="", images=4))


@pytest.mark.parametrize(
    ("layer", "reason"), [("layer9", 'the model has no layer "layer9"'), ("fc", 'the layer "fc" gives no map')]
)
def test_a_layer_that_gives_no_map_is_refused_in_one_line(layer: str, reason: str) -> None:
    model = nn.Sequential()
    model.add_module("conv", nn.Conv2d(1, 2, 3))
    model.add_module("flatten", nn.Flatten())
    model.add_module("fc", nn.Linear(72, 10))
    with pytest.raises(UsageError, match=reason):
        list(draw(figure_subject(model), method="layercam", layer=layer, target="", images=0))


@pytest.mark.compute
@pytest.mark.parametrize(
    ("name", "layer"), [("resnet18", "layer3"), ("convnext_atto", "stages.2"), ("efficientnet_b0", "blocks.4")]
)
def test_the_last_map_of_timms_networks(name: str, layer: str) -> None:
    subject = figure_subject(timm.create_model(name, num_classes=10), image_size=(64, 64), in_channels=3)
    assert last_layer(subject) == layer
    found = activation_map(subject, torch.randn(1, 3, 64, 64), torch.tensor([2]), method="layercam", layer=layer)
    assert found.shape[-1] >= 4
