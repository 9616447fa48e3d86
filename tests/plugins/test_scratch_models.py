"""What the models of the plugin have in common: shapes, checkpoints, heads; the rest is in test_conformance.py."""

from __future__ import annotations

import pytest
import torch
import vitbench_scratch
from safetensors.torch import save_file
from torch import nn
from vitbench_scratch.drop_path import DropPath

from vitbench.errors import UnusableError, UsageError
from vitbench.specs import ModelSpec, load_target

pytestmark = pytest.mark.compute


SPECS = {spec.name: spec for spec in vitbench_scratch.vitbench_models()}
ALL = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
TRAINED = pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("vit", {"depth": 2, "width": 32, "heads": 4, "patch_size": 8, "dropout": 0.2, "drop_path": 0.2}, 32),
        ("vit2d", {"depth": 2, "width": 32, "stem": "conv", "position": "relative"}, 8),
        ("resnet18", {"width": 8, "drop_path": 0.2}, 8),
        ("resnet34", {"width": 4}, 64),
        ("resnet50", {"width": 4}, 32),
        ("resnet9", {"width": 4}, 8),
        ("hybrid", {"depth": 1, "width": 32, "heads": 4, "frozen": False, "patch_size": 4}, 64),
        ("hybrid-cifar", {"depth": 2, "width": 32, "heads": 4, "stem_width": 8}, 8),
        ("hybrid-cifar", {"depth": 1, "width": 32, "heads": 4, "stem_width": 8, "stem_blocks": 0}, 32),
    ],
)


def build(
    spec: ModelSpec, *, num_classes: int = 10, size: int | tuple[int, int] = 32, channels: int = 3, **options
) -> nn.Module:
    offline = {"pretrained": False} if "pretrained" in spec.defaults else {}
    return load_target(spec.build)(
        num_classes=num_classes,
        image_size=(size, size) if isinstance(size, int) else size,
        in_channels=channels,
        **spec.arguments,
        **{**spec.defaults, **offline, **options},
    )


@ALL
def test_builds_without_memory_at_its_own_size(spec):
    size = spec.input_size or (32, 32)
    with torch.device("meta"):
        model = build(spec, size=size).eval()
        assert model(torch.empty(2, 3, *size)).shape == (2, 10)


@pytest.mark.parametrize("name", ["vit", "vit2d", "resnet18", "hybrid-cifar", "hybrid"])
@pytest.mark.parametrize(("channels", "size"), [(1, (16, 32)), (4, (96, 64))])
def test_rectangles_of_any_channels_are_taken(name, channels, size):
    patch = {"patch_size": 8} if name == "hybrid" else {}
    height, width = (4 * side for side in size) if name == "hybrid" else size  # its stem makes a quarter of them
    with torch.device("meta"):
        model = build(SPECS[name], size=(height, width), channels=channels, **patch).eval()
        assert model(torch.empty(2, channels, height, width)).shape == (2, 10)


@TRAINED
def test_a_checkpoint_is_the_whole_model_and_gets_a_new_head_of_zeros_where_that_is_asked_for(
    name, options, size, tmp_path
):
    path = str(tmp_path / "model.safetensors")
    model = build(SPECS[name], size=size, num_classes=5, **options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    save_file(model.state_dict(), path)
    again = build(SPECS[name], size=size, num_classes=5, **options, checkpoint=path)
    images = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        assert torch.equal(model.eval()(images), again.eval()(images))
    with pytest.raises(UnusableError, match="has a head for 5 classes, but the data has 3; head=new makes a new head"):
        build(SPECS[name], size=size, num_classes=3, **options, checkpoint=path)
    state = build(SPECS[name], size=size, num_classes=3, **options, checkpoint=path, head="new").state_dict()
    new = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, state[key])}
    assert {len(state[key]) for key in new} == {3}
    assert not any(state[key].any() for key in new)


@pytest.mark.parametrize("name", ["vit", "hybrid-cifar"])
def test_initial_loss_is_that_of_a_guess(name):
    model = build(SPECS[name], num_classes=7, size=8)
    loss = nn.functional.cross_entropy(model(torch.randn(4, 3, 8, 8)), torch.tensor([0, 3, 6, 1]))
    assert loss.item() == pytest.approx(torch.tensor(7.0).log().item(), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [("vit", {"depth": 3, "width": 8, "heads": 2}), ("vit2d", {"depth": 3, "width": 8}), ("resnet18", {"width": 4})],
)
def test_drop_path_rises_with_the_depth_and_rests_in_eval(name, options):
    model = build(SPECS[name], size=8, drop_path=0.5, **options)
    drops = [module for module in model.modules() if isinstance(module, DropPath)]
    assert drops[0].probability == 0
    assert drops[-1].probability == 0.5
    assert [each.probability for each in drops] == sorted(each.probability for each in drops)
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(model.eval()(images), model(images))
    with pytest.raises(UsageError, match="drop_path must be at least 0 and below 1, not 1"):
        build(SPECS[name], size=8, drop_path=1, **options)


def test_a_dropped_path_is_an_images_own_and_its_mean_stays():
    torch.manual_seed(0)
    dropped = DropPath(0.25)(torch.ones(4000, 2, 3))
    assert torch.equal(dropped, dropped[:, :1, :1].expand_as(dropped))  # a whole image at a time
    torch.testing.assert_close(dropped.unique(), torch.tensor([0, 4 / 3]))
    assert dropped.mean().item() == pytest.approx(1, abs=0.03)


def test_resnet9_has_the_parameters_of_its_source_and_needs_eight_pixels():
    with torch.device("meta"):
        model = build(SPECS["resnet9"])
    assert sum(parameter.numel() for parameter in model.parameters()) == 6_573_120
    with pytest.raises(UsageError, match="needs at least 8 pixels"):
        build(SPECS["resnet9"], size=(8, 7))
