"""The picture of a section: what is ranked by, against speed, latency, memory or size, with intervals and front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vitbench.leaderboard import Metric, Row
from vitbench.pareto import front
from vitbench.report.figures import Figure, figure_of, in_words
from vitbench.report.html.charts import Chart, Value, number
from vitbench.report.naming import model_names

__all__ = ["Picture", "pictures"]

_AXES = (
    ("throughput", "throughput"),
    ("latency_p50", "latency"),
    ("peak_memory", "memory"),
    ("params", "parameters"),
)
"""Metrics to set the ranking metric against, and their short names."""
_VERDICTS = {"valid": "valid", "warn": "doubtful", "invalid": "invalid"}
MOST_LABELS = 12
"""Points that are all labelled; of more, only those on the front."""
LABELS_TURN = 0.75
"""Share of the axis from which labels stand left of their points, so that they stay in the picture."""
LOG_RATIO = 20.0
"""Ratio of largest to smallest from which an axis is logarithmic."""
LEVEL_MARGIN = 0.5
"""How far from the points, in parts of their range, a baseline's level is still drawn: further, it would press them
together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One choice of the horizontal axis."""

    name: str
    chart: Chart


class _Point(NamedTuple):
    """A row that has both figures, in the units that they are shown in."""

    name: str
    panel: str
    row: Row
    x: tuple[float, float, float]
    """Value, low, high."""
    y: tuple[float, float, float]
    text: tuple[str, str]
    """Both values in words."""
    verdict: str
    """The worse of the two."""


class _Level(NamedTuple):
    """A baseline, which has no speed: a horizontal line."""

    name: str
    y: float
    text: str


class _Axes(NamedTuple):
    """What is drawn against what."""

    rank_by: str
    upright: Figure
    metric: str
    name: str
    """Of `metric`, short."""
    across: Figure


def pictures(rows: Sequence[Row], rank_by: str, ids: Sequence[str]) -> list[Picture]:
    """Return a picture for each axis along which two rows differ.

    Args:
        rows: of one condition.
        rank_by: the vertical axis.
        ids: of the rows' panels.
    """
    upright = figure_of(rank_by, rows)
    found = []
    for metric, name in _AXES:
        axes = _Axes(rank_by, upright, metric, name, figure_of(metric, rows))
        points, levels, left_out = _placed(rows, ids, axes)
        if metric != rank_by and len({point.x[0] for point in points}) > 1:
            found.append(Picture(name=name, chart=_chart(points, levels, left_out, axes)))
    return found


def _placed(rows: Sequence[Row], ids: Sequence[str], axes: _Axes) -> tuple[list[_Point], list[_Level], list[str]]:
    """Return the points, the baselines' levels, and in words which rows have no place."""
    points, levels, left_out = [], [], []
    for row, name, panel in zip(rows, model_names(rows), ids, strict=True):
        y, x = row.metrics.get(axes.rank_by), row.metrics.get(axes.metric)
        if y is None or y.value is None:
            left_out.append(f"{name} (no {axes.rank_by})")
        elif x is not None and x.value is not None:
            points.append(
                _Point(
                    name=name,
                    panel=panel,
                    row=row,
                    x=_ends(x, axes.across.scale),
                    y=_ends(y, axes.upright.scale),
                    text=(in_words(axes.across, x.value), in_words(axes.upright, y.value)),
                    verdict=_VERDICTS[max((x.verdict, y.verdict), key=list(_VERDICTS).index)],
                )
            )
        elif row.baseline:
            levels.append(_Level(name, y.value * axes.upright.scale, in_words(axes.upright, y.value)))
        else:
            left_out.append(f"{name} (no {axes.name})")
    return points, levels, left_out


def _ends(metric: Metric, scale: float) -> tuple[float, float, float]:
    assert metric.value is not None
    low = metric.value if metric.low is None else metric.low
    high = metric.value if metric.high is None else metric.high
    return metric.value * scale, low * scale, high * scale


def _chart(points: Sequence[_Point], levels: Sequence[_Level], left_out: Sequence[str], axes: _Axes) -> Chart:
    on_front = front([point.row for point in points], (axes.rank_by, axes.metric))
    near, far = _within_reach(levels, [point.y[0] for point in points])
    absent = [*left_out, *(f"{level.name} ({level.text})" for level in far)]
    leaders = sorted((points[i] for i in on_front), key=lambda point: point.x[0])
    words = "; ".join(f"{point.name} ({point.text[1]}, {point.text[0]})" for point in leaders)
    logarithmic, turn = _scale([point.x[0] for point in points])
    return Chart(
        kind="pareto",
        title=f"{axes.rank_by} and {axes.name}",
        text=(
            f"{axes.rank_by} against {axes.name} of {len(points)} models. On the Pareto front: "
            f"{words or 'none, for want of valid figures'}."
            + (f" Not in the picture: {', '.join(absent)}." if absent else "")
        ),
        words={
            "x": _title(axes.metric, axes.across, points[0].row),
            "y": _title(axes.rank_by, axes.upright, points[0].row),
            "x_name": axes.name,
            "y_name": axes.rank_by,
            "scale": "log" if logarithmic else "linear",
            # Vega-Lite warns of "zero" on a logarithmic scale: it must not be there.
            "zero": None if logarithmic else False,
        },
        data={
            "points": _columns(points, on_front, turn),
            "levels": {"model": [level.name for level in near], "y": [number(level.y) for level in near]},
        },
    )


def _columns(points: Sequence[_Point], on_front: frozenset[int], turn: float) -> dict[str, list[Value]]:
    return {
        "id": [point.panel for point in points],
        "model": [point.name for point in points],
        **{name: [number(point.x[i]) for point in points] for i, name in enumerate(("x", "x_low", "x_high"))},
        **{name: [number(point.y[i]) for point in points] for i, name in enumerate(("y", "y_low", "y_high"))},
        "x_text": [point.text[0] for point in points],
        "y_text": [point.text[1] for point in points],
        "verdict": [point.verdict for point in points],
        "front": [i in on_front for i in range(len(points))],
        "labelled": [i in on_front or len(points) <= MOST_LABELS for i in range(len(points))],
        "leftwards": [point.x[0] > turn for point in points],
    }


def _within_reach(levels: Sequence[_Level], heights: Sequence[float]) -> tuple[list[_Level], list[_Level]]:
    """Return the baselines that stand among the points or near, and the others."""
    margin = LEVEL_MARGIN * (max(heights) - min(heights))
    near = [level for level in levels if min(heights) - margin <= level.y <= max(heights) + margin]
    return near, [level for level in levels if level not in near]


def _title(metric: str, figure: Figure, row: Row) -> str:
    better = row.metrics[metric].better
    unit = f" ({figure.unit})" if figure.unit else ""
    return f"{metric}{unit}, {better} is better" if better in ("higher", "lower") else f"{metric}{unit}"


def _scale(values: Sequence[float]) -> tuple[bool, float]:
    """Return whether the axis is logarithmic, and the value from which labels stand to the left."""
    low, high = min(values), max(values)
    if low > 0 and high / low > LOG_RATIO:
        return True, low * math.pow(high / low, LABELS_TURN)
    return False, low + LABELS_TURN * (high - low)
