"""A residual stem before a Vision Transformer: sizes, frozen stems, and where their weights come from."""

from __future__ import annotations

import pytest
import timm
import torch
import vitbench_scratch
from torch import nn
from vitbench_scratch import hybrid, resnet
from vitbench_scratch.hybrid import Hybrid

from vitbench.errors import UnusableError, UsageError

pytestmark = pytest.mark.compute


SPECS = {spec.name: spec for spec in vitbench_scratch.vitbench_models() if spec.name.startswith("hybrid")}
STEM_PARAMETERS = 64 * 3 * 49 + 128 + 3 * (2 * 64 * 64 * 9 + 2 * 128)


def study_hybrid(**options) -> Hybrid:
    options = {"depth": 1, "width": 32, "heads": 4, "patch_size": 4, "pretrained": False, **options}
    return hybrid.build(num_classes=10, image_size=(64, 64), in_channels=3, **{**SPECS["hybrid"].defaults, **options})


def resnet34(**kwargs) -> nn.Module:
    torch.manual_seed(5)
    return timm.create_model("resnet34", pretrained=False, **kwargs)


def test_parameter_count_of_the_study_s_size():
    with torch.device("meta"):
        model = hybrid.build(
            num_classes=10, image_size=(224, 224), in_channels=3, **{**SPECS["hybrid"].defaults, "pretrained": False}
        )
        features = model.eval().stem(torch.empty(1, 3, 224, 224))
        assert model.tokens(torch.empty(1, 3, 224, 224)).shape == (1, 65, 512)
        assert model.features(torch.empty(1, 3, 224, 224)).shape == (1, 512)
    assert features.shape == (1, 64, 56, 56)
    block = 4 * (512**2 + 512) + 2 * 512 * 512 + 512 + 512 + 4 * 512
    vit = 7 * 7 * 64 * 512 + 512 + 65 * 512 + 512 + 12 * block + 2 * 512 + 512 * 10 + 10
    assert sum(parameter.numel() for parameter in model.stem.parameters()) == STEM_PARAMETERS == 231_488
    assert sum(parameter.numel() for parameter in model.vit.parameters()) == vit


def test_parameter_count_of_the_small_one():
    options = {**SPECS["hybrid-cifar"].defaults}
    model = hybrid.build_cifar(num_classes=10, image_size=(32, 32), in_channels=3, **options)
    stem = 64 * 3 * 9 + 128 + 2 * (2 * 64 * 64 * 9 + 2 * 128)
    block = 4 * (192**2 + 192) + 2 * 192 * 384 + 384 + 192 + 4 * 192
    vit = 4 * 4 * 64 * 192 + 192 + 65 * 192 + 192 + 6 * block + 2 * 192 + 192 * 10 + 10
    assert sum(parameter.numel() for parameter in model.parameters()) == stem + vit
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_frozen_stem_stays_as_it_is_through_training():
    torch.manual_seed(0)
    model = study_hybrid()
    model.vit.head.weight.data.normal_()
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.train()
    model(torch.randn(4, 3, 64, 64)).square().sum().backward()
    optimiser.step()
    assert model.vit.training
    assert not any(module.training for module in model.stem.modules())
    assert all(parameter.grad is None for parameter in model.stem.parameters())
    changed = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    assert not {key for key in changed if key.startswith("stem.")}
    assert "vit.patch_embed.proj.weight" in changed
    assert model.facts["stem_trained"] == "no"


def test_stem_trains_when_it_is_not_frozen():
    model = study_hybrid(frozen=False).train()
    before = model.stem.bn1.running_mean.clone()
    model(torch.randn(4, 3, 64, 64))
    assert not torch.equal(model.stem.bn1.running_mean, before)
    assert all(parameter.requires_grad for parameter in model.stem.parameters())


def test_resnet34_checkpoint_fills_the_stem(tmp_path):
    source = resnet34().eval()
    torch.save(source.state_dict(), tmp_path / "resnet34.pth")
    model = study_hybrid(checkpoint=str(tmp_path / "resnet34.pth")).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = source.layer1(source.maxpool(source.act1(source.bn1(source.conv1(images)))))
        torch.testing.assert_close(model.stem(images), expected, rtol=1e-5, atol=1e-5)
    assert model.facts["stem_weights"] == str(tmp_path / "resnet34.pth")


@pytest.mark.parametrize("frozen", [False, True])
def test_a_small_resnet_fills_the_small_stem(frozen, tmp_path):
    spec = next(spec for spec in vitbench_scratch.vitbench_models() if spec.name == "resnet18")
    data = {"num_classes": 10, "image_size": (8, 8), "in_channels": 3}
    source = resnet.build(**data, **spec.arguments, **spec.defaults | {"width": 4})
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    options = {"stem_width": 4, "frozen": frozen, "checkpoint": str(tmp_path / "resnet18.pth"), "depth": 1}
    model = hybrid.build_cifar(**data, **SPECS["hybrid-cifar"].defaults | options)
    assert torch.equal(model.stem.layer1[1].conv2.weight, source.layer1[1].conv2.weight)
    assert {parameter.requires_grad for parameter in model.stem.parameters()} == {not frozen}
    with pytest.raises(
        UnusableError, match=r"unexpected \(first: layer1.1.conv1.weight\) \(its stem is the stem and the"
    ):
        hybrid.build_cifar(**data, **SPECS["hybrid-cifar"].defaults | options | {"stem_blocks": 1})


def test_whole_checkpoint_fills_both(tmp_path):
    source = study_hybrid()
    source.vit.head.weight.data.normal_()
    torch.save(source.state_dict(), tmp_path / "hybrid.pth")
    model = study_hybrid(checkpoint=str(tmp_path / "hybrid.pth"))
    assert torch.equal(model.vit.head.weight, source.vit.head.weight)
    assert torch.equal(model.stem.conv1.weight, source.stem.conv1.weight)


def test_checkpoint_of_a_smaller_resnet_is_refused(tmp_path):
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(UnusableError, match=r"resnet18.pth .* missing \(first: layer1.2.conv1.weight\)"):
        study_hybrid(checkpoint=str(tmp_path / "resnet18.pth"))


def test_pretrained_stem_comes_from_timm(monkeypatch):
    source, asked = resnet34(), []
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: asked.append((name, pretrained)) or source)
    model = study_hybrid(pretrained=True)
    assert asked == [("resnet34.tv_in1k", True)]
    assert torch.equal(model.stem.layer1[2].conv2.weight, source.layer1[2].conv2.weight)
    assert model.facts["stem_weights"] == "timm/resnet34.tv_in1k"


def test_no_network_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UnusableError, match=r"timm/resnet34.tv_in1k\) could not be fetched .* or pretrained=false$"):
        study_hybrid(pretrained=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 3}, "patch_size 3 does not divide the input of 8 pixels"),
        ({"stem_width": 0}, "stem_width must be at least 1"),
        ({"stem_blocks": -1}, "stem_blocks at least 0, not 64 and -1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UsageError, match=message):
        hybrid.build_cifar(
            num_classes=10, image_size=(8, 8), in_channels=1, **{**SPECS["hybrid-cifar"].defaults, **options}
        )
