"""What the page's filter knows: the figures of all rows in base units, and the units that can be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vitbench.leaderboard.leaderboard import Row
from vitbench.leaderboard.units import DIMENSIONS
from vitbench.leaderboard.view import figures, units
from vitbench.printable import plain
from vitbench.report.html.panels import panel_id
from vitbench.report.naming import row_labels

__all__ = ["filter_data"]


def filter_data(sections: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """Return what templates/filtering.js reads: of each section's rows the figures, unrounded, and the invalid ones."""
    rows = [row for section in sections for row in section]
    return {
        "dimensions": {
            base: {
                "name": one.name,
                "bare": one.bare,
                "units": {name: [unit.power, unit.factor] for name, unit in one.units.items()},
            }
            for base, one in DIMENSIONS.items()
        },
        "units": units(rows),
        "better": {name: metric.better for row in rows for name, metric in row.metrics.items()},
        "sections": [
            {"rows": [_row(row, name) for row, name in zip(section, row_labels(section), strict=True)]}
            for section in sections
        ],
    }


def _row(row: Row, name: str) -> dict[str, Any]:
    known = {metric: value for metric, value in figures(row).items() if value is not None}
    return {
        "id": panel_id(row),
        "name": plain(name),
        "values": known,
        "invalid": [m for m, each in row.metrics.items() if each.verdict == "invalid" and each.value is not None],
    }
