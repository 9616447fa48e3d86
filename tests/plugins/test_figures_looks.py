"""The figures of attention, on toys whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from figures import figure_subject
from torch import nn
from vitbench_figures import attention, distance, rollout

from vitbench.errors import UsageError
from vitbench.figures import Figure, FigureSubject, Grid, Points

SIDE, PATCH = 8, 4
UNIFORM = torch.zeros(5, 5)


class Attend(nn.Module):
    """Attention of given logits [N, N], in each of two heads."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given = self.logits.expand(len(x), 2, -1, -1)
        zero = torch.zeros(len(x), 2, x.shape[1], 1)
        return F.scaled_dot_product_attention(zero, zero, x[:, None].expand(-1, 2, -1, -1), attn_mask=given).mean(1)


class Toy(nn.Module):
    """Four patches, a class token where it is wanted, and layers of given logits."""

    def __init__(self, *layers: torch.Tensor, class_token: bool = True) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 6, PATCH, PATCH)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 6)) if class_token else None
        self.pos_embed = nn.Parameter(torch.randn(1, 4 + class_token, 6))
        self.layers = nn.ModuleList(map(Attend, layers))
        self.head = nn.Linear(6, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).mT
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        x = x + self.pos_embed
        for layer in self.layers:
            x = x + layer(x)
        return self.head(x[:, 0])


class Pooled(Toy):
    """Patches that a single query reads, with weights 1 to 4 in ten."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).mT
        for layer in self.layers:
            x = x + layer(x)
        bias = torch.arange(1.0, 5).log().expand(len(x), 1, 1, 4)
        return self.head(F.scaled_dot_product_attention(0 * x[:, None, :1], x[:, None], x[:, None], bias)[:, 0, 0])


def subject(model: nn.Module, count: int = 2) -> FigureSubject:
    return figure_subject(model, image_size=(SIDE, SIDE), count=count)


def values(grid: Figure, row: int) -> np.ndarray:
    """Return the values of a row of a grid, the mean of its images."""
    assert isinstance(grid, Grid)
    tiles = grid.tiles[row * grid.columns : (row + 1) * grid.columns]
    return np.mean([tile.values for tile in tiles if tile is not None], axis=0)


def test_attention_is_the_class_tokens_and_1_means_uniform() -> None:
    logits = torch.zeros(5, 5)
    logits[0] = torch.tensor([1.0, 1, 2, 3, 3]).log()
    first, second = attention.draw(subject(Toy(UNIFORM, logits)), layer=0, head=0, images=0)
    assert isinstance(first, Grid)
    assert (first.step, second.step) == ("layer 1", "layer 2")
    assert first.row_labels == ("image", "mean of heads", "head 1", "head 2")
    assert first.columns == len(first.column_labels) == 2
    for row in (1, 2, 3):
        assert np.allclose(values(first, row), 1)
        assert np.allclose(values(second, row), [[0.5, 1], [1.5, 1.5]])
    assert first.scale == second.scale


def test_attention_without_a_class_token_is_the_mean_of_the_patches() -> None:
    logits = torch.zeros(4, 4)
    logits[1] = torch.tensor([1.0, 1, 1, 5]).log()
    (grid,) = attention.draw(subject(Toy(logits, class_token=False)), layer=0, head=0, images=0)
    assert np.allclose(values(grid, 1), np.reshape((3 + np.array([0.5, 0.5, 0.5, 2.5])) / 4, (2, 2)))
    assert "no class token" in grid.note


@pytest.mark.parametrize(
    ("says", "reads"),
    [({}, True), ({"global_pool": "avg"}, False), ({"global_pool": "token", "has_class_token": False}, False)],
)
def test_a_class_token_counts_where_the_head_reads_it(says: dict[str, object], reads: bool) -> None:
    model = Toy(UNIFORM)
    for name, value in says.items():
        setattr(model, name, value)
    (grid,) = attention.draw(subject(nn.Sequential(model)), layer=0, head=0, images=0)
    assert grid.title.startswith("Attention of the class token" if reads else "Attention of the patches")


def test_a_pool_by_attention_is_shown_and_ends_rollout() -> None:
    shown = list(attention.draw(subject(Pooled(UNIFORM[:4, :4], class_token=False)), layer=2, head=0, images=0))
    assert np.allclose(values(shown[0], 1), [[0.4, 0.8], [1.2, 1.6]])
    (flow,) = rollout.draw(subject(Pooled(UNIFORM[:4, :4], class_token=False)), layer=0, images=0)
    assert np.allclose(values(flow, 1), 0.5 + 0.5 * np.array([[0.4, 0.8], [1.2, 1.6]]))


@pytest.mark.parametrize("layers", [1, 3])
def test_rollout_of_uniform_attention(layers: int) -> None:
    (grid,) = rollout.draw(subject(Toy(*[UNIFORM] * layers)), layer=0, images=0)
    # 1 / N + (1 / 2)^L (delta - 1 / N) of N = 5, in units of 1 / N; of a patch delta is 0.
    assert np.allclose(values(grid, 1), 1 - 0.5**layers)


def test_rollout_stops_at_a_layer() -> None:
    (grid,) = rollout.draw(subject(Toy(UNIFORM, torch.randn(5, 5))), layer=1, images=0)
    assert np.allclose(values(grid, 1), 0.5)


def test_distance_of_uniform_attention_and_of_a_head_that_stays() -> None:
    stays = torch.eye(5) * 100
    (points,) = distance.draw(subject(Toy(UNIFORM, stays)), images=2)
    assert isinstance(points, Points)
    assert points.x.tolist() == [1, 1, 2, 2, 1, 2]
    assert points.series == ("head",) * 4 + ("uniform attention",) * 2
    assert points.y == pytest.approx([0.8536 * PATCH] * 2 + [0, 0] + [0.8536 * PATCH] * 2, abs=1e-3)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda one: attention.draw(one, layer=3, head=0, images=0),
            "there is no layer 3: the model has 2 layers with attention",
        ),
        (lambda one: attention.draw(one, layer=1, head=3, images=0), "there is no head 3: layer 1 .* has 2 heads"),
        (lambda one: rollout.draw(one, layer=3, images=0), "there is no layer 3"),
    ],
)
def test_a_layer_or_head_that_does_not_exist(draw: Callable[[FigureSubject], Iterable[Figure]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(draw(subject(Toy(UNIFORM, UNIFORM))))
