"""The leaderboard as pictures, PNG and SVG, by matplotlib, in one table: a new one is a line here and a module.

The same results give the same bytes: no date, no random identifiers. Names are text; none is taken for mathematics.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitbench.leaderboard.leaderboard import Leaderboard, Row
from vitbench.records import Record, newest_by_id
from vitbench.report.naming import conditions_in_words, titles
from vitbench.report.plots.canvas import FORMATS, canvas_files, drawing
from vitbench.specs import load_target

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

__all__ = ["PICTURES", "PlottedTable", "is_picture", "render_pictures"]

PICTURES: dict[str, str] = {
    "pareto": "vitbench.report.plots.pareto:draw_pareto",
    "curves": "vitbench.report.plots.curves:draw_curves",
}
"""By the beginning of their files' names: ``module:function``, imported when pictures are drawn. The function takes a
`PlottedTable` and returns a canvas, or None where there is nothing to show."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlottedTable:
    """What a picture is drawn from: the rows of one condition, the best first."""

    rows: tuple[Row, ...]
    rank_by: str
    title: str
    conditions: str
    newest: Mapping[str, Record]
    """The newest attempt at each cell, by id."""
    earlier: frozenset[str]
    """The cells of earlier tables."""


def is_picture(name: str) -> bool:
    """Say whether a file's name is one that `render_pictures` may give."""
    return re.fullmatch(rf"({'|'.join(PICTURES)})(-\d+)?\.({'|'.join(FORMATS)})", name) is not None


def render_pictures(board: Leaderboard, records: Iterable[Record]) -> dict[str, bytes]:
    """Return pictures by file name: ``pareto.png``, ``pareto.svg``, ``curves.png``, ``curves.svg``.

    Where the leaderboard has several tables, the names have the number of the table, ``pareto-2.png``. A table where no
    row has both metrics has no Pareto picture; curves that an earlier table's picture shows are not drawn again.

    Raises:
        UnusableError: matplotlib is not installed.
    """
    by_condition, newest = board.by_condition(), newest_by_id(records)
    names = titles(by_condition)
    earlier: set[str] = set()
    found: dict[str, bytes] = {}
    with drawing():
        for number, (condition, rows) in enumerate(by_condition.items(), 1):
            table = PlottedTable(
                rows=tuple(rows),
                rank_by=board.rank_by,
                title=names[condition],
                conditions=conditions_in_words(condition, names),
                newest=newest,
                earlier=frozenset(earlier),
            )
            for name, target in PICTURES.items():
                canvas: Canvas | None = load_target(target)(table)
                if canvas is not None:
                    found |= canvas_files(f"{name}-{number}" if len(by_condition) > 1 else name, canvas)
            earlier.update(each for row in rows for each in row.ids)
    return found
