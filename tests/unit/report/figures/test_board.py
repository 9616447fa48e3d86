"""The same images through all models: which models take part, in which order, and on one scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vitbench.figures import Grid, Points, Scale, Tile
from vitbench.report.figures.board import board_grid

IMAGES = tuple(np.full((3, 4, 4), shade, dtype=np.uint8) for shade in (10, 200))


def look(high: float, *, side: int = 2, labels: tuple[str, ...] = ("cat", "dog"), label: str = "share") -> Grid:
    """Return a figure of two images: their values are `high`, and heads below them are not over images."""
    values = np.full((side, side), high, dtype=np.float32)
    return Grid(
        title="Rollout",
        tiles=(
            *(Tile(pixels=image) for image in IMAGES),
            *(Tile(pixels=image, values=values) for image in IMAGES),
            *(Tile(values=0 * values) for _ in IMAGES),
        ),
        columns=2,
        row_labels=("image", "mean", "head 1"),
        column_labels=labels,
        scale=Scale(label=label, low=0.0, high=high),
    )


def test_models_are_rows_below_the_images_on_one_scale() -> None:
    found = board_grid("rollout", [("a", [look(1.0)]), ("b", [look(3.0, side=4)])])
    assert found is not None
    assert (found.row_labels, found.column_labels, found.step) == (("image", "a", "b"), ("cat", "dog"), "rollout")
    assert found.scale == Scale(label="share", low=0.0, high=3.0)
    assert found.note == ""
    shown = [tile for tile in found.tiles if tile is not None]
    assert [tile.values is None for tile in shown] == [True, True, False, False, False, False]
    assert [float(tile.values.max()) for tile in shown[2:] if tile.values is not None] == [1, 1, 3, 3]
    assert [tile.pixels[0, 0, 0] for tile in shown if tile.pixels is not None] == [10, 200] * 3


def test_of_several_steps_the_last_is_shown() -> None:
    steps = [replace(look(high), step=f"layer {high:.0f}") for high in (1.0, 2.0)]
    x = np.zeros(1, dtype=np.float32)
    curve = Points(title="p", x=x, y=x, x_label="x", y_label="y")
    found = board_grid("attention", [("a", [*steps, curve]), ("b", steps[:1])])
    assert found is not None
    assert found.row_labels == ("image", "a, layer 2", "b, layer 1")


def test_figures_of_another_kind_and_single_models_make_no_picture() -> None:
    x = np.zeros(1, dtype=np.float32)
    points = Points(title="p", x=x, y=x, x_label="x", y_label="y")
    bare = replace(look(1.0), tiles=look(1.0).tiles[:2], row_labels=(), scale=None)
    assert board_grid("f", [("a", [look(1.0)]), ("b", [points]), ("c", []), ("d", [bare])]) is None


def test_what_all_models_say_of_an_image_stands_above_it_and_what_one_says_above_its_tile() -> None:
    one, other = ("cat, taken for dog", "dog, taken for cat"), ("cat", "dog, taken for cat")
    found = board_grid("rollout", [("a", [look(1.0, labels=one)]), ("b", [look(1.0, labels=other)])])
    assert found is not None
    assert found.column_labels == ("cat", "dog, taken for cat")
    assert [tile.title for tile in found.tiles[2:] if tile] == ["taken for dog", "", "", ""]
    found = board_grid("rollout", [("a", [look(1.0, labels=("cat → dog", "dog"))]), ("b", [look(1.0)])])
    assert found is not None
    assert found.column_labels == ("cat", "dog")
    assert [tile.title for tile in found.tiles[2:] if tile] == ["→ dog", "", "", ""]


def test_models_that_cannot_be_compared_are_left_out_by_name() -> None:
    fewer = replace(look(1.0), columns=1, column_labels=("cat",), tiles=look(1.0).tiles[::2])
    usual = [(name, [look(1.0)]) for name in "ab"]
    found = board_grid("rollout", [("odd", [look(9.0, label="logit")]), *usual, ("few", [fewer])])
    assert found is not None
    assert found.row_labels == ("image", "a", "b")
    assert found.note == "Left out, because their images or their scale differ: odd, few."
    assert found.scale is not None
    assert found.scale.high == 1.0
