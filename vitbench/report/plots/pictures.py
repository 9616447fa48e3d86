"""The leaderboard as pictures, PNG and SVG, by matplotlib: what is ranked by against speed, and the training curves.

The same results give the same bytes: no date, no random identifiers. Names are text; none is taken for mathematics.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vitbench.errors import UnusableError
from vitbench.leaderboard.leaderboard import Leaderboard
from vitbench.records import Record, newest_by_id
from vitbench.report.naming import conditions_in_words, titles

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

__all__ = ["render_pictures"]

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


def render_pictures(board: Leaderboard, records: Iterable[Record]) -> dict[str, bytes]:
    """Return pictures by file name: ``pareto.png``, ``pareto.svg``, ``curves.png``, ``curves.svg``.

    Where the leaderboard has several tables, the names have the number of the table, ``pareto-2.png``. A table where no
    row has both figures has no Pareto picture; curves that an earlier table's picture shows are not drawn again.

    Raises:
        UnusableError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UnusableError('pictures need matplotlib; install it: pip install "vitbench[plots]"')
    import matplotlib as mpl

    from vitbench.report.plots.curves import draw_curves, runs_of
    from vitbench.report.plots.pareto import draw_pareto

    by_condition, newest = board.by_condition(), newest_by_id(records)
    names = titles(by_condition)
    found: dict[str, bytes] = {}
    drawn: set[str] = set()
    with mpl.rc_context(_STYLE):
        for number, (condition, rows) in enumerate(by_condition.items(), 1):
            suffix = f"-{number}" if len(by_condition) > 1 else ""
            canvas = draw_pareto(rows, board.rank_by, names[condition], conditions_in_words(condition))
            if canvas is not None:
                found |= _files(f"pareto{suffix}", canvas)
            runs = runs_of(rows, newest)
            trained = {record.id for run in runs for record in run.records}
            if trained - drawn:
                found |= _files(f"curves{suffix}", draw_curves(runs, names[condition]))
                drawn |= trained
    return found


def _files(name: str, canvas: Canvas) -> dict[str, bytes]:
    found = {}
    for kind in _FORMATS:
        content = io.BytesIO()
        canvas.savefig(content, format=kind, metadata={"Date": None} if kind == "svg" else None)
        found[f"{name}.{kind}"] = content.getvalue()
    return found
