"""Attribution: equal to what the rule gives by hand, and of models as they come."""

from __future__ import annotations

from typing import Any

import factories
import numpy as np
import pytest
import timm
import torch
from figures import digits, figure_subject
from torch import Tensor, nn
from vitbench_figures import attention, rollout
from vitbench_figures.attribution import draw, relevance
from vitbench_scratch.resnet9 import build as resnet9
from vitbench_scratch.vit import VisionTransformer

import vitbench
from vitbench.errors import Skip, UsageError
from vitbench.figures import FigureSubject, Grid


class TwoLayers(nn.Module):
    """A token before 2x2 pixels, two layers of two heads whose attention is a table, and a readout of some tokens."""

    def __init__(self, readout: list[float]) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(1)
        self.tables = nn.ParameterList([torch.randn(1, 2, 5, 5, generator=random) for _ in range(2)])
        self.readout = nn.Parameter(torch.tensor(readout))
        self.head = nn.Parameter(torch.tensor([-1.5, 2.0]))

    def forward(self, images: Tensor) -> Tensor:
        x = torch.cat([torch.full((len(images), 1), 0.7), images.flatten(1)], 1)
        for table in self.tables:
            weights = table.expand(len(images), -1, -1, -1).softmax(dim=-1)
            x = x + (weights @ x[:, None, :, None]).mean(1)[..., 0]
        return (x @ self.readout)[:, None] * self.head


@pytest.mark.parametrize("readout", [[1.0, 0, 0, 0, 0], [0, 0.25, 0.25, 0.25, 0.25]])
def test_relevance_is_what_the_rule_gives_by_hand(readout: list[float]) -> None:
    model = TwoLayers(readout)
    images, targets = torch.tensor([[[[0.3, -1.0], [2.0, 0.1]]], [[[-0.5, 0.4], [0.2, 1.0]]]]), torch.tensor([1, 0])
    found = relevance(figure_subject(model, image_size=(2, 2)), images, targets).numpy()
    first, second = (table.detach().softmax(-1)[0].double().numpy() for table in model.tables)  # [2, 5, 5]
    for place in range(2):
        slope = float(model.head[targets[place]].detach())
        x = np.concatenate([[0.7], images[place].flatten().double().numpy()])
        middle = x + first.mean(0) @ x
        read = np.array(readout)
        of_second = slope * read[:, None] * middle / 2  # dy/dA of each head: half of it, since heads are averaged
        of_first = slope * (read + second.mean(0).T @ read)[:, None] * x / 2
        joint = np.eye(5)
        for weights, gradient in ((first, of_first), (second, of_second)):
            joint = joint + np.maximum(gradient * weights, 0).mean(0) @ joint
        assert found[place].ravel() == pytest.approx((joint - np.eye(5))[read > 0].mean(0)[1:], rel=1e-5)


def vit(seed: int = 0, image_size: tuple[int, int] = (8, 8)) -> VisionTransformer:
    torch.manual_seed(seed)
    model = VisionTransformer(num_classes=10, image_size=image_size, in_channels=1, **SIZES)
    nn.init.normal_(model.head.weight)
    return model.eval()


SIZES: dict[str, Any] = {
    name: value for name, value in factories.SMALL_VIT.items() if name not in ("checkpoint", "head")
} | {"patch_size": 2, "depth": 2}


def subject_of(model: nn.Module) -> FigureSubject:
    return figure_subject(model, fresh=vit, resized=lambda height, width: vit(0, (height, width)))


def test_the_figure_shows_each_picture_with_its_map_and_the_tests_and_leaves_the_model_as_it_is() -> None:
    model = vit()
    model.blocks[0].requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    asked = [each.requires_grad for each in model.parameters()]
    found = list(draw(subject_of(model), target="class 3", images=4))
    names = [one.name for one in found if isinstance(one, vitbench.Measurement)]
    assert names == [
        *("deletion", "deletion_random", "deletion_fill", "deletion_minus_random", "deletion_minus_fill"),
        *("rank_correlation", "pointing"),
    ]
    grid = next(one for one in found if isinstance(one, Grid))
    assert grid.columns == 4
    assert "what speaks for class 3" in grid.title
    shown = [tile.values for tile in grid.tiles[4:] if tile is not None and tile.values is not None]
    assert {values.shape for values in shown} == {(4, 4)}
    assert {float(values.max()) for values in shown} == {1.0}
    assert "(4 images" in grid.note
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert not any(module.training or module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert [each.requires_grad for each in model.parameters()] == asked
    assert all(each.grad is None for each in model.parameters())


def test_rollout_and_raw_attention_are_tested_too_but_for_pointing() -> None:
    figures = (
        rollout.draw(subject_of(vit()), layer=0, images=4),
        attention.draw(subject_of(vit()), layer=0, head=2, images=4),
    )
    for figure in figures:
        found = list(figure)
        names = {one.name for one in found if isinstance(one, vitbench.Measurement)}
        assert names > {"deletion", "deletion_random", "deletion_fill", "rank_correlation"}
        assert "pointing" not in names
        last = [one for one in found if isinstance(one, Grid)][-1]
        assert "no pointing score" in last.note


def test_a_head_that_averages_the_patches_reads_all_of_them() -> None:
    model = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=32,
        patch_size=8,
        num_classes=10,
        global_pool="avg",
        class_token=False,
        reg_tokens=2,
        depth=2,
    )
    nn.init.normal_(model.get_classifier().weight)
    subject = figure_subject(model, image_size=(32, 32), in_channels=3)
    found = relevance(subject, subject.inputs([digits().images[0]]), torch.tensor([3]))
    assert found.shape == (1, 4, 4)
    assert found.min() < found.max() / 2, "the patches' own share, the same for each, is left out"


def test_a_model_without_attention_between_the_same_patches_is_skipped_in_one_line() -> None:
    plain = resnet9(num_classes=10, image_size=(8, 8), in_channels=1, width=4, checkpoint="", head="own")
    swin = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=32, window_size=4, embed_dim=12, depths=(1, 1), num_heads=(1, 1)
    )
    compiled = nn.Module()
    compiled._orig_mod = vit()  # as torch.compile calls it
    for model, size, reason in (
        (plain, (8, 8), "no attention that can be recorded"),
        (compiled, (8, 8), "a compiled model cannot be recorded"),
        (swin, (32, 32), "layer 1 .* attends within windows"),
    ):
        subject = figure_subject(model, image_size=size, in_channels=3 if size == (32, 32) else 1)
        with pytest.raises(Skip, match=reason):
            list(draw(subject, target="", images=4))


@pytest.mark.parametrize("target", ["class 11", "10", "-1"])
def test_an_unknown_class_is_refused_in_one_line(target: str) -> None:
    with pytest.raises(UsageError, match=f'no class "{target}".* Classes are numbered 0 to 9, or called class 0'):
        list(draw(subject_of(vit()), target=target, images=0))
