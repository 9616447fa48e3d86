"""The page's table of one section: cells as text for readers, and as raw numbers to sort by.

It has every metric; what has no column in the other formats' tables is hidden until it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from vitbench.leaderboard.leaderboard import Metric, Row
from vitbench.leaderboard.view import FACTS
from vitbench.report.metric_styles import MetricStyle, interval_head, percent_decimals, styles_of
from vitbench.report.terminal_text import EN_DASH, marked
from vitbench.settings import LATENCY, SPEED

__all__ = ["TableCell", "TableColumn", "columns"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TableCell:
    """One metric of one row."""

    text: str
    order: str
    """The raw number; empty where there is none."""
    verdict: str = "valid"
    strip: tuple[float, float, float] | None = None
    """Of an interval: low, value and high as percentages of the section's range."""


_EMPTY = TableCell(text="", order="")


@dataclass(frozen=True, kw_only=True, slots=True)
class TableColumn:
    """One column."""

    key: str
    """The metric, what is told of it, or a fact; the same in all sections."""
    title: str
    unit: str
    better: str
    detail: bool
    """Hidden until it is asked for, where scripts run."""
    narrow: bool
    """Shown where there is little room, as on a phone."""
    cells: tuple[TableCell, ...]
    words: bool = False
    """Whether it is sorted as text."""

    @property
    def name(self) -> str:
        """Title and unit."""
        return " ".join(filter(None, (self.title, self.unit)))


def columns(rows: Sequence[Row], rank_by: str, asked: Sequence[str] = ()) -> list[TableColumn]:
    """Return the columns of the rows of one condition, the ranking metric with its interval first, the facts last.

    Args:
        rows: of the condition.
        rank_by: the ranking metric.
        asked: metrics and facts that come first, and are all that is shown before the reader chooses; empty: as
            metrics say, and the facts that tell rows apart.
    """
    found = [*_of_metrics(rows, rank_by), *_facts(rows)]
    if not asked:
        return found
    own = [column for name in asked for column in found if column.key in (name, f"{name}_interval", f"{name}_sd")]
    others = [column for column in found if column not in own]
    return [replace(column, detail=column in others) for column in (*own, *others)]


def _facts(rows: Sequence[Row]) -> list[TableColumn]:
    """Return a column for each fact that is known of some row."""
    found = []
    for name, fact in FACTS.items():
        texts = [fact.text(row) for row in rows]
        orders = [fact.order(row) for row in rows]
        if any(texts):
            cells = (
                TableCell(text=text, order="" if order is None else str(order))
                for text, order in zip(texts, orders, strict=True)
            )
            found.append(
                TableColumn(
                    key=name,
                    title=fact.title,
                    unit="",
                    better="",
                    detail=len(set(texts)) < 2 or fact.long,
                    narrow=False,
                    cells=tuple(cells),
                    words=fact.number is None,
                )
            )
    return found


def _of_metrics(rows: Sequence[Row], rank_by: str) -> list[TableColumn]:
    shown = styles_of(rows, rank_by)
    found = [_column(style, rows, rank_by) for style in shown]
    return [*found[:1], *_interval(shown[0], rows), *found[1:]] if shown and shown[0].metric == rank_by else found


def _column(style: MetricStyle, rows: Sequence[Row], rank_by: str) -> TableColumn:
    metrics = [row.metrics.get(style.metric) for row in rows]
    text = partial(style.number, decimals=percent_decimals(metrics))
    return TableColumn(
        key=style.metric,
        # "GMACs" says what it is by itself; "images/s" does not.
        title=style.title or ("" if style.metric in style.unit.lower() else style.metric),
        unit=style.unit,
        better=next((metric.better for metric in metrics if metric), ""),
        detail=style.detail and style.metric != rank_by,
        narrow=style.metric in (rank_by, SPEED, LATENCY),
        cells=tuple(_cell(metric, text) for metric in metrics),
    )


def _cell(metric: Metric | None, text: Callable[[float], str]) -> TableCell:
    if metric is None:
        return _EMPTY
    order = "" if metric.value is None else f"{metric.value:.8g}"
    return TableCell(text=marked(metric, text, missing=EN_DASH), order=order, verdict=metric.verdict)


def _interval(style: MetricStyle, rows: Sequence[Row]) -> list[TableColumn]:
    """Return the interval of the ranking metric, drawn to scale, and its spread over seeds; each only where known."""
    metrics = [row.metrics.get(style.metric) for row in rows]
    text = partial(style.number, decimals=percent_decimals(metrics))
    found = []
    of_ratios = any(metric.relative for metric in metrics if metric)
    # A range of measured values is no interval of ratios, whose column it would stand in.
    ends = [None if of_ratios and metric and not metric.relative else _ends(metric) for metric in metrics]
    scale = _range(ends, rows)
    if scale:
        intervals = [
            TableCell(text=_in_words(metric, pair, text), order=_order(metric, pair), strip=_strip(pair, *scale))
            if pair
            else _EMPTY
            for metric, pair in zip(metrics, ends, strict=True)
        ]
        title, unit = interval_head(metrics)
        better = "lower" if of_ratios else next(metric.better for metric in metrics if metric)
        key = f"{style.metric}_interval"
        found.append(
            TableColumn(
                key=key,
                title=title or style.metric,
                unit=unit,
                better=better,
                detail=False,
                narrow=False,
                cells=tuple(intervals),
            )
        )
    spreads = [None if metric is None else metric.spread for metric in metrics]
    if any(spread is not None for spread in spreads):
        cells = [_EMPTY if each is None else TableCell(text=text(each), order=f"{each:.8g}") for each in spreads]
        key = f"{style.metric}_sd"
        found.append(
            TableColumn(
                key=key, title="sd of", unit="seeds", better="lower", detail=False, narrow=False, cells=tuple(cells)
            )
        )
    return found


def _order(metric: Metric | None, ends: tuple[float, float, float]) -> str:
    """Return what a column of intervals is sorted by: their lower ends, or of ratios the width that is shown."""
    half = metric.relative.ratio.half_width if metric and metric.relative else None
    return f"{ends[0] if half is None else half:.8g}"


def _in_words(metric: Metric | None, ends: tuple[float, float, float], text: Callable[[float], str]) -> str:
    """Return the ends of an interval; of a ratio to the reference network half of its width, which is no value's."""
    half = metric.relative.ratio.half_width if metric and metric.relative else None
    return f"{text(ends[0])}{EN_DASH}{text(ends[2])}" if half is None else f"± {half:.1%}"


def _ends(metric: Metric | None) -> tuple[float, float, float] | None:
    if metric is None or metric.value is None or metric.ends is None:
        return None
    return metric.ends[0], metric.value, metric.ends[1]


def _range(ends: Sequence[tuple[float, float, float] | None], rows: Sequence[Row]) -> tuple[float, float] | None:
    """Return what the drawn intervals span: the models', and those of baselines among them.

    A baseline far below would leave no room for the others.
    """
    known = [(pair, row.baseline) for pair, row in zip(ends, rows, strict=True) if pair]
    models = [pair for pair, baseline in known if not baseline] or [pair for pair, _ in known]
    if not models:
        return None
    low, high = min(pair[0] for pair in models), max(pair[2] for pair in models)
    among = [pair for pair, _ in known if low <= pair[1] <= high]
    return min(pair[0] for pair in among), max(pair[2] for pair in among)


def _strip(ends: tuple[float, float, float], low: float, high: float) -> tuple[float, float, float] | None:
    if high <= low or ends[0] < low or ends[2] > high:
        return None
    start, middle, end = (100 * (value - low) / (high - low) for value in ends)
    return start, middle, end
