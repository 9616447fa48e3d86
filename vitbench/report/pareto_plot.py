"""The Pareto picture: what is ranked by against throughput, with both intervals, the front and the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitbench.leaderboard import Metric, Row
from vitbench.pareto import front
from vitbench.report.figures import Figure, figure_of, in_words, rounded
from vitbench.report.lettering import add_legend, add_title, shown
from vitbench.report.naming import model_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.figure import Figure as Canvas
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

__all__ = ["draw_pareto"]

_MOST_LABELS = 25
"""Points that are all named; of more, only those on the front."""
_LOG_RATIO = 20.0
"""Ratio of largest to smallest speed from which the axis is logarithmic."""
_LEVEL_MARGIN = 0.5
"""How far from the points, in parts of their range, a baseline is drawn: others would press them together."""
_ACCENT, _PALE = "#0b6bcb", "#707880"
_FRONT: dict[str, Any] = {"color": _ACCENT, "linewidth": 3, "alpha": 0.3}
_LOOKS = {"valid": ("valid", 1.0), "warn": ("doubtful", 0.45), "invalid": ("invalid", 0.0)}
"""What each verdict is called, and how opaque its points are filled."""
_WORST = ("valid", "warn", "invalid")
_OFFSETS = [(6, 5), (6, -11), (-6, 5), (-6, -11), (0, 10), (0, -16), (12, 16), (12, -22), (-12, 16), (-12, -22)]
"""Places of a label beside its point, in points, the best first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Point:
    """A row in the picture."""

    name: str
    row: Row
    across: tuple[float, float, float]
    """Low, value and high of the throughput in images/s."""
    upright: tuple[float, float, float]
    """Of what is ranked by, in the unit for readers."""
    verdict: str
    """The worse of the two."""


def draw_pareto(rows: Sequence[Row], rank_by: str, title: str, conditions: str) -> Canvas | None:
    """Draw the rows of one condition; return None where none has both figures, or speed is what is ranked by."""
    figure = figure_of(rank_by, rows)
    points = _points(rows, rank_by, figure)
    if rank_by == "throughput" or not points:
        return None
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.5, 5), layout="constrained")
    axes = canvas.subplots()
    on_front = front([point.row for point in points], (rank_by, "throughput"))
    _set_axes(axes, points, figure, rank_by)
    _draw_points(axes, points, on_front)
    _draw_baselines(axes, rows, rank_by, figure, points)
    _add_legend(canvas, points)
    add_title(canvas, title, conditions)
    canvas.draw_without_rendering()  # only now are places on the canvas known
    _draw_names(axes, [p for i, p in enumerate(points) if i in on_front or len(points) <= _MOST_LABELS])
    return canvas


def _points(rows: Sequence[Row], rank_by: str, figure: Figure) -> list[_Point]:
    found = []
    for row, name in zip(rows, model_names(rows), strict=True):
        merit, speed = row.metrics.get(rank_by), row.metrics.get("throughput")
        if merit and speed and (upright := _ends(merit, figure.scale)) and (across := _ends(speed, 1.0)):
            verdict = max(merit.verdict, speed.verdict, key=_WORST.index)
            found.append(_Point(name=name, row=row, across=across, upright=upright, verdict=verdict))
    return found


def _ends(metric: Metric, scale: float) -> tuple[float, float, float] | None:
    if metric.value is None:
        return None
    low = metric.value if metric.low is None else metric.low
    high = metric.value if metric.high is None else metric.high
    return scale * low, scale * metric.value, scale * high


def _set_axes(axes: Axes, points: Sequence[_Point], figure: Figure, rank_by: str) -> None:
    speeds = [point.across[1] for point in points]
    if min(speeds) > 0 and max(speeds) / min(speeds) >= _LOG_RATIO:
        axes.set_xscale("log", subs=(2, 5))
        axes.xaxis.set_minor_formatter(lambda x, _: rounded(x))
    axes.xaxis.set_major_formatter(lambda x, _: rounded(x))
    axes.set_xlabel("throughput (images/s)")
    better = points[0].row.metrics[rank_by].better
    axes.set_ylabel(shown(f"{rank_by} ({figure.unit})" if figure.unit else rank_by) + f", {better} is better")
    axes.margins(0.12)


def _draw_points(axes: Axes, points: Sequence[_Point], on_front: frozenset[int]) -> None:
    """Draw the front as the best that is to be had at each speed or more, then each point with its intervals."""
    best = sorted((points[i] for i in on_front), key=lambda point: point.across[1])
    steps = [point.across[1] for point in best], [point.upright[1] for point in best]
    axes.plot(*steps, drawstyle="steps-pre", zorder=1, **_FRONT)
    for i, point in enumerate(points):
        colour = _ACCENT if i in on_front else _PALE
        (left, x, right), (low, y, high) = point.across, point.upright
        axes.errorbar(
            *(x, y),
            xerr=[[max(x - left, 0)], [max(right - x, 0)]],
            yerr=[[max(y - low, 0)], [max(high - y, 0)]],
            ecolor=colour,
            elinewidth=0.8,
            alpha=0.6,
            fmt="none",
            zorder=2,
        )
        axes.plot(x, y, zorder=3, **_marker(point.verdict, colour))


def _marker(verdict: str, colour: str) -> dict[str, Any]:
    from matplotlib.colors import to_rgba

    opacity = _LOOKS[verdict][1]
    fill = to_rgba(colour, opacity) if opacity else "white"
    return {"marker": "o", "markersize": 6, "linestyle": "", "markeredgecolor": colour, "markerfacecolor": fill}


def _draw_baselines(axes: Axes, rows: Sequence[Row], rank_by: str, figure: Figure, points: Sequence[_Point]) -> None:
    """Draw each baseline as a level; name those that lie too far away in a corner."""
    bottom, top = min(point.upright[0] for point in points), max(point.upright[2] for point in points)
    margin = _LEVEL_MARGIN * (top - bottom)
    far = []
    for row, name in zip(rows, model_names(rows), strict=True):
        metric = row.metrics.get(rank_by)
        if not row.baseline or metric is None or metric.value is None or metric.verdict == "invalid":
            continue
        level = figure.scale * metric.value
        words = f"{shown(name)} {in_words(figure, metric.value)}"
        if bottom - margin <= level <= top + margin:
            axes.axhline(level, color=_PALE, linestyle="--", linewidth=1, zorder=1)
            axes.annotate(
                f"baseline {words}",
                (0, level),
                xycoords=("axes fraction", "data"),
                xytext=(4, 3),
                textcoords="offset points",
                fontsize="small",
                color=_PALE,
            )
        else:
            far.append(words)
    if far:
        axes.annotate(
            "baselines off the scale: " + "; ".join(far[:3]) + ("; ..." if len(far) > 3 else ""),
            (0, 0),
            xycoords="axes fraction",
            xytext=(4, 4),
            textcoords="offset points",
            fontsize="small",
            color=_PALE,
        )


def _add_legend(canvas: Canvas, points: Sequence[_Point]) -> None:
    from matplotlib.lines import Line2D

    verdicts = [verdict for verdict in _WORST if any(point.verdict == verdict for point in points)]
    handles = [Line2D([], [], **_FRONT), *(Line2D([], [], **_marker(v, _PALE)) for v in verdicts)]
    add_legend(canvas, handles, ["Pareto front", *(_LOOKS[v][0] for v in verdicts)])


def _draw_names(axes: Axes, points: Sequence[_Point]) -> None:
    """Write each name where it covers the least of what is there already."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    canvas = FigureCanvasAgg(axes.get_figure(root=True))
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    taken = [artist.get_window_extent(renderer) for artist in axes.texts]
    for point in points:
        x, y = axes.transData.transform((point.across[1], point.upright[1]))
        taken.append(Bbox.from_extents(x - 5, y - 5, x + 5, y + 5))
    for point in points:
        label = axes.annotate(
            shown(point.name),
            (point.across[1], point.upright[1]),
            xytext=_OFFSETS[0],
            textcoords="offset points",
            fontsize="small",
        )
        label.set_in_layout(False)

        def covered(offset: tuple[int, int], label: Annotation = label) -> float:
            box = _put(label, offset, renderer)
            inside = Bbox.intersection(box, axes.bbox)
            return _area(box) - _area(inside) + sum(_area(Bbox.intersection(box, other)) for other in taken)

        taken.append(_put(label, min(_OFFSETS, key=covered), renderer))


def _put(label: Annotation, offset: tuple[int, int], renderer: RendererBase) -> Bbox:
    label.set_position(offset)
    label.set_horizontalalignment("left" if offset[0] > 0 else "right" if offset[0] < 0 else "center")
    return label.get_window_extent(renderer)


def _area(box: Bbox | None) -> float:
    return 0.0 if box is None else box.width * box.height
