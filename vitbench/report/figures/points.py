"""Points of one or more series as a picture, told apart by colour and by marker or dashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vitbench.figures import Points
from vitbench.report.figures.sheet import MUTED, NOTE, TITLE, heading, lines
from vitbench.report.plots.text import add_legend, shown
from vitbench.report.training_curves import COLOURS, DASHES

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

__all__ = ["draw_points", "series_of"]

_SIZE = (6.5, 4.2)
_MARKERS = "os^D"


def series_of(points: Points) -> list[tuple[str, list[int]]]:
    """Return the series in the order of their first points, each with the places of its points."""
    if not points.series:
        return [("", list(range(len(points.x))))]
    return [
        (name, [place for place, each in enumerate(points.series) if each == name])
        for name in dict.fromkeys(points.series)
    ]


def draw_points(points: Points) -> Canvas:
    """Draw points: title, axes with their labels, a legend of several series, and the note."""
    from matplotlib.figure import Figure as Canvas
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    canvas = Canvas(figsize=_SIZE, layout="constrained")
    axes = canvas.subplots()
    axes.set_xlabel(shown(points.x_label))
    axes.set_ylabel(shown(points.y_label))
    if np.all(points.x == np.rint(points.x)):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    found = series_of(points)
    for number, (_, places) in enumerate(found):
        axes.plot(points.x[places], points.y[places], **_look(number, joined=points.lines))
    if len(found) > 1:
        handles = [Line2D([], [], **_look(number, joined=points.lines)) for number in range(len(found))]
        add_legend(canvas, handles, [shown(name, 24) for name, _ in found], above=axes)
    title = "\n".join(lines(heading(points), TITLE, _SIZE[0] - 0.3, 3))
    canvas.suptitle(title, fontsize=TITLE, x=0.02, ha="left")
    note = "\n".join(lines(points.note, NOTE, _SIZE[0] - 0.3, 6))
    if note:
        canvas.supxlabel(note, fontsize=NOTE, color=MUTED, x=0.02, ha="left")
    return canvas


def _look(number: int, *, joined: bool) -> dict[str, Any]:
    turn, colour = number // len(COLOURS), COLOURS[number % len(COLOURS)]
    dashes = DASHES[turn % len(DASHES)]
    return {
        "color": colour,
        "linestyle": ("solid" if not dashes else (0, dashes)) if joined else "none",
        "linewidth": 1.3,
        "marker": _MARKERS[turn % len(_MARKERS)],
        "markersize": 4 if joined else 5,
        "alpha": 0.85,
    }
