"""What a Pareto picture shows, whoever draws it: points, front, baselines' levels, and what has no place.

`pareto_plot` draws it as a file, `html.pareto_chart` on the page; so the two say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.leaderboard.leaderboard import Metric, Row
from vitbench.leaderboard.pareto import front
from vitbench.records import Level
from vitbench.report.metric_styles import MetricStyle, in_words, style_of
from vitbench.report.naming import row_labels
from vitbench.report.terminal_text import VERDICTS
from vitbench.settings import AXES

__all__ = ["MOST_LABELS", "BaselineLine", "Ends", "Placement", "Point", "place"]

MOST_LABELS = 12
"""Points that are all labelled; of more, only those on the front, and of as many of these some, evenly spaced."""
_LOG_RATIO = 20.0
"""An axis over more than this factor is logarithmic."""
_REACH = 0.5
"""How far from the points, in parts of their range, a baseline's level is still drawn: further, it would press them
together."""

Ends = tuple[float, float, float]
"""Low, value and high."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A row that has both metrics, in the units for readers."""

    name: str
    row: Row
    x: Ends
    y: Ends
    verdict: Level
    """The worse of the two."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineLine:
    """A baseline, which has no speed: a horizontal line."""

    name: str
    y: float
    text: str
    """Its value in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where the rows of one condition stand."""

    upright: MetricStyle
    across: MetricStyle
    points: tuple[Point, ...]
    on_front: frozenset[int]
    """Positions in `points`."""
    near: tuple[BaselineLine, ...]
    """Baselines among the points or not far from them."""
    far: tuple[BaselineLine, ...]
    """The other baselines."""
    left_out: tuple[str, ...]
    """Rows that have no place, each with the reason."""

    @property
    def labelled(self) -> frozenset[int]:
        """Positions of the points whose names are written."""
        if len(self.points) <= MOST_LABELS:
            return frozenset(range(len(self.points)))
        front = sorted(self.on_front, key=lambda i: self.points[i].x[1])
        step = (len(front) - 1) / (MOST_LABELS - 1)
        return frozenset(front if step <= 1 else (front[round(i * step)] for i in range(MOST_LABELS)))

    @property
    def logarithmic(self) -> bool:
        """Whether the horizontal axis is."""
        values = [point.x[1] for point in self.points]
        return min(values) > 0 and max(values) / min(values) > _LOG_RATIO


def place(rows: Sequence[Row], rank_by: str, metric: str) -> Placement:
    """Return where rows of one condition stand in the picture of `rank_by` against `metric`, a key of `AXES`."""
    upright, across = style_of(rank_by, rows), style_of(metric, rows)
    points, levels, left_out = [], [], []
    for row, name in zip(rows, row_labels(rows), strict=True):
        merit, cost = row.metrics.get(rank_by), row.metrics.get(metric)
        y, x = _ends(merit, upright.scale), _ends(cost, across.scale)
        if merit is None or merit.value is None or y is None:
            left_out.append(f"{name} (no {rank_by})")
        elif cost is not None and x is not None:
            verdict = max(merit.verdict, cost.verdict, key=list(VERDICTS).index)
            points.append(Point(name=name, row=row, x=x, y=y, verdict=verdict))
        elif not row.baseline:
            left_out.append(f"{name} (no {AXES[metric]})")
        elif merit.verdict == "invalid":  # a line would be taken for something to beat
            left_out.append(f"{name} (invalid {rank_by})")
        else:
            levels.append(BaselineLine(name=name, y=y[1], text=in_words(upright, merit.value)))
    near = _within_reach(levels, points)
    return Placement(
        upright=upright,
        across=across,
        points=tuple(points),
        on_front=front([point.row for point in points], (rank_by, metric)),
        near=tuple(near),
        far=tuple(level for level in levels if level not in near),
        left_out=tuple(left_out),
    )


def _ends(metric: Metric | None, scale: float) -> Ends | None:
    if metric is None or metric.value is None:
        return None
    low, high = metric.ends or (metric.value, metric.value)
    return scale * low, scale * metric.value, scale * high


def _within_reach(levels: Sequence[BaselineLine], points: Sequence[Point]) -> list[BaselineLine]:
    if not points:
        return []
    bottom, top = min(point.y[0] for point in points), max(point.y[2] for point in points)
    margin = _REACH * (top - bottom)
    return [level for level in levels if bottom - margin <= level.y <= top + margin]
