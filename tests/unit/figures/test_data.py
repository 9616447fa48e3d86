"""What a figure gives is checked and made uniform when it is made, so that what is drawn and stored is sound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vitbench.figures import Grid, Matrix, Points, Scale, Tile

UNIT = Scale(label="share", low=0.0, high=1.0)
TILE = Tile(values=np.zeros((2, 3)))


def grid(**fields: Any) -> Grid:
    return Grid(**{"title": "A grid", "tiles": (TILE, TILE), "columns": 2, "scale": UNIT, **fields})


def matrix(**fields: Any) -> Matrix:
    labels = {"row_labels": ("a", "b"), "column_labels": ("x", "y", "z"), "rows": "true", "columns": "said"}
    return Matrix(**{"title": "A matrix", "values": np.zeros((2, 3)), "scale": UNIT, **labels, **fields})


def points(**fields: Any) -> Points:
    return Points(
        **{"title": "Points", "x": [1, 2], "y": [0.5, 1.5], "x_label": "layer", "y_label": "pixels", **fields}
    )


@pytest.mark.parametrize(
    ("values", "diverging", "low", "high"),
    [
        ([0.25, 0.75], False, 0.25, 0.75),
        ([-0.5, 0.25], True, -0.5, 0.5),
        ([3.0, 3.0], False, 3.0, 3.000003),
        ([0.0, 0.0], True, -1e-6, 1e-6),
    ],
    ids=["plain", "its middle is 0", "equal values", "nothing but the middle"],
)
def test_a_scale_is_that_which_values_fill(values: list[float], diverging: bool, low: float, high: float) -> None:
    scale = Scale.of(np.array(values), "cosine", diverging=diverging)
    assert (scale.low, scale.high, scale.diverging) == (pytest.approx(low), pytest.approx(high), diverging)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, np.inf), (np.nan, 1.0)])
def test_a_scale_without_width_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match=f"from a lower to a higher number, not from {low} to {high}"):
        Scale(label="share", low=low, high=high)


def test_numbers_of_any_kind_become_float32_of_their_own() -> None:
    values = np.ones((2, 3))
    made = matrix(values=values)
    values[:] = 7  # as a plugin does that fills one buffer again and again
    for held in (made.values, Tile(values=torch.ones(2, 2)).values, points().x, points(y=(1, 2)).y):
        assert isinstance(held, np.ndarray)
        assert held.dtype == np.float32
    np.testing.assert_array_equal(made.values, np.ones((2, 3)))
    assert isinstance(Tile(pixels=torch.zeros(3, 4, 4, dtype=torch.uint8)).pixels, np.ndarray)
    assert matrix(row_labels=["a", "b"]).row_labels == ("a", "b")
    assert grid(tiles=[TILE, None]).tiles == (TILE, None)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, 2.0], r"must be numbers in 2 dimensions, not float64\[2\]"),
        (np.zeros((0, 3)), r"must be numbers in 2 dimensions, not float64\[0, 3\]"),
        ([["a"]], "must be numbers in 2 dimensions"),
        ([[np.nan]], "must be finite numbers"),
        ([[1e300]], "must be finite numbers"),  # infinite as float32
    ],
)
def test_what_is_no_array_of_numbers_is_refused(values: object, words: str) -> None:
    for make in (lambda: Tile(values=values), lambda: matrix(values=values)):
        with pytest.raises(ValueError, match=words):
            make()


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((3, 4, 4)), np.zeros((2, 4, 4), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((1, 0, 4), "u1")],
)
def test_pixels_are_gray_or_of_three_colours(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a tile's pixels must be uint8"):
        Tile(pixels=pixels)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Tile, "a tile needs pixels or values"),
        (lambda: grid(tiles=()), "a grid needs a tile and a column"),
        (lambda: grid(tiles=(None, None)), "a grid needs a tile and a column"),
        (lambda: grid(columns=0), "a grid needs a tile and a column"),
        (lambda: grid(scale=None), "a grid with values needs a scale"),
        (lambda: grid(row_labels=("a", "b")), "a grid of 1 rows and 2 columns needs as many labels, or none"),
        (lambda: grid(column_labels=("a",)), "a grid of 1 rows and 2 columns needs as many labels, or none"),
        (lambda: grid(column_labels="ab"), "column_labels must be a tuple of strings"),
        (lambda: matrix(row_labels="ab"), "row_labels must be a tuple of strings"),
        (lambda: matrix(column_labels=(1, 2, 3)), "column_labels must be a tuple of strings"),
        (lambda: matrix(row_labels=("a",)), r"a matrix of shape \[2, 3\] needs as many labels, not 1 and 3"),
        (lambda: grid(tiles=(None, *grid().tiles) * 1000), "a grid holds at most 2,000 tiles, not "),
        (lambda: matrix(values=np.ones((3, 1001))), r"a matrix has at most 1,000 rows and columns, not \[3, 1001\]"),
        (lambda: points(x=[1, 2, 3]), "points need as many x as y"),
        (lambda: points(series=("a",)), "a series for each or for none"),
        (lambda: grid(title=3), "title must be text, not 3"),
        (lambda: points(x_label=None), "x_label must be text, not None"),
        (lambda: points(series="ab"), "series must be a tuple of strings"),
    ],
)
def test_what_does_not_go_together_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_the_last_row_of_a_grid_may_be_short() -> None:
    assert grid(tiles=(TILE,) * 3, row_labels=("a", "b"), column_labels=("x", "y")).columns == 2
    assert grid(tiles=(Tile(pixels=np.zeros((1, 2, 2), np.uint8)),), scale=None).scale is None
