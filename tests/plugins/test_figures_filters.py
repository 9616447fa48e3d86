"""What the first layer looks for, from filters built of known components, however the layer is written."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from figures import figure_subject
from torch import nn
from vitbench_figures import filters
from vitbench_figures.first_layer import first_layer

from vitbench import Skip
from vitbench.figures import Grid


def orthonormal(rows: int, columns: int) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(columns, rows))[0].mT


def known(channels: int, patch: int, sizes: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return components [R, C, P, P] of length 1, and 32 filters of them, with a mean."""
    torch.manual_seed(0)
    components = orthonormal(len(sizes), channels * patch**2)
    shares = torch.linalg.qr(torch.randn(32, len(sizes)) - torch.randn(32, len(sizes)).mean(0))[0]
    shares = torch.linalg.qr(shares - shares.mean(0))[0]
    built = (shares * torch.tensor(sizes)) @ components + torch.randn(channels * patch**2)
    return components.unflatten(1, (channels, patch, patch)), built.unflatten(1, (channels, patch, patch))


def test_known_components_come_back_with_their_shares() -> None:
    components, built = known(3, 4, [4.0, 2.0, 1.0])
    found, shares = filters.principal_components(built, 28)
    assert len(found) == 3  # what has no share is left out
    assert shares == pytest.approx([16 / 21, 4 / 21, 1 / 21], abs=1e-5)
    for one, expected in zip(found, components, strict=True):
        largest = expected.flatten()[expected.abs().argmax()].sign()
        assert torch.allclose(one, expected * largest, atol=1e-5)


def embedding(weight: torch.Tensor) -> nn.Conv2d:
    count, channels, patch, _ = weight.shape
    layer = nn.Conv2d(channels, count, patch, patch)
    layer.weight.data = weight
    return layer


@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_of_a_patch_embedding_are_its_components(channels: int) -> None:
    components, built = known(channels, 4, [4.0, 2.0])
    model = nn.Sequential(nn.Identity(), embedding(built), nn.Flatten(), nn.Linear(32 * 4, 10))
    (grid,) = filters.draw(figure_subject(model, in_channels=channels))
    assert isinstance(grid, Grid)
    assert [tile.title for tile in grid.tiles if tile] == ["80.0%", "20.0%"]
    for tile, expected in zip(grid.tiles, components, strict=True):
        assert tile is not None
        scaled = expected / expected.flatten()[expected.abs().argmax()]  # its largest value is 1
        if channels == 3:
            assert tile.pixels is not None
            assert np.abs(tile.pixels - (127.5 + 127.5 * scaled.numpy())).max() < 1
        else:
            assert tile.values is not None
            assert np.allclose(tile.values, scaled[0], atol=1e-5)


def test_at_most_28_components() -> None:
    model = embedding(torch.randn(64, 3, 4, 4))
    (grid,) = filters.draw(figure_subject(model, in_channels=3))
    assert isinstance(grid, Grid)
    assert (len(grid.tiles), grid.columns) == (28, 7)


def test_filters_of_another_convolution_are_shown_as_they_are() -> None:
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 4, 4, 4))
    (grid,) = filters.draw(figure_subject(model, in_channels=3))
    assert isinstance(grid, Grid)
    assert len(grid.tiles) == 16
    first = model[0].weight.detach()[0]
    assert grid.tiles[0] is not None
    assert grid.tiles[0].pixels is not None
    assert np.abs(grid.tiles[0].pixels - (127.5 + 127.5 * first / first.abs().max()).numpy()).max() < 1


class Cut(nn.Module):
    """Cuts images into patches of four pixels, their channels first or last."""

    def __init__(self, *, channels_last: bool) -> None:
        super().__init__()
        self.channels_last = channels_last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.unflatten(3, (-1, 4)).unflatten(2, (-1, 4))  # [B, C, rows, 4, columns, 4]
        order = (0, 2, 4, 3, 5, 1) if self.channels_last else (0, 2, 4, 1, 3, 5)
        return x.permute(order).flatten(3).flatten(1, 2)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_dense_layer_after_cutting_is_read_as_filters_of_pixels(channels_last: bool) -> None:
    dense = nn.Linear(48, 6, bias=False)
    model = nn.Sequential(Cut(channels_last=channels_last), dense)
    layer = first_layer(model, (3, 8, 8))
    assert layer.is_embedding
    image = torch.randn(1, 3, 8, 8)
    assert torch.allclose(F.conv2d(image, layer.filters, stride=4).flatten(2).mT, model(image), atol=1e-5)


def test_a_norm_before_the_dense_layer_is_counted_by_its_gain() -> None:
    norm, dense = nn.LayerNorm(48), nn.Linear(48, 6, bias=False)
    norm.weight.data = torch.rand(48)
    layer = first_layer(nn.Sequential(Cut(channels_last=False), norm, dense), (3, 8, 8))
    assert torch.allclose(layer.filters.flatten(1), dense.weight * norm.weight)
    assert "its gain alone" in layer.note


def test_patches_of_shifted_images_are_filters_twice_as_wide() -> None:
    from vitbench_scratch.vit2d import ShiftedPatches

    torch.manual_seed(0)
    stem = ShiftedPatches(3, 4, 6)
    layer = first_layer(stem, (3, 16, 16))
    assert layer.filters.shape == (6, 3, 8, 8)
    # What the layer gives for a patch, but for the norm: each pixel's part of all five copies.
    stem.norm = nn.Identity()
    stem.proj.bias.data.zero_()
    image = torch.randn(1, 3, 16, 16)
    inner = stem(image).mT.unflatten(2, (4, 4))[..., 1:3, 1:3]
    assert torch.allclose(F.conv2d(image[..., 2:, 2:], layer.filters, stride=4)[..., :2, :2], inner, atol=1e-5)


def test_a_dense_layer_of_the_whole_image_shows_its_filters_as_they_are() -> None:
    dense = nn.Linear(64, 10)
    (grid,) = filters.draw(figure_subject(nn.Sequential(nn.Flatten(), dense)))
    assert isinstance(grid, Grid)
    assert len(grid.tiles) == 10
    third = dense.weight.detach()[2]
    assert grid.tiles[2] is not None
    assert np.allclose(grid.tiles[2].values, (third / third.abs().max()).view(8, 8))


def test_a_layer_that_does_not_read_pixels_is_skipped() -> None:
    model = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 10))
    with pytest.raises(Skip, match="does not read pixels alone"):
        list(filters.draw(figure_subject(model)))
