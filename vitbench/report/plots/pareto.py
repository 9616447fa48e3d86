"""The Pareto picture: what is ranked by against throughput, with both intervals, the front and the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vitbench.printable import rounded
from vitbench.report.pareto_points import Placement, Point, place
from vitbench.report.plots.text import add_legend, add_title, shown
from vitbench.report.terminal_text import VERDICTS
from vitbench.settings import SPEED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.figure import Figure as Canvas
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

    from vitbench.report.plots.pictures import PlottedTable

__all__ = ["draw_pareto"]

_ACCENT, _PALE = "#0b6bcb", "#707880"
_FRONT: dict[str, Any] = {"color": _ACCENT, "linewidth": 3, "alpha": 0.3}
_OPACITIES = {"valid": 1.0, "warn": 0.45, "invalid": 0.0}
"""How opaque the points of each verdict are filled."""
_OFFSETS = [(6, 5), (6, -11), (-6, 5), (-6, -11), (0, 10), (0, -16), (12, 16), (12, -22), (-12, 16), (-12, -22)]
"""Places of a label beside its point, in points, the best first."""


def draw_pareto(table: PlottedTable) -> Canvas | None:
    """Draw the rows of one condition; return None where none has both metrics, or speed is what is ranked by."""
    placed = place(table.rows, table.rank_by, SPEED)
    if table.rank_by == SPEED or not placed.points:
        return None
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(7.5, 5), layout="constrained")
    axes = canvas.subplots()
    _set_axes(axes, placed, table.rank_by)
    _draw_points(axes, placed.points, placed.on_front)
    _draw_baselines(axes, placed)
    _add_legend(canvas, placed.points)
    add_title(canvas, table.title, table.conditions)
    canvas.draw_without_rendering()  # only now are places on the canvas known
    _draw_names(axes, [placed.points[i] for i in sorted(placed.labelled)])
    return canvas


def _set_axes(axes: Axes, placed: Placement, rank_by: str) -> None:
    if placed.logarithmic:
        axes.set_xscale("log", subs=(2, 5))
        axes.xaxis.set_minor_formatter(lambda x, _: rounded(x))
    axes.xaxis.set_major_formatter(lambda x, _: rounded(x))
    axes.set_xlabel(f"{SPEED} ({placed.across.unit})")
    better, unit = placed.points[0].row.metrics[rank_by].better, placed.upright.unit
    axes.set_ylabel(shown(f"{rank_by} ({unit})" if unit else rank_by) + f", {better} is better")
    axes.margins(0.12)


def _draw_points(axes: Axes, points: Sequence[Point], on_front: frozenset[int]) -> None:
    """Draw the front as the best that exists at each speed or more, then each point with its intervals."""
    best = sorted((points[i] for i in on_front), key=lambda point: point.x[1])
    steps = [point.x[1] for point in best], [point.y[1] for point in best]
    axes.plot(*steps, drawstyle="steps-pre", zorder=1, **_FRONT)
    for i, point in enumerate(points):
        colour = _ACCENT if i in on_front else _PALE
        (left, x, right), (low, y, high) = point.x, point.y
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

    opacity = _OPACITIES[verdict]
    fill = to_rgba(colour, opacity) if opacity else "white"
    return {"marker": "o", "markersize": 6, "linestyle": "", "markeredgecolor": colour, "markerfacecolor": fill}


def _draw_baselines(axes: Axes, placed: Placement) -> None:
    """Draw each baseline as a level; name those that lie too far away in a corner."""
    for level in placed.near:
        axes.axhline(level.y, color=_PALE, linestyle="--", linewidth=1, zorder=1)
        _note(axes, f"baseline {shown(level.name)} {level.text}", level.y, "data", 3)
    far = [f"{shown(level.name)} {level.text}" for level in placed.far]
    if far:
        listed = "; ".join(far[:3]) + ("; ..." if len(far) > 3 else "")
        _note(axes, f"baselines off the scale: {listed}", 0, "axes fraction", 4)


def _note(axes: Axes, text: str, y: float, measured_in: str, above: int) -> None:
    """Write small text at the left end of a height."""
    look: dict[str, Any] = {"textcoords": "offset points", "fontsize": "small", "color": _PALE}
    axes.annotate(text, (0, y), xycoords=("axes fraction", measured_in), xytext=(4, above), **look)


def _add_legend(canvas: Canvas, points: Sequence[Point]) -> None:
    from matplotlib.lines import Line2D

    verdicts = [verdict for verdict in VERDICTS if any(point.verdict == verdict for point in points)]
    handles = [Line2D([], [], **_FRONT), *(Line2D([], [], **_marker(v, _PALE)) for v in verdicts)]
    add_legend(canvas, handles, ["Pareto front", *(VERDICTS[v] for v in verdicts)])


def _draw_names(axes: Axes, points: Sequence[Point]) -> None:
    """Write each name where it covers the least of what is there already."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    canvas = FigureCanvasAgg(axes.get_figure(root=True))
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    taken = [artist.get_window_extent(renderer) for artist in axes.texts]
    for point in points:
        x, y = axes.transData.transform((point.x[1], point.y[1]))
        taken.append(Bbox.from_extents(x - 5, y - 5, x + 5, y + 5))
    for point in points:
        label = axes.annotate(
            shown(point.name),
            (point.x[1], point.y[1]),
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
