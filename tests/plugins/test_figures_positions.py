"""How models tell places: each scheme is found, and shown as what it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from figures import figure_subject
from torch import nn
from vitbench_figures import positions
from vitbench_figures.position_tables import Biases, places_of
from vitbench_scratch import vit2d

from vitbench import Skip
from vitbench.figures import FigureSubject, Grid


def spatial(position: str, *, pool: str = "cls", side: int = 16) -> FigureSubject:
    torch.manual_seed(0)
    model = vit2d.build(
        num_classes=10,
        image_size=(side, side),
        in_channels=1,
        checkpoint="",
        head="own",
        stem="patch",
        position=position,
        attention="full",
        pool=pool,
        window=3,
        patch_size=4,
        depth=2,
        width=16,
        heads=2,
        mlp_ratio=1.0,
        dropout=0.0,
        drop_path=0.0,
    )
    return figure_subject(model, image_size=(side, side))


def drawn(subject: FigureSubject) -> list[Grid]:
    found = list(positions.draw(subject))
    assert all(isinstance(each, Grid) for each in found)
    return found


@pytest.mark.parametrize("position", ["learned", "sincos", "rope"])
@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_a_place_is_like_itself(position: str, pool: str) -> None:
    (grid,) = drawn(spatial(position, pool=pool))
    assert (len(grid.tiles), grid.columns) == (16, 4)
    for place, tile in enumerate(grid.tiles):
        assert tile is not None
        assert tile.values is not None
        assert tile.values.ravel()[place] == pytest.approx(1, abs=1e-5)
        assert tile.values.argmax() == place


def test_similarity_of_known_vectors() -> None:
    vectors = torch.tensor([[1.0, 0], [2, 0], [0, 3], [-1, 0]])
    expected = [[1, 1, 0, -1], [1, 1, 0, -1], [0, 0, 1, 0], [-1, -1, 0, 1]]
    assert positions.similarity(vectors).tolist() == expected


def test_rotations_by_their_angles() -> None:
    angles = torch.tensor([[0.0, 0], [0.5, 1.0], [2.0, 0.1]])
    alike = positions.turned_alike(angles.cos()[None], angles.sin()[None])[0]
    assert torch.allclose(alike, (angles[:, None] - angles).cos().mean(2))


def test_many_patches_are_thinned_out() -> None:
    (grid,) = drawn(spatial("learned", side=40))
    assert (len(grid.tiles), grid.columns) == (25, 5)
    assert grid.row_labels == ("1", "3", "5", "7", "9")
    assert grid.tiles[6] is not None
    assert grid.tiles[6].values is not None
    assert grid.tiles[6].values.shape == (10, 10)
    assert grid.tiles[6].values[2, 2] == pytest.approx(1)


def test_biases_lie_at_the_offset_from_query_to_key() -> None:
    subject = spatial("relative")
    layer = 1
    with torch.no_grad():
        bias = subject.model.position.bias(layer, (4, 4))  # [H, N, N]
    (grid,) = drawn(subject)
    assert grid.row_labels == ("layer 1", "layer 2")
    assert grid.column_labels == ("head 1", "head 2")
    tile = grid.tiles[layer * 2 + 1]
    assert tile is not None
    assert tile.values is not None
    assert tile.values.shape == (7, 7)
    # from the patch in row 1, column 2 to that in row 3, column 0: 2 down, 2 to the left
    assert tile.values[3 + 2, 3 - 2] == pytest.approx(bias[1, 1 + 6, 1 + 12].item())


def test_mixed_rotations_have_a_tile_for_each_layer_and_head() -> None:
    (grid,) = drawn(spatial("rope-mixed"))
    assert (len(grid.tiles), grid.columns) == (4, 2)
    assert [tile.values[2, 2] for tile in grid.tiles if tile and tile.values is not None] == pytest.approx([1] * 4)


def test_vectors_by_offset() -> None:
    (grid,) = drawn(spatial("relative-kv"))
    assert len(grid.tiles) == 8  # layers, keys and values, rows and columns
    assert all(tile is not None and np.allclose(np.diagonal(tile.values), 1) for tile in grid.tiles)


def test_a_model_without_positions_says_none() -> None:
    with pytest.raises(Skip, match=r"^none: "):
        drawn(spatial("none"))


def test_positions_of_another_kind_are_named() -> None:
    with pytest.raises(Skip, match=r"position\.conv\.weight"):
        drawn(spatial("cpe"))


def test_a_table_of_windows_is_read_by_its_index() -> None:
    class Windowed(nn.Module):
        """As in Swin: offsets of query from key, rows first."""

        def __init__(self) -> None:
            super().__init__()
            self.window_size = (2, 2)
            self.relative_position_bias_table = nn.Parameter(torch.arange(9.0)[:, None])
            places = torch.cartesian_prod(torch.arange(2), torch.arange(2))
            offsets = places[:, None] - places + 1
            self.register_buffer("relative_position_index", offsets[..., 0] * 3 + offsets[..., 1])

    found, unknown = places_of(nn.Sequential(Windowed()), (8, 8))
    assert not unknown
    (biases,) = found
    assert isinstance(biases, Biases)
    assert torch.equal(biases.table, torch.arange(9.0).flip(0).view(1, 3, 3))
