"""Files of figures: what is written comes back, and damage is one line."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitbench.array_files import write_arrays
from vitbench.errors import StoreError
from vitbench.figures import Figure, Grid, Matrix, Points, Scale, Tile
from vitbench.figures.files import read_figures, write_figures

GRAY = Tile(pixels=np.zeros((1, 2, 2), np.uint8))


def _equal(first: Any, second: Any) -> bool:
    """Compare figures to the last bit: arrays have no truth value of their own."""
    if type(first) is not type(second):
        return False
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()
    if is_dataclass(first):
        return all(_equal(getattr(first, field.name), getattr(second, field.name)) for field in fields(first))
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(_equal, first, second))
    return bool(first == second)


def _figures() -> tuple[Figure, ...]:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 8, 6), dtype=np.uint8)
    scale = Scale(label="cosine, \u03b1\0", low=-1 / 3, high=1 / 3, diverging=True)
    grid = Grid(
        title="a file's name may be \udc80",
        tiles=(
            Tile(pixels=pixels, values=rng.random((2, 3), dtype=np.float32), title="cat\n"),
            None,
            Tile(pixels=pixels.copy()),
        ),
        columns=2,
        row_labels=("one", "two"),
        column_labels=("", "right"),
        scale=scale,
        note="a note",
        step="layer 3",
    )
    matrix = Matrix(
        title="m",
        values=rng.random((2, 1)),
        row_labels=("a", "b"),
        column_labels=("c",),
        rows="true",
        columns="predicted",
        scale=Scale(label="", low=0.0, high=1e-300),
    )
    x = np.arange(3, dtype=np.float32)
    points = Points(title="p", x=x, y=-x, series=("s", "s", "t"), x_label="x", y_label="y", lines=True)
    return grid, matrix, points


def test_figures_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    write_figures(path, _figures())
    assert _equal(read_figures(path), _figures())
    with np.load(path) as file:
        assert sum(file[name].dtype == np.uint8 for name in file.files) == 1, "equal images are stored once"


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    scale = Scale(label="v", low=np.float32(0.1), high=np.float64(2), diverging=np.bool_(True))  # type: ignore[arg-type]
    write_figures(path, [Grid(title="", tiles=(GRAY,), columns=1, scale=scale)])
    (found,) = read_figures(path)
    assert isinstance(found, Grid)
    assert found.scale == Scale(label="v", low=float(np.float32(0.1)), high=2.0, diverging=True)


@pytest.mark.parametrize(
    "arrays",
    [
        {"json": np.array("[")},
        {"json": np.array('[{"type": "Nothing"}]')},
        {"json": np.array('[{"type": "Grid", "title": "t", "tiles": [], "columns": 0}]')},
        {"json": np.array('[{"type": "Grid", "title": "t", "tiles": [{"array": "0"}], "columns": 1}]')},
        {"rest": np.array("[]")},
    ],
)
def test_damage_is_one_line(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    path = tmp_path / "f.npz"
    write_arrays(path, arrays)
    with pytest.raises(StoreError, match=r"^cannot read [^\n]*f\.npz: [^\n]*$"):
        read_figures(path)
