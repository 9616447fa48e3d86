"""A leaderboard in words and rounded figures: what the terminal and Markdown share, before either's mark-up.

One section for each condition. Names stand in it as they came: each format escapes all text that it takes from here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.leaderboard.leaderboard import Condition, Failure, Leaderboard, Row
from vitbench.leaderboard.pareto import on_fronts
from vitbench.report.metric_styles import METRIC_STYLES, MetricStyle, percent_decimals, rounded, style_of
from vitbench.report.naming import conditions_in_words, model_names, titles
from vitbench.report.ranking_notes import ranking_notes

__all__ = ["Column", "Missing", "Section", "missing", "sections"]

_MARKS = {"valid": "", "warn": "~", "invalid": "!"}
_MARK_WORDS = {"~": "~ doubtful", "!": "! invalid"}
_MOST_REASONS = 1
"""Reasons that a note gives, so that the table stays in sight; the JSON and ``vitbench show`` give all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    unit: str = ""
    cells: tuple[str, ...]
    """Text for each row; right-aligned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """The rows of one condition."""

    title: str
    """The data set, and how it was cut short."""
    conditions: str
    """Machine, device, precision, batch sizes."""
    ranks: tuple[str, ...]
    models: tuple[str, ...]
    figures: tuple[Column, ...]
    notes: tuple[str, ...]
    """Sentences to stand under the table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """Cells of one model that lack a result for the same reason."""

    model: str
    status: str
    cells: str
    reason: str


def sections(board: Leaderboard, *, detailed: bool) -> list[Section]:
    """Return the sections of a leaderboard, in its order; `detailed` adds the columns for a wide page."""
    by_condition = board.by_condition()
    names = titles(by_condition)
    return [
        _section(board, names[condition], condition, rows, detailed=detailed)
        for condition, rows in by_condition.items()
    ]


def missing(board: Leaderboard) -> list[Missing]:
    """Return what has no result, the cells of one model with one reason together."""
    together: dict[tuple[str, str, str], list[Failure]] = defaultdict(list)
    for failure in board.failed:
        together[failure.model, failure.status, failure.reason].append(failure)
    return [
        Missing(model=model, status=status, cells=_cells_in_words(failures), reason=reason)
        for (model, status, reason), failures in together.items()
    ]


def _cells_in_words(failures: Sequence[Failure]) -> str:
    quality = [failure.detail for failure in failures if failure.kind == "quality"]
    speed = [failure.detail for failure in failures if failure.kind == "speed"]
    if len(quality) > 3:
        quality = [*quality[:2], f"{len(quality) - 2} more"]
    return "; ".join(quality + (speed if len(speed) < 2 else [f"{len(speed)} speed cells"]))


def _section(board: Leaderboard, title: str, condition: Condition, rows: Sequence[Row], *, detailed: bool) -> Section:
    rank_by = board.rank_by
    models = [name + (" (baseline)" if row.baseline else "") for name, row in zip(model_names(rows), rows, strict=True)]
    shown = _shown_figures(rows, rank_by, detailed=detailed)
    columns = [column for figure in shown for column in _columns(figure, rows, interval=figure.metric == rank_by)]
    return Section(
        title=title,
        conditions=conditions_in_words(condition),
        ranks=tuple(_rank(row) for row in rows),
        models=tuple(models),
        figures=tuple(columns),
        notes=(
            *ranking_notes(rows, rank_by, board.resolutions.get(condition)),
            *_front_notes(rows, models, rank_by),
            *_batch_notes(rows, models),
            *_recipe_notes(rows, models),
            *_verdict_notes(rows, models, shown),
        ),
    )


def _rank(row: Row) -> str:
    if row.rank is None:
        return "-"
    return str(row.rank) if row.rank == row.rank_last else f"{row.rank}-{row.rank_last}"


def _shown_figures(rows: Sequence[Row], rank_by: str, *, detailed: bool) -> list[MetricStyle]:
    """Return the ranking metric, then those of the table that some row has."""
    first = style_of(rank_by, rows)
    others = [figure for figure in METRIC_STYLES if figure.metric != rank_by and (detailed or not figure.detail)]
    return [figure for figure in (first, *others) if any(_is_shown(figure, row) for row in rows)]


def _is_shown(figure: MetricStyle, row: Row) -> bool:
    """Whether a row needs a figure's column; a detail that could not be had anywhere, such as energy, needs none."""
    metric = row.metrics.get(figure.metric)
    return metric is not None and (metric.value is not None or not figure.detail)


def _columns(figure: MetricStyle, rows: Sequence[Row], *, interval: bool) -> list[Column]:
    """Return the column of a figure and, where asked and known, those of its interval and its spread over seeds."""
    metrics = [row.metrics.get(figure.metric) for row in rows]
    decimals = percent_decimals(metrics) if figure.unit == "%" else None

    def text(value: float) -> str:
        return rounded(value * figure.scale) if decimals is None else f"{value * figure.scale:.{decimals}f}"

    values = Column(
        title=figure.title,
        unit=figure.unit,
        cells=tuple(
            "" if m is None else _MARKS[m.verdict] + ("-" if m.value is None else text(m.value)) for m in metrics
        ),
    )
    ends = [None if m is None or m.low is None or m.high is None else (text(m.low), text(m.high)) for m in metrics]
    if not interval:
        return [values]
    deviations = tuple("" if m is None or m.spread is None else text(m.spread) for m in metrics)
    spread = [Column(title="sd of", unit="seeds", cells=deviations)] if any(deviations) else []
    if not any(ends):
        return [values, *spread]
    low_width = max(len(low) for low, _ in filter(None, ends))
    high_width = max(len(high) for _, high in filter(None, ends))
    cells = tuple(f"[{pair[0]:>{low_width}}, {pair[1]:>{high_width}}]" if pair else "" for pair in ends)
    title, unit = ("95 %", "interval") if figure.unit == "%" else ("", "range")
    return [values, Column(title=title, unit=unit, cells=cells), *spread]


def _front_notes(rows: Sequence[Row], models: Sequence[str], rank_by: str) -> list[str]:
    """Name the rows that no other beats in both respects, where there are rows to compare."""
    places = on_fronts(rows, rank_by)
    if rank_by == "throughput" or sum(place.speed is not None for place in places) < 2:
        return []
    partial = " of partial results" if rows[0].condition.partial else ""
    best = [model for model, place in zip(models, places, strict=True) if place.speed]
    more = [model for model, place in zip(models, places, strict=True) if place.speed_memory and not place.speed]
    note = f"Pareto front{partial}, {rank_by} and throughput: {', '.join(best)}"
    return [f"{note}; with peak memory also: {', '.join(more)}." if more else f"{note}."]


def _batch_notes(rows: Sequence[Row], models: Sequence[str]) -> list[str]:
    """Name the rows whose speed was measured, but not at the batch that this table compares at."""
    where = [
        f"{model} ({', '.join(f'{mode} at {_listed(batches)}' for mode, batches in row.other_batches.items())})"
        for row, model in zip(rows, models, strict=True)
        if row.other_batches
    ]
    return [f"Measured at other batches only, and so not shown: {', '.join(where)}."] if where else []


def _listed(batches: Sequence[int]) -> str:
    return " and ".join(map(str, batches))


def _recipe_notes(rows: Sequence[Row], models: Sequence[str]) -> list[str]:
    by_recipe: dict[str, list[str]] = defaultdict(list)
    for row, model in zip(rows, models, strict=True):
        if row.recipe and not row.baseline:
            by_recipe[row.recipe].append(model)
    if len(by_recipe) < 2:
        return [f"Recipe: {recipe}." for recipe in by_recipe]
    return ["Recipes: " + "; ".join(f"{recipe} for {', '.join(names)}" for recipe, names in by_recipe.items()) + "."]


def _verdict_notes(rows: Sequence[Row], models: Sequence[str], shown: Sequence[MetricStyle]) -> list[str]:
    """Return why figures are doubtful or invalid: one sentence for each set of reasons, with all that it touches."""
    touched: dict[tuple[str, tuple[str, ...]], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row, model in zip(rows, models, strict=True):
        for figure in shown:
            metric = row.metrics.get(figure.metric)
            if metric is not None and _MARKS[metric.verdict]:
                touched[_MARKS[metric.verdict], metric.reasons][model].append(figure.metric)
    notes = []
    for (mark, reasons), where in touched.items():
        places = ", ".join(f"{model} ({', '.join(metrics)})" for model, metrics in where.items())
        more = len(reasons) - _MOST_REASONS
        words = [*reasons[:_MOST_REASONS], *([f"and {more} more"] if more > 0 else [])] or ["no reason given"]
        notes.append(f"{_MARK_WORDS[mark]}, {places}: {'; '.join(words)}.")
    return notes
