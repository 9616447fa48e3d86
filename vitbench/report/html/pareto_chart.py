"""The picture of a section: what is ranked by, against speed, latency, memory or size, with intervals and front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vitbench.leaderboard.leaderboard import Row
from vitbench.report.html.charts import Chart, Value, number
from vitbench.report.metric_styles import MetricStyle, in_words
from vitbench.report.pareto_points import MOST_LABELS, Placement, Point, place
from vitbench.report.terminal_text import VERDICTS
from vitbench.settings import AXES

__all__ = ["Picture", "pictures"]

_LABELS_TURN = 0.75
"""Share of the axis from which labels stand left of their points, so that they stay in the picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One choice of the horizontal axis."""

    name: str
    chart: Chart


def pictures(rows: Sequence[Row], rank_by: str, ids: Sequence[str]) -> list[Picture]:
    """Return a picture for each axis along which two rows differ.

    Args:
        rows: of one condition.
        rank_by: the vertical axis.
        ids: of the rows' panels.
    """
    panels = dict(zip(map(id, rows), ids, strict=True))
    found = []
    for metric, name in AXES.items():
        placed = place(rows, rank_by, metric)
        if metric != rank_by and len({point.x[1] for point in placed.points}) > 1:
            found.append(Picture(name=name, chart=_chart(placed, rank_by, metric, panels)))
    return found


def _chart(placed: Placement, rank_by: str, metric: str, panels: Mapping[int, str]) -> Chart:
    points, name = placed.points, AXES[metric]
    absent = [*placed.left_out, *(f"{level.name} ({level.text})" for level in placed.far)]
    relative = any(own.relative for point in points if (own := point.row.metrics.get(metric)))
    leaders = sorted((points[i] for i in placed.on_front), key=lambda point: point.x[1])
    words = "; ".join(
        f"{point.name} ({_text(point, placed.upright)}, {_text(point, placed.across)})"
        for point in leaders
        if len(leaders) <= MOST_LABELS or placed.points.index(point) in placed.labelled
    )
    words += f"; and {len(leaders) - MOST_LABELS} more" if len(leaders) > MOST_LABELS else ""
    return Chart(
        kind="pareto",
        title=f"{rank_by} and {name}",
        text=(
            f"{rank_by} against {name} of {len(points)} models. On the Pareto front: "
            f"{words or 'none, for lack of valid numbers'}."
            + (" Bars of speed are intervals of its ratio to the reference network." if relative else "")
            + (f" Not in the picture: {', '.join(absent)}." if absent else "")
        ),
        words={
            "x": _title(placed.across, points[0].row),
            "y": _title(placed.upright, points[0].row),
            "x_name": name,
            "x_metric": metric,
            "y_name": rank_by,
            "scale": "log" if placed.logarithmic else "linear",
            # Vega-Lite warns of "zero" on a logarithmic scale: it must not be there.
            "zero": None if placed.logarithmic else False,
        },
        data={
            "points": _columns(placed, panels),
            "levels": {"model": [level.name for level in placed.near], "y": [number(level.y) for level in placed.near]},
        },
    )


def _columns(placed: Placement, panels: Mapping[int, str]) -> dict[str, list[Value]]:
    points, turn = placed.points, _turn(placed)
    return {
        "id": [panels[id(point.row)] for point in points],
        "model": [point.name for point in points],
        **{name: [number(point.x[i]) for point in points] for i, name in enumerate(("x_low", "x", "x_high"))},
        **{name: [number(point.y[i]) for point in points] for i, name in enumerate(("y_low", "y", "y_high"))},
        "x_text": [_text(point, placed.across) for point in points],
        "y_text": [_text(point, placed.upright) for point in points],
        "verdict": [VERDICTS[point.verdict] for point in points],
        "front": [i in placed.on_front for i in range(len(points))],
        "labelled": [i in placed.labelled for i in range(len(points))],
        "leftwards": [point.x[1] > turn for point in points],
    }


def _text(point: Point, style: MetricStyle) -> str:
    """Return one of a point's values in words."""
    value = point.row.metrics[style.metric].value
    assert value is not None
    return in_words(style, value)


def _title(style: MetricStyle, row: Row) -> str:
    better = row.metrics[style.metric].better
    unit = f" ({style.unit})" if style.unit else ""
    return f"{style.metric}{unit}, {better} is better" if better in ("higher", "lower") else f"{style.metric}{unit}"


def _turn(placed: Placement) -> float:
    """Return the value from which labels stand to the left."""
    values = [point.x[1] for point in placed.points]
    low, high = min(values), max(values)
    if placed.logarithmic:
        return low * math.pow(high / low, _LABELS_TURN)
    return low + _LABELS_TURN * (high - low)
