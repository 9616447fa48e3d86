"""What a figure's ``draw`` gives: numbers with titles and labels, and no colours. The core draws them, all in one look.

Shapes: C channels (1 or 3), H and W height and width, R rows, L columns, N points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Figure", "Grid", "Matrix", "Points", "Scale", "Tile"]

_LEAST = 1e-6
"""Width of a scale whose values are all equal, over their size."""
_MOST_TILES, _LONGEST_SIDE = 2000, 1000
"""What a picture can hold: more takes minutes to draw, and nobody can see it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """How values become colours: one scale for all values of a figure, with a bar beside it."""

    label: str
    """What the values are, with their unit."""
    low: float
    """The value at one end of the bar."""
    high: float
    """The value at the other end."""
    diverging: bool = False
    """Whether they have a neutral midpoint, such as a cosine's 0, which is half way between `low` and `high`."""

    def __post_init__(self) -> None:
        _check_texts(self, "label")
        if not -np.inf < self.low < self.high < np.inf:
            raise ValueError(f"a scale goes from a lower to a higher number, not from {self.low} to {self.high}")

    @classmethod
    def of(cls, values: NDArray[np.floating], label: str, *, diverging: bool = False) -> Scale:
        """Return the scale that spans some values, or slightly more if they are all equal."""
        low, high = float(np.min(values)), float(np.max(values))
        if diverging:
            high = max(abs(low), abs(high), _LEAST)
            low = -high
        elif low == high:
            high = low + max(abs(low), 1.0) * _LEAST
        return cls(label=label, low=low, high=high, diverging=diverging)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One cell of a grid: an image, values, or values over an image."""

    pixels: NDArray[np.uint8] | None = None
    """uint8[C, H, W]"""
    values: NDArray[np.float32] | None = None
    """float32[R, L]; over an image they are stretched to its size."""
    title: str = ""
    """A short title above it."""

    def __post_init__(self) -> None:
        _check_texts(self, "title")
        if self.pixels is None and self.values is None:
            raise ValueError("a tile needs pixels or values")
        if self.pixels is not None:
            pixels = np.asarray(self.pixels)
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or len(pixels) not in (1, 3) or not pixels.size:
                raise ValueError(
                    f"a tile's pixels must be uint8[C, H, W] of 1 or 3 channels, not {pixels.dtype}{list(pixels.shape)}"
                )
            _set(self, pixels=pixels)
        if self.values is not None:
            _set(self, values=_numbers("a tile's values", self.values, 2))


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Tiles in rows and columns."""

    title: str
    """What it shows, in a few words."""
    tiles: tuple[Tile | None, ...]
    """Row by row; None leaves a cell empty."""
    columns: int
    """Tiles in a row."""
    row_labels: tuple[str, ...] = ()
    """As many as there are rows, or none."""
    column_labels: tuple[str, ...] = ()
    """As many as there are columns, or none."""
    scale: Scale | None = None
    """Of the values; None only where no tile has any."""
    note: str = ""
    """A sentence below it: what the picture cannot show, or how to read it."""
    step: str = ""
    """Its place among several of one figure, such as ``layer 3``; a page shows these one at a time."""

    def __post_init__(self) -> None:
        _check_texts(self, "title", "note", "step")
        _set(
            self,
            tiles=tuple(self.tiles),
            row_labels=_words("row_labels", self.row_labels),
            column_labels=_words("column_labels", self.column_labels),
        )
        if self.columns < 1 or not any(self.tiles):
            raise ValueError("a grid needs a tile and a column")
        if len(self.tiles) > _MOST_TILES:
            raise ValueError(f"a grid holds at most {_MOST_TILES:,} tiles, not {len(self.tiles):,}")
        rows = -(-len(self.tiles) // self.columns)
        if len(self.row_labels) not in (0, rows) or len(self.column_labels) not in (0, self.columns):
            raise ValueError(f"a grid of {rows} rows and {self.columns} columns needs as many labels, or none")
        if self.scale is None and any(tile is not None and tile.values is not None for tile in self.tiles):
            raise ValueError("a grid with values needs a scale")


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """A matrix with labelled rows and columns; its values are written into it if there is room."""

    title: str
    """What it shows, in a few words."""
    values: NDArray[np.float32]
    """float32[R, L]"""
    row_labels: tuple[str, ...]
    """R labels."""
    column_labels: tuple[str, ...]
    """L labels."""
    rows: str
    """What the rows are, such as ``true class``."""
    columns: str
    """What the columns are."""
    scale: Scale
    """Of the values."""
    note: str = ""
    """As of `Grid`."""
    step: str = ""
    """As of `Grid`."""

    def __post_init__(self) -> None:
        _check_texts(self, "title", "rows", "columns", "note", "step")
        _set(
            self,
            values=_numbers("a matrix", self.values, 2),
            row_labels=_words("row_labels", self.row_labels),
            column_labels=_words("column_labels", self.column_labels),
        )
        if max(np.shape(self.values)) > _LONGEST_SIDE:
            shape = list(np.shape(self.values))
            raise ValueError(f"a matrix has at most {_LONGEST_SIDE:,} rows and columns, not {shape}")
        if np.shape(self.values) != (len(self.row_labels), len(self.column_labels)):
            raise ValueError(
                f"a matrix of shape {list(np.shape(self.values))} needs as many labels, "
                f"not {len(self.row_labels)} and {len(self.column_labels)}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Points:
    """Points of one or more series over a common axis."""

    title: str
    """What it shows, in a few words."""
    x: NDArray[np.float32]
    """float32[N]"""
    y: NDArray[np.float32]
    """float32[N]"""
    series: tuple[str, ...] = ()
    """The series of each point; empty if all belong to one series."""
    x_label: str
    """What x is, with its unit."""
    y_label: str
    """What y is, with its unit."""
    lines: bool = False
    """Whether the points of a series are joined."""
    note: str = ""
    """As of `Grid`."""
    step: str = ""
    """As of `Grid`."""

    def __post_init__(self) -> None:
        _check_texts(self, "title", "x_label", "y_label", "note", "step")
        _set(self, x=_numbers("x", self.x, 1), y=_numbers("y", self.y, 1), series=_words("series", self.series))
        if len(self.x) != len(self.y) or len(self.series) not in (0, len(self.x)):
            raise ValueError("points need as many x as y, and a series for each or for none")


Figure = Grid | Matrix | Points
"""One picture. A figure whose pictures are steps, such as layers, yields one for each step."""


def _numbers(what: str, values: object, dimensions: int) -> NDArray[np.float32]:
    """Return values as they are drawn and stored, or raise ValueError where they cannot be."""
    found = np.asarray(values)
    if found.dtype.kind not in "fiu" or found.ndim != dimensions or not found.size:
        raise ValueError(f"{what} must be numbers in {dimensions} dimensions, not {found.dtype}{list(found.shape)}")
    with np.errstate(over="ignore"):
        numbers = found.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{what} must be finite numbers")
    return numbers


def _check_texts(made: object, *names: str) -> None:
    """Raise ValueError where a field that is drawn as text is none."""
    for name in names:
        if not isinstance(text := getattr(made, name), str):
            raise ValueError(f"{name} must be text, not {text!r}")


def _words(what: str, words: object) -> tuple[str, ...]:
    """Return several texts as a tuple; one alone would be taken letter by letter."""
    if not isinstance(words, (tuple, list)) or not all(isinstance(word, str) for word in words):
        raise ValueError(f'{what} must be a tuple of strings, such as ("one",) with its comma, not {words!r}')
    return tuple(words)


def _set(made: object, **values: object) -> None:
    """Set fields of a frozen type while it is made."""
    for name, value in values.items():
        object.__setattr__(made, name, value)
