"""Tokens of Vision Transformers: by a model's own method and by timm's names, some replaced, some left out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from vitbench_scratch.vit import build

from vitbench.errors import UsageError
from vitbench.training import TokenLayout, token_layout, tokens

SIZES: dict[str, Any] = {"patch_size": 2, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 3}
OWN: dict[str, Any] = {"patch_size": 2, "width": 16, "depth": 2, "heads": 2, "num_classes": 3, "mlp_ratio": 2.0}
OWN |= {"image_size": (8, 12), "in_channels": 3, "dropout": 0.0, "drop_path": 0.0, "checkpoint": "", "head": "own"}
KINDS = {
    "own": (
        lambda: build(**OWN),
        1,
    ),
    "timm": (lambda: VisionTransformer(img_size=(8, 12), **SIZES), 1),
    "registers": (lambda: VisionTransformer(img_size=(8, 12), reg_tokens=2, no_embed_class=True, **SIZES), 3),
    "no class token": (lambda: VisionTransformer(img_size=(8, 12), class_token=False, global_pool="avg", **SIZES), 0),
    "a grid": (lambda: VisionTransformer(img_size=(8, 12), dynamic_img_size=True, pre_norm=True, **SIZES), 1),
    "distilled": (lambda: VisionTransformerDistilled(img_size=(8, 12), **SIZES), 2),
}
EACH = pytest.mark.parametrize("kind", KINDS)


def images() -> Tensor:
    return torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(1))


def model_of(kind: str) -> nn.Module:
    torch.manual_seed(0)
    model = KINDS[kind][0]()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model.eval()


@EACH
def test_the_layout_is_told_nothing_changes_and_all_tokens_are_those_of_the_model(kind: str) -> None:
    model, prefix = model_of(kind).train(), KINDS[kind][1]
    before = torch.get_rng_state()
    assert token_layout(model, image_size=(8, 12), in_channels=3) == TokenLayout(prefix=prefix, grid=(4, 6), width=16)
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)

    model = model_of(kind)
    found = tokens(model, images())
    if kind == "own":
        assert torch.equal(found[:, 0], model.features(images()))
    else:
        assert torch.equal(found, model.forward_features(images()))


@EACH
def test_patches_that_are_kept_keep_their_places_and_the_others_have_no_influence(kind: str) -> None:
    model, prefix = model_of(kind), KINDS[kind][1]
    whole = tokens(model, images())
    every = torch.arange(24).flip(0).expand(2, -1)
    back = tokens(model, images(), keep=every)
    torch.testing.assert_close(back[:, :prefix], whole[:, :prefix])
    torch.testing.assert_close(back[:, prefix:], whole[:, prefix:].flip(1))
    keep = torch.tensor([[3, 0, 7], [5, 23, 1]])
    some = tokens(model, images(), keep=keep)
    assert some.shape == (2, prefix + 3, 16)
    changed = images()
    changed[:, :, 6:, 4:6] += 1  # patch 20, which nobody keeps
    assert torch.equal(tokens(model, changed, keep=keep), some)
    assert not torch.equal(tokens(model, changed), whole)


@EACH
def test_embeddings_are_replaced_before_positions_are_added(kind: str) -> None:
    model, seen = model_of(kind), []

    def zeroed(patches: Tensor) -> Tensor:
        seen.append(patches.shape)
        return torch.zeros_like(patches)

    one, other = tokens(model, images(), replace=zeroed)
    assert seen == [(2, 24, 16)]
    assert torch.equal(one, other), "nothing of the images is left"
    assert one.unique(dim=0).shape[0] == len(one), "positions are"


class OfAnotherKind(VisionTransformer):
    """It has all of the names, and does more than what they say."""

    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x).roll(1, dims=2)


class Plain(nn.Linear):
    def tokens(self, images: Tensor) -> Tensor:
        return images


def with_other_blocks() -> nn.Module:
    model = VisionTransformer(img_size=(8, 12), **SIZES)
    model.blocks[0].forward = lambda x, rotation: x
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            lambda: nn.Conv2d(3, 4, 1),
            "Conv2d has no tokens of patches: it has neither a method tokens nor patch_e",
        ),
        (lambda: OfAnotherKind(img_size=(8, 12), **SIZES), "OfAnotherKind computes more than its patch_embed"),
        (lambda: Plain(1, 1), "the method tokens of Plain takes no replace"),
        (with_other_blocks, "VisionTransformer gives no tokens of patches: .*rotation"),
        (
            lambda: VisionTransformer(img_size=(8, 8), dynamic_img_size=True, **SIZES),
            "has 17 positions, and images of 8x12 pixels have 24 patches: build it for that image_size",
        ),
    ],
)
def test_a_model_without_such_tokens_is_refused_in_words(model: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        token_layout(model(), image_size=(8, 12), in_channels=3)
