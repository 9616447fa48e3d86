"""The picture of training: loss and validation accuracy by epoch and by second, one line per model and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitbench.records import Record
from vitbench.report.naming import row_labels
from vitbench.report.plots.text import add_legend, add_title, shown
from vitbench.report.training_curves import CLOCK, COLOURS, DASHES, MOST_NAMED, quantity_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from vitbench.report.plots.pictures import PlottedTable

__all__ = ["draw_curves"]

_PANELS = (("loss", "epoch"), ("val_top1", "epoch"), ("val_top1", CLOCK))
"""What is drawn, and over what; the last where seconds of training were logged."""
_OVER = {"epoch": "epoch", CLOCK: "seconds of training"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Training:
    """The trainings of one row."""

    name: str
    records: tuple[Record, ...]
    """One for each seed."""


def draw_curves(table: PlottedTable) -> Canvas | None:
    """Draw the curves of one condition's rows; return None where the pictures of earlier tables show all of them."""
    runs = _trainings(table)
    if table.earlier.issuperset(record.id for run in runs for record in run.records):
        return None
    from matplotlib.figure import Figure as Canvas

    panels = [panel for panel in _PANELS if any(_drawn(run, [panel]) for run in runs)]
    canvas = Canvas(figsize=(4.5 * len(panels), 4.5), layout="constrained")
    for axes, panel in zip(canvas.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        key, over = panel
        axes.set_xlabel(_OVER[over])
        axes.set_ylabel(quantity_of(key).words)
        for number, run in reversed(list(enumerate(runs))):
            for record in run.records:
                places, values = _points(record, panel)
                marker = "o" if len(places) == 1 else ""
                axes.plot(places, values, marker=marker, markersize=3, **_look(number))
    _name_lines(canvas, runs)
    add_title(canvas, table.title)
    return canvas


def _trainings(table: PlottedTable) -> list[_Training]:
    """Return the rows whose records have a curve that can be drawn."""
    found = []
    for row, name in zip(table.rows, row_labels(table.rows), strict=True):
        records = [table.newest[each] for each in row.ids]
        trained = [record for record in records if any(_points(record, panel)[0] for panel in _PANELS)]
        if trained:
            found.append(_Training(name=name, records=tuple(trained)))
    return found


def _drawn(run: _Training, panels: Sequence[tuple[str, str]]) -> bool:
    return any(_points(record, panel)[0] for record in run.records for panel in panels)


def _points(record: Record, panel: tuple[str, str]) -> tuple[list[float], list[float]]:
    key, over = panel
    points = [(row[over], quantity_of(key).scale * row[key]) for row in record.curve if over in row and key in row]
    return [place for place, _ in points], [value for _, value in points]


def _look(number: int) -> dict[str, Any]:
    if number >= MOST_NAMED:
        return {"color": "0.7", "linewidth": 0.6, "alpha": 0.85}
    dashes = DASHES[number // len(COLOURS)]
    style = (0, dashes) if dashes else "solid"
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": style, "linewidth": 1.2, "alpha": 0.85}


def _name_lines(canvas: Canvas, runs: Sequence[_Training]) -> None:
    from matplotlib.lines import Line2D

    names = [
        shown(run.name) + (f" ({len(run.records)} seeds)" if len(run.records) > 1 else "") for run in runs[:MOST_NAMED]
    ]
    if len(runs) > MOST_NAMED:
        names.append(f"{len(runs) - MOST_NAMED} others")
    handles = [Line2D([], [], **_look(number)) for number in range(len(names))]
    add_legend(canvas, handles, names)
