"""A leaderboard in words and rounded figures: what the terminal and Markdown share, before either's mark-up.

One section for each condition. Names stand in it as they came: each format escapes all text that it takes from here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vitbench.leaderboard import Condition, Failure, Leaderboard, Metric, Row
from vitbench.report.ranking_notes import ranking_notes

__all__ = ["Column", "Missing", "Section", "missing", "sections"]

_MARKS = {"valid": "", "warn": "~", "invalid": "!"}
_MARK_WORDS = {"~": "~ doubtful", "!": "! invalid"}
_MOST_REASONS = 1
"""Reasons that a note gives, so that the table stays in sight; the JSON and ``vitbench show`` give all."""


class _Figure(NamedTuple):
    """A metric's place in the tables: its title and the unit that it is shown in."""

    metric: str
    title: str
    unit: str
    scale: float = 1.0
    detail: bool = False
    """Left out where there is little room."""


_FIGURES = (
    _Figure("top1", "top1", "%", 100),
    _Figure("top5", "top5", "%", 100, detail=True),
    _Figure("throughput", "", "images/s"),
    _Figure("latency_p50", "p50", "ms", 1e3),
    _Figure("latency_p95", "p95", "ms", 1e3, detail=True),
    _Figure("peak_memory", "peak", "MiB", 2**-20),
    _Figure("params", "params", "M", 1e-6),
    _Figure("macs", "", "GMACs", 1e-9),
    _Figure("train_throughput", "train", "images/s"),
    _Figure("train_peak_memory", "train peak", "MiB", 2**-20, detail=True),
    _Figure("train_seconds", "train", "s", detail=True),
    _Figure("cold_start", "cold start", "s", detail=True),
    _Figure("compile_seconds", "compile", "s", detail=True),
    _Figure("largest_batch", "largest batch", "images", detail=True),
    _Figure("largest_batch_throughput", "at largest", "images/s", detail=True),
    _Figure("energy_per_image", "energy", "mJ/image", 1e3, detail=True),
    _Figure("variant_agreement", "as float32", "%", 100, detail=True),
)


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
    by_condition: dict[Condition, list[Row]] = defaultdict(list)
    for row in board.rows:
        by_condition[row.condition].append(row)
    data_sets = Counter(name for name, _ in {(c.dataset, c.fingerprint) for c in by_condition})
    return [
        _section(board, condition, rows, detailed=detailed, ambiguous=data_sets[condition.dataset] > 1)
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


def _section(
    board: Leaderboard, condition: Condition, rows: Sequence[Row], *, detailed: bool, ambiguous: bool
) -> Section:
    rank_by = board.rank_by
    models = _model_names(rows)
    shown = _shown_figures(rows, rank_by, detailed=detailed)
    columns = [column for figure in shown for column in _columns(figure, rows, interval=figure.metric == rank_by)]
    title = condition.dataset or "speed alone"
    if ambiguous and condition.dataset:
        title += f" (data {condition.fingerprint[:8]})"
    cuts = [f"limit {condition.limit}"] if condition.limit is not None else []
    cuts += [f"epochs {condition.epochs}"] if condition.epochs is not None else []
    return Section(
        title=f"{title}, partial: {', '.join(cuts)}" if cuts else title,
        conditions=_conditions(condition),
        ranks=tuple(_rank(row) for row in rows),
        models=tuple(models),
        figures=tuple(columns),
        notes=(
            *ranking_notes(rows, rank_by, board.resolutions.get(condition)),
            *_recipe_notes(rows, models),
            *_verdict_notes(rows, models, shown),
        ),
    )


def _rank(row: Row) -> str:
    if row.rank is None:
        return "-"
    return str(row.rank) if row.rank == row.rank_last else f"{row.rank}-{row.rank_last}"


def _model_names(rows: Sequence[Row]) -> list[str]:
    counts = Counter(row.model for row in rows)
    return [
        row.model + (f" [{row.recipe}]" if counts[row.model] > 1 else "") + (" (baseline)" if row.baseline else "")
        for row in rows
    ]


def _conditions(condition: Condition) -> str:
    parts = [
        condition.machine,
        f"{condition.device}, {condition.threads} thread{'s' if condition.threads != 1 else ''}",
        condition.precision,
    ]
    parts += ["compiled"] * condition.compile + ["channels last"] * condition.channels_last
    inference, training = condition.batch_size, condition.train_batch_size
    if inference == training:
        batches = [f"batch {inference}"] if inference else []
    else:
        batches = [f"inference at batch {inference}"] if inference else []
        batches += [f"training at batch {training}"] if training else []
    return "; ".join([*parts, *([", ".join([*batches, "latency at batch 1"])] if batches else [])])


def _shown_figures(rows: Sequence[Row], rank_by: str, *, detailed: bool) -> list[_Figure]:
    """Return the ranking metric, then those of the table that some row has."""
    known = {figure.metric: figure for figure in _FIGURES}
    first = known.get(rank_by) or _other_figure(rows, rank_by)
    others = [figure for figure in _FIGURES if figure.metric != rank_by and (detailed or not figure.detail)]
    return [figure for figure in (first, *others) if any(figure.metric in row.metrics for row in rows)]


def _other_figure(rows: Sequence[Row], metric: str) -> _Figure:
    unit = next((row.metrics[metric].unit for row in rows if metric in row.metrics), "")
    return _Figure(metric, metric, "%", 100) if unit == "fraction" else _Figure(metric, metric, unit)


def _columns(figure: _Figure, rows: Sequence[Row], *, interval: bool) -> list[Column]:
    """Return the column of a figure and, where asked and known, those of its interval and its spread over seeds."""
    metrics = [row.metrics.get(figure.metric) for row in rows]
    decimals = _percent_decimals(metrics) if figure.unit == "%" else None

    def text(value: float) -> str:
        return _rounded(value * figure.scale) if decimals is None else f"{value * figure.scale:.{decimals}f}"

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


def _percent_decimals(metrics: Sequence[Metric | None]) -> int:
    """Two decimals where the sample is large enough for the second to mean something, else one."""
    halves = [(m.high - m.low) / 2 for m in metrics if m and m.low is not None and m.high is not None]
    return 2 if halves and max(halves) < 0.01 else 1


def _rounded(value: float) -> str:
    """Return a number to about three significant digits, whole from 100 on."""
    size = abs(value)
    return (
        f"{value:,.0f}"
        if size >= 100
        else f"{value:.1f}"
        if size >= 10
        else f"{value:.2f}"
        if size >= 1
        else f"{value:.3g}"
    )


def _recipe_notes(rows: Sequence[Row], models: Sequence[str]) -> list[str]:
    by_recipe: dict[str, list[str]] = defaultdict(list)
    for row, model in zip(rows, models, strict=True):
        if row.recipe and not row.baseline:
            by_recipe[row.recipe].append(model)
    if len(by_recipe) < 2:
        return [f"Recipe: {recipe}." for recipe in by_recipe]
    return ["Recipes: " + "; ".join(f"{recipe} for {', '.join(names)}" for recipe, names in by_recipe.items()) + "."]


def _verdict_notes(rows: Sequence[Row], models: Sequence[str], shown: Sequence[_Figure]) -> list[str]:
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
