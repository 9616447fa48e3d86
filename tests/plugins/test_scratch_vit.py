"""The plain Vision Transformer: weights, logits and sizes are timm's; what it refuses."""

from __future__ import annotations

import pytest
import timm
import torch
import vitbench_scratch
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import nn
from vitbench_scratch.vit import Attention, VisionTransformer, build
from vitbench_scratch.weights import interpolated

from vitbench.errors import UnusableError, UsageError
from vitbench.training.card import Card, save_weights

pytestmark = pytest.mark.compute


OPTIONS = {spec.name: dict(spec.defaults) for spec in vitbench_scratch.vitbench_models() if spec.name.startswith("vit")}
SMALL = {"patch_size": 4, "depth": 3, "width": 48, "heads": 4, "mlp_ratio": 2.0, "dropout": 0.1, "drop_path": 0.0}


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def closed_form(*, classes: int, size: int, channels: int, patch: int, depth: int, width: int, hidden: int) -> int:
    tokens = (size // patch) ** 2 + 1
    embedding = patch**2 * channels * width + width + tokens * width + width
    block = 4 * (width**2 + width) + 2 * width * hidden + hidden + width + 4 * width
    return embedding + depth * block + 2 * width + width * classes + classes


@pytest.mark.parametrize(
    ("name", "size", "classes", "expected"),
    [
        ("vit-tiny", 224, 1000, 5_717_416),
        ("vit-small", 224, 1000, 22_050_664),
        ("vit-base", 224, 1000, 86_567_656),
        ("vit-small-cifar", 32, 10, 2_697_610),
        ("vit-p8-d12", 32, 10, 19_049_994),
        ("vit-p4-d12", 32, 10, 19_000_842),
        ("vit-p4-d8", 32, 10, 12_688_906),
    ],
)
def test_parameter_counts(name, size, classes, expected):
    options = OPTIONS[name]
    with torch.device("meta"):
        model = build(num_classes=classes, image_size=(size, size), in_channels=3, **options)
    assert num_parameters(model) == expected
    assert expected == closed_form(
        classes=classes,
        size=size,
        channels=3,
        patch=options["patch_size"],
        depth=options["depth"],
        width=options["width"],
        hidden=int(options["width"] * options["mlp_ratio"]),
    )


@pytest.mark.parametrize(("name", "expected"), [("vit-tiny", 5_362_762), ("vit-small", 21_342_346)])
def test_parameter_counts_at_32_pixels(name, expected):
    with torch.device("meta"):
        model = build(num_classes=10, image_size=(32, 32), in_channels=3, **{**OPTIONS[name], "patch_size": 4})
    assert num_parameters(model) == expected


def scrambled(model: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def timm_twin() -> TimmVisionTransformer:
    return TimmVisionTransformer(
        img_size=32, patch_size=4, in_chans=3, num_classes=10, embed_dim=48, depth=3, num_heads=4, mlp_ratio=2.0
    )


def test_weights_interchange_with_timm():
    ours = VisionTransformer(num_classes=10, image_size=(32, 32), in_channels=3, **SMALL)
    images = torch.randn(5, 3, 32, 32)
    for source, target in ((ours, timm_twin()), (timm_twin(), ours)):
        scrambled(source)
        target.load_state_dict(source.state_dict())  # strict: every name and shape agrees
        with torch.inference_mode():
            expected, logits = source(images), target.eval()(images)
        assert expected.std() > 0.1
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_rectangles_of_four_channels_give_timm_s_logits():
    theirs = scrambled(
        TimmVisionTransformer(
            img_size=(16, 32),
            patch_size=4,
            in_chans=4,
            num_classes=10,
            embed_dim=48,
            depth=3,
            num_heads=4,
            mlp_ratio=2.0,
        )
    )
    ours = VisionTransformer(num_classes=10, image_size=(16, 32), in_channels=4, **SMALL).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(3, 4, 16, 32)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((32, 30), "does not divide the input of 32x30 pixels: use one of 1, 2, or an image_size that it divides$"),
        ((30, 32), "of 30x32 pixels"),
    ],
)
def test_the_patch_must_divide_both_sides(size, message):
    with pytest.raises(UsageError, match=message):
        VisionTransformer(num_classes=10, image_size=size, in_channels=3, **SMALL)


@pytest.mark.parametrize("name", ["vit-tiny", "vit-small", "vit-base"])
def test_named_sizes_are_timm_s(name):
    with torch.device("meta"):
        ours = build(num_classes=1000, image_size=(224, 224), in_channels=3, **OPTIONS[name])
        theirs = timm.create_model(name.replace("-", "_") + "_patch16_224")
    shapes = [{key: tensor.shape for key, tensor in model.state_dict().items()} for model in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert ours.blocks[0].attn.heads == theirs.blocks[0].attn.num_heads


def test_attention_is_scaled_dot_product_attention():
    torch.manual_seed(0)
    width, heads = 24, 3
    attention = Attention(width, heads)
    x = torch.randn(2, 5, width)
    q, k, v = attention.qkv(x).split(width, dim=-1)
    outputs = []
    for head in range(heads):
        part = slice(head * width // heads, (head + 1) * width // heads)
        scores = q[..., part] @ k[..., part].transpose(1, 2) / (width / heads) ** 0.5
        outputs.append(scores.softmax(dim=-1) @ v[..., part])
    expected = attention.proj(torch.cat(outputs, dim=-1))
    torch.testing.assert_close(attention(x), expected, rtol=1e-5, atol=1e-6)


def test_tokens_without_positions_are_a_set():
    """Only the positions tell patches apart: without them, shuffled patches give the same logits."""
    model = scrambled(VisionTransformer(num_classes=10, image_size=(16, 16), in_channels=3, **SMALL))
    images = torch.randn(2, 3, 16, 16)
    shuffled = torch.cat([images[:, :, 8:], images[:, :, :8]], dim=2)
    with torch.inference_mode():
        assert not torch.allclose(model(shuffled), model(images), atol=1e-3)
        model.pos_embed.zero_()
        torch.testing.assert_close(model(shuffled), model(images), rtol=0, atol=1e-4)


def test_tokens_are_normalised_and_the_head_reads_the_first():
    model = scrambled(VisionTransformer(num_classes=10, image_size=(32, 32), in_channels=1, **SMALL))
    images = torch.randn(2, 1, 32, 32)
    with torch.inference_mode():
        tokens = model.tokens(images)
        assert tokens.shape == (2, 65, 48)
        assert torch.equal(model.head(tokens[:, 0]), model(images))


def test_initial_values():
    torch.manual_seed(0)
    model = build(num_classes=10, image_size=(224, 224), in_channels=3, **OPTIONS["vit-tiny"])
    assert not model.head.weight.any()
    assert model.pos_embed.std().item() == pytest.approx(0.02, rel=0.02)
    for projection in model.blocks[0].attn.qkv.weight.chunk(3):
        assert projection.std().item() == pytest.approx((2 / (192 + 192)) ** 0.5, rel=0.02)
    assert model.blocks[0].mlp.fc1.weight.std().item() == pytest.approx((2 / (192 + 768)) ** 0.5, rel=0.02)
    assert model.patch_embed.proj.weight.std().item() == pytest.approx(768**-0.5, rel=0.02)


def test_dropout_works_in_training_only():
    model = scrambled(VisionTransformer(num_classes=10, image_size=(32, 32), in_channels=3, **SMALL)).train()
    images = torch.randn(2, 3, 32, 32)
    assert not torch.equal(model(images), model(images))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 5}, r"patch_size 5 does not divide .* 32 pixels: use one of 1, 2, 4, 8, 16, 32"),
        ({"patch_size": 0}, "patch_size 0"),
        ({"patch_size": 64}, "patch_size 64"),
        ({"heads": 5}, "5 does not divide 48"),
        ({"heads": 0}, "0 does not divide 48"),
        ({"depth": 0}, "depth must be at least 1, not 0"),
        ({"dropout": 1.0}, r"dropout must be at least 0 and below 1, not 1.0"),
        ({"dropout": -0.1}, r"dropout .* not -0.1"),
        ({"mlp_ratio": 0.0}, "mlp_ratio must give at least one hidden unit"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UsageError, match=message):
        build(num_classes=10, image_size=(32, 32), in_channels=3, checkpoint="", head="own", **{**SMALL, **options})


def test_checkpoint_of_another_size_is_refused(tmp_path):
    torch.save(timm_twin().state_dict(), tmp_path / "deep.pt")
    with pytest.raises(UnusableError, match=r"12 unexpected \(first: blocks.2.norm1.weight\)"):
        build(
            num_classes=10,
            image_size=(32, 32),
            in_channels=3,
            checkpoint=str(tmp_path / "deep.pt"),
            head="own",
            **{**SMALL, "depth": 2},
        )


@pytest.mark.parametrize(("given", "wanted"), [((4, 4), (7, 5)), ((8, 4), (4, 4)), ((4, 4), (2, 6))])
def test_positions_are_interpolated_as_timm_does_it(given, wanted):
    positions = torch.randn(1, 1 + given[0] * given[1], 8)
    theirs = timm.layers.resample_abs_pos_embed(positions, list(wanted), list(given), num_prefix_tokens=1)
    torch.testing.assert_close(interpolated(positions, given, wanted, 1), theirs, rtol=0, atol=0)


def test_a_checkpoint_of_images_of_another_size_keeps_all_but_its_positions(tmp_path):
    asked = {"num_classes": 10, "in_channels": 3, "head": "own", **SMALL}
    small = build(image_size=(32, 32), checkpoint="", **asked)
    torch.save({"module." + name: tensor for name, tensor in small.state_dict().items()}, tmp_path / "small.pt")
    wide = build(image_size=(32, 64), checkpoint=str(tmp_path / "small.pt"), **asked)
    assert wide.facts["positions"] == "interpolated from 8x8 to 8x16"
    torch.testing.assert_close(wide.pos_embed.data, interpolated(small.pos_embed.data, (8, 8), (8, 16), 1))
    assert torch.equal(wide.blocks[0].attn.qkv.weight, small.blocks[0].attn.qkv.weight)
    save_weights(wide, tmp_path / "wide.safetensors", Card(image_size=(32, 64)))
    back = build(image_size=(32, 32), checkpoint=str(tmp_path / "wide.safetensors"), **asked)
    assert back.facts["positions"] == "interpolated from 8x16 to 8x8", "the file says that its images were no squares"
    same = build(image_size=(32, 64), checkpoint=str(tmp_path / "wide.safetensors"), **asked)
    assert torch.equal(same.pos_embed, wide.pos_embed)
    assert not getattr(same, "facts", {})
    torch.save(wide.state_dict(), tmp_path / "unsaid.pt")
    with pytest.raises(UnusableError, match="does not fit the model: pos_embed is 1x129x48"):
        build(image_size=(32, 32), checkpoint=str(tmp_path / "unsaid.pt"), **asked)
