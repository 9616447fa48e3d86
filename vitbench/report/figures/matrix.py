"""A matrix as a picture: its values as colours, and written into their places where there is room."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from vitbench.figures import Matrix
from vitbench.report.figures.colours import coloured, dark
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
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas
    from numpy.typing import NDArray

__all__ = ["draw_matrix", "written"]

_WIDTH, _LEAST_WIDTH = 7.5, 4.2
_LARGEST, _SMALLEST, _LEAST_BAR = 0.55, 0.03, 1.1
_LABELS = 1.4
_NUMBER = 7.0
_GAP = 0.06
_AXIS = 0.24


def written(values: NDArray[np.floating]) -> list[list[str]]:
    """Return the values as texts: whole numbers where all are, else two decimals."""
    whole = bool(np.all(values == np.rint(values)))
    return [[f"{value:,.0f}" if whole else f"{value:.2f}" for value in row] for row in values.tolist()]


def draw_matrix(matrix: Matrix) -> Canvas:
    """Draw a matrix: title, names and labels of its rows and columns, the scale's bar, and the note."""
    rows, columns = matrix.values.shape
    row_labels = [lines(label, LABEL, _LABELS, 1) for label in matrix.row_labels]
    widest = max((width_of(text, LABEL) for label in row_labels for text in label), default=0)
    left = MARGIN + _AXIS + widest + _GAP
    side = min(max((_WIDTH - left - BAR - MARGIN) / columns, _SMALLEST), _LARGEST)
    upright = any(width_of(label, LABEL) > side - 0.02 for label in matrix.column_labels)
    column_labels = [lines(label, LABEL, _LABELS if upright else side, 1) for label in matrix.column_labels]
    longest = max((width_of(text, LABEL) for label in column_labels for text in label), default=0)
    labels_height = longest if upright else height_of(1, LABEL)
    width = max(left + columns * side + BAR + MARGIN, _LEAST_WIDTH)
    title = lines(heading(matrix), TITLE, width - 2 * MARGIN, 3)
    note = lines(matrix.note, NOTE, width - 2 * MARGIN, 6)
    top = MARGIN + height_of(len(title), TITLE) + 0.08 + _AXIS + labels_height + _GAP
    bottom = top + max(rows * side, _LEAST_BAR)
    sheet = Sheet.of(width, bottom + (0.12 + height_of(len(note), NOTE) if note else 0) + MARGIN)
    sheet.write_lines(title, MARGIN, MARGIN, TITLE)
    names = {"color": MUTED}
    across = "".join(lines(matrix.columns, LABEL, max(columns * side, 1.0), 1))
    sheet.write(across, left + columns * side / 2, top - _GAP - labels_height - _AXIS, LABEL, ha="center", **names)
    down = "".join(lines(matrix.rows, LABEL, max(rows * side, 1.0), 1))
    sheet.write(down, MARGIN, top + rows * side / 2, LABEL, va="center", rotation=90, **names)
    every = max(1, math.ceil(height_of(1, LABEL) / side))
    for place, label in enumerate(row_labels[::every]):
        sheet.write("".join(label), left - _GAP, top + (place * every + 0.5) * side, LABEL, ha="right", va="center")
    turned = {"rotation": 90} if upright else {}
    for place, label in enumerate(column_labels[:: every if upright else 1]):
        x = left + (place * (every if upright else 1) + 0.5) * side
        sheet.write("".join(label), x, top - _GAP, LABEL, ha="center", va="bottom", **turned)
    colours = coloured(matrix.values, matrix.scale)
    sheet.paint(colours, left, top, columns * side, rows * side)
    _write_values(sheet, matrix, colours, left, top, side)
    sheet.bar(matrix.scale, [matrix.values], left + columns * side, top, min(max(rows * side, _LEAST_BAR), 3.0))
    sheet.write_lines(note, MARGIN, bottom + 0.12, NOTE, color=MUTED)
    return sheet.canvas


def _write_values(
    sheet: Sheet, matrix: Matrix, colours: NDArray[np.uint8], left: float, top: float, side: float
) -> None:
    """Write all values, or none where one of them does not fit."""
    if side < 2 * height_of(1, _NUMBER) / 1.25:
        return
    texts = written(matrix.values)
    if max(width_of(text, _NUMBER) for row in texts for text in row) > side - 0.03:
        return
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            ink = "white" if dark(colours[i, j]) else "black"
            place = left + (j + 0.5) * side, top + (i + 0.5) * side
            sheet.write(text, *place, _NUMBER, ha="center", va="center", color=ink)
