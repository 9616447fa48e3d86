"""The figures of a page's panels: tiles and matrices as mark-up, points as charts, one step at a time.

A panel holds so much and no more: of a figure that does not fit as a whole evenly spaced steps, with a line that says
which are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitbench.figures import Figure, Grid, Matrix, Points, Tile
from vitbench.records import digest
from vitbench.report.figures.board import board_grids
from vitbench.report.figures.colours import coloured, dark, gradient
from vitbench.report.figures.drawing import figure_names
from vitbench.report.figures.grid import lies_over_images, tile_image, values_of
from vitbench.report.figures.matrix import written
from vitbench.report.figures.points import series_of
from vitbench.report.figures.sheet import scale_ticks
from vitbench.report.html.charts import Chart, Value, number
from vitbench.report.html.details import DrawnFigure
from vitbench.report.html.tiles import Images
from vitbench.report.training_curves import COLOURS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vitbench.figures import Scale

__all__ = [
    "MOST_BYTES",
    "Bar",
    "FigureStep",
    "LeftOut",
    "PanelFigure",
    "PanelFigures",
    "board_figures",
    "panel_figures",
]

MOST_BYTES = 100_000
"""Of the figures of one panel."""
_MOST_LABELS = 20
"""Rows and columns of a matrix that is a table; a larger one is an image."""
_TILE_BYTES, _ABOVE_BYTES, _LABEL_BYTES, _STEP_BYTES, _VALUE_BYTES = 50, 40, 45, 1000, 75
"""About what the mark-up of each takes, beside its texts and images."""
_MOST_TOLD = 6
_SHAPES = ("circle", "square", "triangle-up", "diamond")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """The scale of a figure."""

    label: str
    ticks: tuple[str, str, str]
    """At its lower end, its middle and its upper end."""
    gradient: str
    """A style sheet's."""
    over_images: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureTile:
    """One place of a grid."""

    title: str
    image: tuple[str, int]
    """Of its image, or of its values where there is none: as `Images.place` gives it."""
    above: tuple[str, int] | None
    """Of the values over the image."""
    aspect: str
    """A style sheet's: width / height; empty where it is the grid's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MatrixValue:
    """One place of a matrix."""

    text: str
    colour: str
    dark: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureStep:
    """One picture of a figure."""

    title: str
    step: str
    text: str
    """What it shows, in words, for those who cannot see it."""
    note: str
    size: int
    """About what it takes in bytes, without its images."""
    grid: Grid | None = None
    rows: tuple[tuple[FigureTile | None, ...], ...] = ()
    matrix: Matrix | None = None
    values: tuple[tuple[MatrixValue, ...], ...] = ()
    aspect: str = ""
    """Of most tiles."""
    image: str = ""
    """The class of a matrix that is an image."""
    images: frozenset[str] = frozenset()
    """The classes of all its images."""
    chart: Chart | None = None
    bar: Bar | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A picture for which the page has no room."""

    words: str
    """Its step, or its title where it has none."""
    file: str
    """What its file is called, where it lies beside the page."""
    picture: Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class PanelFigure:
    """One figure: its steps that the page holds, and the others."""

    name: str
    steps: tuple[FigureStep, ...]
    first: int
    """Which of them is shown first: the last step, such as the last layer; the first picture where none is a step."""
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PanelFigures:
    """The figures of one panel."""

    scope: str
    """The id of the element that holds them."""
    figures: tuple[PanelFigure, ...]
    style: str
    """Rules of a style sheet that hold their images."""
    most: int
    """Bytes that they may take."""


def panel_figures(scope: str, label: str, figures: Sequence[DrawnFigure], most: int = MOST_BYTES) -> PanelFigures:
    """Return figures as a page shows them, as many as fit.

    Args:
        scope: the id of the element that holds them, which no other page element has.
        label: the model's, for the names of files.
        figures: of the model.
        most: bytes that they may take.
    """
    images = Images(scope)
    made = [[_step(picture, images) for picture in each.pictures] for each in figures]
    places: list[list[int]] = [[] for _ in made]

    def shown() -> list[FigureStep]:
        return [made[which][place] for which, taken in enumerate(places) for place in taken]

    def style() -> str:
        return images.rules(name for step in shown() for name in step.images)

    # One picture of each figure, then more of them.
    for counts in ((1,), None):
        for which, steps in enumerate(made):
            before = places[which]
            for count in counts or range(len(steps), 1, -1):
                places[which] = _chosen(figures[which].pictures, count)
                if sum(step.size for step in shown()) + len(style()) <= most:
                    break
                places[which] = before
    found = [
        PanelFigure(
            name=figure.name,
            steps=tuple(made[which][place] for place in places[which]),
            first=max((at for at, place in enumerate(places[which]) if figure.pictures[place].step), default=0),
            left_out=tuple(
                LeftOut(words=picture.step or picture.title, file=f"{name}-{figure.key[:8]}.png", picture=picture)
                for place, (picture, name) in enumerate(
                    zip(figure.pictures, figure_names(label, figure.name, figure.pictures), strict=True)
                )
                if place not in places[which]
            ),
        )
        for which, figure in enumerate(figures)
    ]
    return PanelFigures(scope=scope, figures=tuple(found), style=style(), most=most)


def board_figures(scope: str, drawn: Sequence[tuple[str, Sequence[DrawnFigure]]]) -> PanelFigures:
    """Return the same images through all models, one step for each figure that shows them.

    Args:
        scope: as of `panel_figures`.
        drawn: label and figures of each model.
    """
    grids = board_grids([(model, [(each.name, each.pictures) for each in figures]) for model, figures in drawn])
    key = digest([(model, each.key) for model, figures in drawn for each in figures])
    found = [DrawnFigure(name="models", key=key, pictures=tuple(grids))] if grids else []
    return panel_figures(scope, "all", found)


def _chosen(pictures: Sequence[Figure], taken: int) -> list[int]:
    """Return the places of some pictures: steps first, evenly spaced with the last among them, then the others."""
    steps = [place for place, picture in enumerate(pictures) if picture.step]
    others = [place for place, picture in enumerate(pictures) if not picture.step]
    if taken >= len(steps):
        return sorted((*steps, *others[: taken - len(steps)]))
    last = len(steps) - 1
    return [steps[round(i * last / (taken - 1))] for i in range(taken)] if taken > 1 else [steps[last]]


def _step(figure: Figure, images: Images) -> FigureStep:
    if isinstance(figure, Grid):
        return _grid_step(figure, images)
    return _matrix_step(figure, images) if isinstance(figure, Matrix) else _points_step(figure)


def _grid_step(grid: Grid, images: Images) -> FigureStep:
    pictured = [_layers(tile, grid) for tile in grid.tiles if tile is not None]
    below = images.place([image for image, _ in pictured])
    above = iter(images.place([values for _, values in pictured if values is not None]))
    aspects = [f"{image.shape[1]} / {image.shape[0]}" for image, _ in pictured]
    usual = max(aspects, key=aspects.count, default="")
    made = iter(
        FigureTile(
            title=tile.title,
            image=image,
            above=None if values is None else next(above),
            aspect="" if aspect == usual else aspect,
        )
        for tile, image, (_, values), aspect in zip(filter(None, grid.tiles), below, pictured, aspects, strict=True)
    )
    tiles = [None if tile is None else next(made) for tile in grid.tiles]
    rows = [tuple(tiles[at : at + grid.columns]) for at in range(0, len(tiles), grid.columns)]
    texts = (*grid.row_labels, *grid.column_labels, *(tile.title for tile in tiles if tile))
    bar = _bar(grid.scale, grid) if grid.scale is not None and values_of(grid) else None
    shown = sum(tile is not None for tile in tiles)
    parts = [f"{shown} tile{'s' if shown != 1 else ''} in {len(rows)} rows and {grid.columns} columns"]
    if grid.row_labels:
        parts.append(f"rows {_listed(grid.row_labels)}")
    if grid.column_labels:
        parts.append(f"columns {_listed(grid.column_labels)}")
    if bar:
        parts.append(f"{bar.label} from {bar.ticks[0]} to {bar.ticks[2]}")
    return FigureStep(
        title=grid.title,
        step=grid.step,
        text="; ".join(parts) + ".",
        note=grid.note,
        size=_STEP_BYTES
        + len(grid.note)
        + sum(_LABEL_BYTES + len(text) for text in texts if text)
        + _TILE_BYTES * len(tiles)
        + _ABOVE_BYTES * sum(tile is not None and tile.above is not None for tile in tiles),
        grid=grid,
        rows=tuple(rows),
        aspect=usual,
        images=frozenset(name for tile in tiles if tile for name, _ in filter(None, (tile.image, tile.above))),
        bar=bar,
    )


def _layers(tile: Tile, grid: Grid) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Return what a tile shows, and what lies over it: the style sheet greys the one and lets it shine through."""
    if tile.pixels is None or tile.values is None:
        return tile_image(tile, grid), None
    assert grid.scale is not None
    return tile_image(Tile(pixels=tile.pixels), grid), coloured(tile.values, grid.scale)


def _matrix_step(matrix: Matrix, images: Images) -> FigureStep:
    colours = coloured(matrix.values, matrix.scale)
    rows, columns = matrix.values.shape
    small = max(rows, columns) <= _MOST_LABELS
    name = "" if small else images.place([colours], exact=True)[0][0]
    texts = written(matrix.values) if small else []
    values = tuple(
        tuple(
            MatrixValue(text=text, colour=f"#{bytes(colour).hex()}", dark=dark(colour))
            for text, colour in zip(line, shades, strict=True)
        )
        for line, shades in zip(texts, colours if small else [], strict=True)
    )
    labels = sum(map(len, (*matrix.row_labels, *matrix.column_labels))) + _VALUE_BYTES * (rows + columns)
    return FigureStep(
        title=matrix.title,
        step=matrix.step,
        text=f"{rows} rows, {matrix.rows}, and {columns} columns, {matrix.columns}.",
        note=matrix.note,
        size=_STEP_BYTES + len(matrix.note) + (labels + _VALUE_BYTES * rows * columns if small else 0),
        matrix=matrix,
        values=values,
        image=name,
        images=frozenset(filter(None, [name])),
        bar=_bar(matrix.scale, matrix),
    )


def _points_step(points: Points) -> FigureStep:
    found = series_of(points)
    keys = [name for name, _ in found]
    columns: dict[str, list[Value]] = {
        "x": [number(float(value)) for value in points.x],
        "y": [number(float(value)) for value in points.y],
        **({"series": [*points.series]} if points.series else {}),
    }
    nothing: dict[str, list[Value]] = {name: [] for name in columns}
    told = [
        f"{name or points.y_label} {min(points.y[places]):.3g} to {max(points.y[places]):.3g}"
        for name, places in found[:_MOST_TOLD]
    ]
    more = f"; and {len(found) - _MOST_TOLD} more series" if len(found) > _MOST_TOLD else ""
    text = f"{points.y_label} over {points.x_label}: {'; '.join(told)}{more}."
    chart = Chart(
        kind="series" if points.series else "points",
        title=points.title,
        text=text,
        words={
            "x": points.x_label,
            "step": 1 if all(float(value).is_integer() for value in points.x) else None,  # no layer 1.5
            "y": points.y_label,
            "keys": keys,
            "colours": [f"var(--line-{place % len(COLOURS)})" for place in range(len(keys))],
            "shapes": [_SHAPES[place // len(COLOURS) % len(_SHAPES)] for place in range(len(keys))],
        },
        data={"points": columns, "joined": columns if points.lines else nothing},
    )
    size = _STEP_BYTES + len(points.note) + 2 * len(text) + 40 * len(points.x) * (1 + points.lines)
    return FigureStep(title=points.title, step=points.step, text=text, note=points.note, size=size, chart=chart)


def _bar(scale: Scale, figure: Grid | Matrix) -> Bar:
    values = values_of(figure) if isinstance(figure, Grid) else [figure.values]
    return Bar(
        label=scale.label,
        ticks=scale_ticks(scale, values),
        gradient=gradient(scale),
        over_images=isinstance(figure, Grid) and lies_over_images(figure),
    )


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _MOST_TOLD} more" if len(labels) > _MOST_TOLD else ""
    return ", ".join(labels[:_MOST_TOLD]) + more
