"""The same images through all models of a board, side by side: made of the grids that each model's figure drew."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitbench.figures import Figure, Grid, Scale, Tile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["board_grid", "board_grids"]

_FEWEST = 2
"""Models that can be compared."""
_NAMED = 3
"""Models that a note names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """What one model's figure shows of some images."""

    model: str
    step: str
    images: tuple[NDArray[np.uint8], ...]
    maps: tuple[NDArray[np.float32], ...]
    labels: tuple[str, ...]
    scale: Scale


def board_grids(drawn: Sequence[tuple[str, Sequence[tuple[str, Sequence[Figure]]]]]) -> list[Grid]:
    """Return a grid for each figure that two models and more can be compared by, as `board_grid` does.

    Args:
        drawn: label of each model in the order of the board, and name and pictures of its figures.
    """
    names = dict.fromkeys(name for _, figures in drawn for name, _ in figures)
    of_each = [(model, dict(figures)) for model, figures in drawn]
    found = (board_grid(name, [(model, figures.get(name, ())) for model, figures in of_each]) for name in names)
    return [grid for grid in found if grid is not None]


def board_grid(name: str, drawn: Sequence[tuple[str, Sequence[Figure]]]) -> Grid | None:
    """Return one figure of several models as a grid: a row of images, and below it one row per model.

    A figure takes part where its grid has images in its first row and values over the same images in a later one. Of
    several steps the last is taken, such as the last layer. Models whose images or scale differ from most models' are
    left out, and named in the note.

    Args:
        name: the figure's.
        drawn: label and pictures of each model, in the order of the board.

    Returns:
        None where fewer than two models can be compared.
    """
    looks = [look for model, figures in drawn if (look := _look(model, figures)) is not None]
    kinds = [(len(look.images), look.scale.label, look.scale.diverging) for look in looks]
    usual = max(kinds, key=kinds.count, default=None)
    left_out = [look.model for look, kind in zip(looks, kinds, strict=True) if kind != usual]
    looks = [look for look, kind in zip(looks, kinds, strict=True) if kind == usual]
    if len(looks) < _FEWEST:
        return None
    columns = len(looks[0].images)
    names = [_shared([look.labels[place] for look in looks]) for place in range(columns)]
    tiles = [Tile(pixels=image) for image in looks[0].images]
    for look in looks:
        for image, values, label, shared in zip(look.images, look.maps, look.labels, names, strict=True):
            tiles.append(Tile(pixels=image, values=values, title=label[len(shared) :].removeprefix(", ").strip()))
    scales = [look.scale for look in looks]
    return Grid(
        title="The same images through all models",
        tiles=tuple(tiles),
        columns=columns,
        row_labels=("image", *(f"{look.model}, {look.step}" if look.step else look.model for look in looks)),
        column_labels=tuple(names),
        scale=Scale(
            label=scales[0].label,
            low=min(scale.low for scale in scales),
            high=max(scale.high for scale in scales),
            diverging=scales[0].diverging,
        ),
        note=_note(left_out),
        step=name,
    )


def _look(model: str, figures: Sequence[Figure]) -> _Look | None:
    """Return what the last grid of a figure shows of its images; None where it is of another kind."""
    grid = next((each for each in reversed(figures) if isinstance(each, Grid)), None)
    if grid is None or grid.scale is None:
        return None
    rows = [grid.tiles[at : at + grid.columns] for at in range(0, len(grid.tiles), grid.columns)]
    images = tuple(tile.pixels for tile in rows[0] if tile and tile.pixels is not None and tile.values is None)
    if len(images) != grid.columns:
        return None
    for row in rows[1:]:
        maps = tuple(tile.values for tile in row if tile and tile.pixels is not None and tile.values is not None)
        if len(maps) == grid.columns:
            labels = grid.column_labels or ("",) * grid.columns
            return _Look(model=model, step=grid.step, images=images, maps=maps, labels=labels, scale=grid.scale)
    return None


def _shared(labels: Sequence[str]) -> str:
    """Return what labels of one image begin with, in whole parts: its name, and what all say of it.

    Parts stand between commas, and before the arrow to what a model takes it for.
    """
    parts = [re.split(r"(?=, | → )", label) for label in labels]
    same = itertools.takewhile(lambda each: len(set(each)) == 1, zip(*parts, strict=False))
    return "".join(first for first, *_ in same)


def _note(left_out: Sequence[str]) -> str:
    if not left_out:
        return ""
    more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
    return f"Left out, because their images or their scale differ: {', '.join(left_out[:_NAMED])}{more}."
