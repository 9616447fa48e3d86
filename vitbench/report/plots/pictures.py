"""The leaderboard as pictures, PNG and SVG, by matplotlib, in one table: a new one is a line here and a module.

The same results give the same bytes: no date, no random identifiers. Names are text; none is taken for mathematics.
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitbench.errors import UnusableError
from vitbench.leaderboard.leaderboard import Leaderboard, Row
from vitbench.records import Record, newest_by_id
from vitbench.report.naming import conditions_in_words, titles
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
_FORMATS = ("png", "svg")
_STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: pictures look alike everywhere
    "font.size": 9,
    "grid.alpha": 0.3,
    "savefig.dpi": 160,
    "svg.fonttype": "none",  # text that can be searched and read aloud
    "svg.hashsalt": "vitbench",
    "text.parse_math": False,
}


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
    return re.fullmatch(rf"({'|'.join(PICTURES)})(-\d+)?\.({'|'.join(_FORMATS)})", name) is not None


def render_pictures(board: Leaderboard, records: Iterable[Record]) -> dict[str, bytes]:
    """Return pictures by file name: ``pareto.png``, ``pareto.svg``, ``curves.png``, ``curves.svg``.

    Where the leaderboard has several tables, the names have the number of the table, ``pareto-2.png``. A table where no
    row has both metrics has no Pareto picture; curves that an earlier table's picture shows are not drawn again.

    Raises:
        UnusableError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UnusableError('pictures need matplotlib; install it: pip install "vitbench[plots]"')
    import matplotlib as mpl

    by_condition, newest = board.by_condition(), newest_by_id(records)
    names = titles(by_condition)
    earlier: set[str] = set()
    found: dict[str, bytes] = {}
    with mpl.rc_context(_STYLE):
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
                    found |= _files(f"{name}-{number}" if len(by_condition) > 1 else name, canvas)
            earlier.update(each for row in rows for each in row.ids)
    return found


def _files(name: str, canvas: Canvas) -> dict[str, bytes]:
    found = {}
    for kind in _FORMATS:
        content = io.BytesIO()
        canvas.savefig(content, format=kind, metadata={"Date": None} if kind == "svg" else None)
        found[f"{name}.{kind}"] = content.getvalue()
    return found
