"""The picture of training: loss and validation accuracy by epoch, one line per model and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitbench.records import Record
from vitbench.report.naming import row_labels
from vitbench.report.plots.text import add_legend, add_title, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from vitbench.report.plots.pictures import PlottedTable

__all__ = ["draw_curves"]

_PANELS = (("loss", "training loss", 1.0), ("val_top1", "validation top1 (%)", 100.0))
"""Name in the curve, label, scale."""
_MOST_COLOURS = 10
"""Models that have a colour and a name of their own; the further ones are grey."""


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

    canvas = Canvas(figsize=(9, 4.5), layout="constrained")
    panels = canvas.subplots(1, len(_PANELS))
    for axes, (key, label, scale) in zip(panels, _PANELS, strict=True):
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        for number, run in reversed(list(enumerate(runs))):
            for record in run.records:
                epochs, values = _points(record, key)
                marker = "o" if len(epochs) == 1 else ""
                axes.plot(epochs, [scale * value for value in values], marker=marker, markersize=3, **_look(number))
    _name_lines(canvas, runs)
    add_title(canvas, table.title)
    return canvas


def _trainings(table: PlottedTable) -> list[_Training]:
    """Return the rows whose records have a curve that can be drawn."""
    found = []
    for row, name in zip(table.rows, row_labels(table.rows), strict=True):
        records = [table.newest[each] for each in row.ids]
        trained = [record for record in records if any(_points(record, key)[0] for key, *_ in _PANELS)]
        if trained:
            found.append(_Training(name=name, records=tuple(trained)))
    return found


def _points(record: Record, key: str) -> tuple[list[float], list[float]]:
    points = [(row["epoch"], row[key]) for row in record.curve if "epoch" in row and key in row]
    return [epoch for epoch, _ in points], [value for _, value in points]


def _look(number: int) -> dict[str, Any]:
    own = number < _MOST_COLOURS
    return {"color": f"C{number}" if own else "0.7", "linewidth": 1.2 if own else 0.6, "alpha": 0.85}


def _name_lines(canvas: Canvas, runs: Sequence[_Training]) -> None:
    from matplotlib.lines import Line2D

    names = [
        shown(run.name) + (f" ({len(run.records)} seeds)" if len(run.records) > 1 else "")
        for run in runs[:_MOST_COLOURS]
    ]
    if len(runs) > _MOST_COLOURS:
        names.append(f"{len(runs) - _MOST_COLOURS} others")
    handles = [Line2D([], [], **_look(number)) for number in range(len(names))]
    add_legend(canvas, handles, names)
