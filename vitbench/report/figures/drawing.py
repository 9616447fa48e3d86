"""Figures as files: one picture for each, as PNG and SVG, the same bytes for the same figure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vitbench.figures import Figure, Grid, Matrix
from vitbench.report.figures.grid import draw_grid
from vitbench.report.figures.matrix import draw_matrix
from vitbench.report.figures.points import draw_points
from vitbench.report.plots.canvas import canvas_files, drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

__all__ = ["NAME_LENGTH", "draw_figure", "figure_names", "file_part", "png", "render_figures"]

NAME_LENGTH = 60
"""Characters of a name that come into a file's name."""


def draw_figure(figure: Figure) -> Canvas:
    """Return one picture; to be called and written within `vitbench.report.plots.canvas.drawing`."""
    if isinstance(figure, Grid):
        return draw_grid(figure)
    return draw_matrix(figure) if isinstance(figure, Matrix) else draw_points(figure)


def render_figures(model: str, name: str, figures: Sequence[Figure]) -> dict[str, bytes]:
    """Return the pictures of one figure of a model as PNG and SVG, by file name: ``vit-p4-attention-layer-3.png``.

    Args:
        model: its label.
        name: the figure's.
        figures: what it drew.

    Raises:
        UnusableError: matplotlib is not installed.
    """
    found: dict[str, bytes] = {}
    with drawing():
        for each, figure in zip(figure_names(model, name, figures), figures, strict=True):
            found |= canvas_files(each, draw_figure(figure))
    return found


def png(figure: Figure) -> bytes:
    """Return one picture as PNG.

    Raises:
        UnusableError: matplotlib is not installed.
    """
    with drawing():
        return canvas_files("", draw_figure(figure), ["png"])[".png"]


def figure_names(model: str, name: str, figures: Sequence[Figure]) -> list[str]:
    """Return the names of the files of a figure's pictures, without suffix: each its own, of letters that any system
    takes."""
    parts = [[file_part(part) for part in (model, name.rpartition("/")[2], figure.step) if part] for figure in figures]
    names = ["-".join(each) for each in parts]
    taken = Counter(each.lower() for each in names)
    return [f"{each}-{number}" if taken[each.lower()] > 1 else each for number, each in enumerate(names, 1)]


def file_part(text: str) -> str:
    """Return a text as part of a file's name: in letters that any system takes, and not too long."""
    found = re.sub(r"[^A-Za-z0-9_.=]+", "-", text).strip("-.")
    return found[:NAME_LENGTH].rstrip("-.") or "x"
