"""A grid of tiles as a picture: images as they are, values as colours, values over an image on it in grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitbench.figures import Grid, Tile
from vitbench.report.figures.colours import coloured, overlaid
from vitbench.report.figures.sheet import (
    BAR,
    LABEL,
    MARGIN,
    MUTED,
    NOTE,
    TITLE,
    Sheet,
    heading,
    height_of,
    lines,
    size_for,
    width_of,
)

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure as Canvas
    from numpy.typing import NDArray

__all__ = ["draw_grid", "lies_over_images", "tile_image", "values_of"]

_WIDTH = 8.0
"""What a grid is as wide as, in inches, where its tiles would else be small."""
_LEAST_WIDTH = 4.2
_LARGEST, _SMALLEST, _LEAST_BAR = 1.5, 0.22, 1.1
_GAP = 0.07
_ROW_LABELS = 1.5
_TILE_TITLE = 7.0


def tile_image(tile: Tile, grid: Grid) -> NDArray[np.uint8]:
    """Return what a tile shows, uint8[H, W, 3]."""
    if tile.values is None:
        assert tile.pixels is not None
        pixels = tile.pixels if len(tile.pixels) == 3 else tile.pixels.repeat(3, axis=0)
        return pixels.transpose(1, 2, 0)
    assert grid.scale is not None
    return coloured(tile.values, grid.scale) if tile.pixels is None else overlaid(tile.pixels, tile.values, grid.scale)


def values_of(grid: Grid) -> list[NDArray[np.float32]]:
    """Return the values of the tiles that have any."""
    return [tile.values for tile in grid.tiles if tile is not None and tile.values is not None]


def lies_over_images(grid: Grid) -> bool:
    """Say whether all values of a grid lie over images, so that its bar has the colours that they have there."""
    return all(tile.pixels is not None for tile in grid.tiles if tile is not None and tile.values is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layout:
    """Where the parts of a grid lie, in inches."""

    width: float
    left: float
    """Of the first column."""
    side: float
    """How wide a tile's place is."""
    height: float
    """Of a tile's place."""
    titles: tuple[float, ...]
    """Of each row, what its tiles' titles take above it."""
    title_size: float
    """Of the tiles' titles, in points."""


def draw_grid(grid: Grid) -> Canvas:
    """Draw a grid: title, column labels, rows of tiles with their labels, the scale's bar, and the note."""
    rows = [grid.tiles[at : at + grid.columns] for at in range(0, len(grid.tiles), grid.columns)]
    values = values_of(grid)
    layout = _layout(grid, rows, with_bar=bool(values))
    inner = layout.width - 2 * MARGIN
    title, note = lines(heading(grid), TITLE, inner, 3), lines(grid.note, NOTE, inner, 6)
    size = size_for(grid.column_labels, LABEL, layout.side)
    columns = [lines(label, size, layout.side, 2) for label in grid.column_labels]
    labels_height = height_of(max(map(len, columns), default=0), size)
    top = MARGIN + height_of(len(title), TITLE) + 0.08 + labels_height + (0.04 if labels_height else 0)
    tiles_height = sum(layout.titles) + len(rows) * (layout.height + _GAP) - _GAP
    bottom = top + (max(tiles_height, _LEAST_BAR) if values else tiles_height)
    sheet = Sheet.of(layout.width, bottom + (0.12 + height_of(len(note), NOTE) if note else 0) + MARGIN)
    sheet.write_lines(title, MARGIN, MARGIN, TITLE)
    for place, label in enumerate(columns):
        x = layout.left + place * (layout.side + _GAP) + layout.side / 2
        sheet.write_lines(label, x, top - 0.04 - height_of(len(label), size), size, ha="center")
    y = top
    for number, (row, titles) in enumerate(zip(rows, layout.titles, strict=True)):
        y += titles
        if grid.row_labels:
            label = lines(grid.row_labels[number], LABEL, layout.left - MARGIN - _GAP + 0.01, 3)
            middle = y + (layout.height - height_of(len(label), LABEL)) / 2
            sheet.write_lines(label, layout.left - _GAP, max(middle, y), LABEL, ha="right")
        for place, tile in enumerate(row):
            if tile is not None:
                _draw_tile(sheet, tile, grid, layout, layout.left + place * (layout.side + _GAP), y)
        y += layout.height + _GAP
    if grid.scale is not None and values:
        right = layout.left + grid.columns * (layout.side + _GAP) - _GAP
        height = min(max(tiles_height, _LEAST_BAR), 3.0)
        sheet.bar(grid.scale, values, right, top, height, over_images=lies_over_images(grid))
    sheet.write_lines(note, MARGIN, bottom + 0.12, NOTE, color=MUTED)
    return sheet.canvas


def _layout(grid: Grid, rows: list[tuple[Tile | None, ...]], *, with_bar: bool) -> _Layout:
    widest = max(
        (width_of(text, LABEL) for label in grid.row_labels for text in lines(label, LABEL, _ROW_LABELS, 3)), default=0
    )
    left = MARGIN + (widest + _GAP if grid.row_labels else 0)
    right = MARGIN + (BAR if with_bar else 0)
    room = (_WIDTH - left - right) / grid.columns - _GAP
    side = min(max(room, _SMALLEST), _LARGEST)
    used = left + grid.columns * (side + _GAP) - _GAP + right
    shapes = [_shape(tile) for tile in grid.tiles if tile is not None]
    aspect = max((height / width for height, width in shapes), default=1.0)
    size = size_for((tile.title for tile in grid.tiles if tile is not None), _TILE_TITLE, side)
    titles = (
        max((len(lines(tile.title, size, side, 2)) for tile in row if tile is not None), default=0) for row in rows
    )
    return _Layout(
        width=max(used, _LEAST_WIDTH),
        left=left,
        side=side,
        height=side * min(max(aspect, 0.1), 3.0),
        titles=tuple(height_of(count, size) + 0.03 if count else 0.0 for count in titles),
        title_size=size,
    )


def _shape(tile: Tile) -> tuple[int, int]:
    """Return height and width of what a tile shows."""
    if tile.pixels is not None:
        return tile.pixels.shape[1], tile.pixels.shape[2]
    assert tile.values is not None
    return tile.values.shape[0], tile.values.shape[1]


def _draw_tile(sheet: Sheet, tile: Tile, grid: Grid, layout: _Layout, x: float, y: float) -> None:
    """Draw a tile in the middle of its place, with its title above it."""
    rows, columns = _shape(tile)
    unit = min(layout.side / columns, layout.height / rows)
    left, top = x + (layout.side - columns * unit) / 2, y + (layout.height - rows * unit) / 2
    sheet.paint(tile_image(tile, grid), left, top, columns * unit, rows * unit)
    size = layout.title_size
    title = lines(tile.title, size, layout.side, 2)
    above = y - 0.03 - height_of(len(title), size)
    sheet.write_lines(title, x + layout.side / 2, above, size, ha="center")
