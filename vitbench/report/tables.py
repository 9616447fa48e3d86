"""A leaderboard in words and rounded numbers: what the terminal and Markdown share, before either's mark-up.

One section for each condition. Names stand in it as they came: each format escapes all text that it takes from here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from vitbench.leaderboard.leaderboard import Condition, Failure, Leaderboard, Metric, Row
from vitbench.leaderboard.pareto import on_fronts
from vitbench.leaderboard.rows import unshared
from vitbench.leaderboard.view import FACTS
from vitbench.records import PLAIN_STEP
from vitbench.report.metric_styles import MetricStyle, interval_head, percent_decimals, style_of, styles_of
from vitbench.report.naming import conditions_in_words, row_labels, titles
from vitbench.report.ranking_notes import ranking_notes, reference_note
from vitbench.report.terminal_text import few, marked, rank_range
from vitbench.report.verdict_notes import Telling, verdict_notes
from vitbench.settings import MEMORY, SPEED

__all__ = [
    "Column",
    "Missing",
    "Section",
    "device_notes",
    "fold_notes",
    "head_notes",
    "length_notes",
    "missing",
    "missing_title",
    "normalisation_notes",
    "pretraining_notes",
    "recipe_notes",
    "sections",
    "step_notes",
]

_MEMORY = MEMORY.replace("_", " ")
_MOST_NAMED = 6
"""Rows that a note names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of a table."""

    metric: str
    """The metric or the fact, by its name in full."""
    title: str
    unit: str = ""
    cells: tuple[str, ...]
    """Text for each row; right-aligned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """The rows of one condition."""

    title: str
    """The dataset, and how it was cut short."""
    conditions: str
    """Machine, device, precision, batch sizes."""
    ranks: tuple[str, ...]
    labels: tuple[str, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...]
    """Sentences to stand under the table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """Cells of one model that lack a result for the same reason."""

    model: str
    status: str
    cells: str
    reason: str


def sections(
    board: Leaderboard, *, detailed: bool, dash: str = "-", verdicts: Telling = "counted", more: str = ""
) -> list[Section]:
    """Return the sections of a leaderboard, in its order.

    Args:
        board: what they describe.
        detailed: adds the columns for a wide page.
        dash: what stands in a range of ranks.
        verdicts: how doubtful and invalid numbers are reported.
        more: a sentence on where all reasons are, to stand under a table that has such figures.
    """
    by_condition = board.by_condition()
    names = titles(by_condition)
    return [
        _section(board, names[condition], condition, rows, detailed, dash, verdicts, more)
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


def missing_title(board: Leaderboard, *, counted: bool = False) -> str:
    """Return what stands over the cells without a result; with their count if asked, or where some are withdrawn."""
    count, withdrawn = len(board.failed), sum(failure.status == "withdrawn" for failure in board.failed)
    if not (counted or withdrawn):
        return "Without a result"
    words = f"Without a result: {count} cell{'s' if count != 1 else ''}"
    if withdrawn and withdrawn == count:
        return words + (", withdrawn" if count == 1 else ", all withdrawn")
    return words + f", {withdrawn} of them withdrawn" * bool(withdrawn)


def _cells_in_words(failures: Sequence[Failure]) -> str:
    quality = [failure.detail for failure in failures if failure.kind == "quality"]
    speed = [failure.detail for failure in failures if failure.kind == "speed"]
    figures = [f"figure {failure.detail}" for failure in failures if failure.kind == "figure"]
    if len(quality) > 3:
        quality = [*quality[:2], f"{len(quality) - 2} more"]
    if len(figures) > 3:
        figures = [*figures[:2], f"{len(figures) - 2} more figures"]
    return "; ".join(quality + (speed if len(speed) < 2 else [f"{len(speed)} speed cells"]) + figures)


def _section(
    board: Leaderboard,
    title: str,
    condition: Condition,
    rows: Sequence[Row],
    detailed: bool,
    dash: str,
    verdicts: Telling,
    more: str,
) -> Section:
    rank_by = board.rank_by
    labels = [name + (" (baseline)" if row.baseline else "") for name, row in zip(row_labels(rows), rows, strict=True)]
    shown = _shown_metrics(rows, rank_by, detailed=detailed, asked=board.columns)
    by_name = {style.metric: _columns(style, rows, interval=style.metric == rank_by) for style in shown}
    columns = [column for name in board.columns or by_name for column in by_name.get(name) or _facts(name, rows)]
    told = verdict_notes(rows, labels, shown, verdicts)
    return Section(
        title=title,
        conditions=conditions_in_words(condition, board.by_condition()),
        ranks=tuple(rank_range(row, dash=dash) for row in rows),
        labels=tuple(labels),
        columns=tuple(columns),
        notes=(
            *ranking_notes(rows, rank_by, board.resolutions.get(condition)),
            *reference_note(board.references.get(condition, {}), rows),
            *_front_notes(rows, labels, rank_by, shown=bool(board.where)),
            *_batch_notes(rows, labels),
            *device_notes(rows, labels),
            *length_notes(rows, labels),
            *head_notes(rows, labels),
            *fold_notes(rows, labels),
            *recipe_notes(rows, labels),
            *step_notes(rows, labels),
            *pretraining_notes(rows, labels),
            *normalisation_notes(rows, labels),
            *told,
            *([more] if told and more else []),
        ),
    )


def _shown_metrics(rows: Sequence[Row], rank_by: str, *, detailed: bool, asked: Sequence[str]) -> list[MetricStyle]:
    """Return the ranking metric, then those of the table that some row has; of what was asked for just that."""
    if asked:
        had = {name for row in rows for name in row.metrics}
        return [style_of(name, rows) for name in asked if name in had]
    places = ("main", "wide") if detailed else ("main",)
    return [style for style in styles_of(rows, rank_by) if style.metric == rank_by or style.columns in places]


def _columns(style: MetricStyle, rows: Sequence[Row], *, interval: bool) -> list[Column]:
    """Return the column of a metric and, where asked and known, those of its interval and its spread over seeds."""
    metrics = [row.metrics.get(style.metric) for row in rows]
    text = partial(style.number, decimals=percent_decimals(metrics))
    values = Column(
        metric=style.metric,
        title=style.title,
        unit=style.unit,
        cells=tuple("" if m is None else marked(m, text) for m in metrics),
    )
    if not interval:
        return [values]
    if any(m is not None and m.relative for m in metrics):
        title, unit = interval_head(metrics)
        return [values, Column(metric=style.metric, title=title, unit=unit, cells=tuple(map(_half_width, metrics)))]
    ends = [None if m is None or m.low is None or m.high is None else (text(m.low), text(m.high)) for m in metrics]
    deviations = tuple("" if m is None or m.spread is None else text(m.spread) for m in metrics)
    spread = [Column(metric=style.metric, title="sd of", unit="seeds", cells=deviations)] if any(deviations) else []
    if not any(ends):
        return [values, *spread]
    low_width = max(len(low) for low, _ in filter(None, ends))
    high_width = max(len(high) for _, high in filter(None, ends))
    cells = tuple(f"[{pair[0]:>{low_width}}, {pair[1]:>{high_width}}]" if pair else "" for pair in ends)
    title, unit = interval_head(metrics)
    return [values, Column(metric=style.metric, title=title, unit=unit, cells=cells), *spread]


def _facts(name: str, rows: Sequence[Row]) -> list[Column]:
    """Return the column of a fact; none of a metric that only rows of other conditions have."""
    if (fact := FACTS.get(name)) is None:
        return []
    return [Column(metric=name, title=fact.title, cells=tuple(map(fact.text, rows)))]


def _half_width(metric: Metric | None) -> str:
    """Return half of the interval of a ratio to the reference network, in percent of it."""
    half = metric.relative.ratio.half_width if metric and metric.relative else None
    return "" if half is None else f"{half:.1%}"


def _front_notes(rows: Sequence[Row], labels: Sequence[str], rank_by: str, *, shown: bool) -> list[str]:
    """Name the rows that no other beats in both respects, where there are rows to compare."""
    places = on_fronts(rows, rank_by)
    if rank_by == SPEED or sum(place.speed is not None for place in places) < 2:
        return []
    partial = " of partial results" if rows[0].condition.partial else " of the rows shown" if shown else ""
    best = [label for label, place in zip(labels, places, strict=True) if place.speed]
    more = [label for label, place in zip(labels, places, strict=True) if place.speed_memory and not place.speed]
    note = f"Pareto front{partial}, {rank_by} and {SPEED}: {', '.join(best)}"
    return [f"{note}; with {_MEMORY} also: {', '.join(more)}." if more else f"{note}."]


def _batch_notes(rows: Sequence[Row], labels: Sequence[str]) -> list[str]:
    """Name the rows whose speed was measured, but not at the batch that this table compares at."""
    where = []
    for row, label in zip(rows, labels, strict=True):
        others = [f"{mode} at {' and '.join(map(str, sizes))}" for mode, sizes in row.other_batches.items()]
        where += [f"{label} ({', '.join(others)})"] if others else []
    return [f"Not shown, because measured only at other batch sizes: {', '.join(where)}."] if where else []


def device_notes(rows: Sequence[Row], labels: Sequence[str]) -> list[str]:
    """Say of which rows the quality is of several devices, or of another than the table's."""
    elsewhere: dict[str, list[str]] = defaultdict(list)
    notes = []
    for row, label in zip(rows, labels, strict=True):
        if len(row.seed_devices) > 1:
            words = "; ".join(f"{', '.join(map(str, seeds))} on {name}" for name, seeds in row.seed_devices.items())
            notes.append(f"Seeds of {label} are of several devices ({words}).")
        else:
            for device in row.seed_devices.keys() - {row.condition.device}:
                elsewhere[device].append(label)
    return notes + [f"Quality is of {device} for {', '.join(names)}." for device, names in elsewhere.items()]


def length_notes(rows: Sequence[Row], labels: Sequence[str]) -> list[str]:
    """Say of which rows the seeds were trained for unlike lengths, since a budget's plan was corrected between them."""
    unlike = [
        f"{label} {min(row.seed_steps):,} to {max(row.seed_steps):,}"
        for row, label in zip(rows, labels, strict=True)
        if len(set(row.seed_steps)) > 1
    ]
    return [f"The budget gave the seeds of a row different numbers of steps: {', '.join(unlike)}."] if unlike else []


def head_notes(rows: Sequence[Row], labels: Sequence[str]) -> list[str]:
    """Say which rows are scored on a part of their own head's classes, or on more than the data's."""
    by_part: dict[str, list[str]] = defaultdict(list)
    for row, label in zip(rows, labels, strict=True):
        if row.head:
            by_part[row.head].append(label)
    return [f"Scored on {part}: {', '.join(names)}." for part, names in by_part.items()]


def fold_notes(rows: Sequence[Row], labels: Sequence[str]) -> list[str]:
    """Say which rows are judged on training images that their recipes held out, and not on the validation split."""
    named = [label for row, label in zip(rows, labels, strict=True) if row.out_of_fold]
    if not named:
        return []
    which = f"of {', '.join(named)} are" if len(named) < len(rows) else "are"
    return [f"Scores {which} of training images that the recipe held out (out-of-fold predictions)."]


def recipe_notes(rows: Sequence[Row], labels: Sequence[str]) -> list[str]:
    """Say which recipe trained which rows, and in which options rows of one recipe differ, a sentence a recipe."""
    by_recipe: dict[str, list[tuple[Row, str]]] = defaultdict(list)
    for row, label in zip(rows, labels, strict=True):
        if row.recipe and not row.baseline:
            by_recipe[row.recipe.partition(":")[0]].append((row, label))
    names = {recipe: ", ".join(label for _, label in members) for recipe, members in by_recipe.items()}
    if len(names) < 2:
        notes = [f"Recipe: {recipe}." for recipe in names]
    else:
        notes = ["Recipes: " + "; ".join(f"{recipe} for {labels}" for recipe, labels in names.items()) + "."]
    for recipe, members in by_recipe.items():
        by_options: dict[str, list[str]] = defaultdict(list)
        for options, (_, label) in zip(unshared([row.recipe_options for row, _ in members]), members, strict=True):
            by_options[", ".join(options) or "none of these"].append(label)
        if len(by_options) > 1:
            words = (f"{options} for {', '.join(labels)}" for options, labels in by_options.items())
            notes.append(f"Options of {recipe} differ: {'; '.join(words)}.")
    return notes


def step_notes(rows: Sequence[Row], labels: Sequence[str]) -> list[str]:
    """Say whose training speed is not that of their recipe's own step, a sentence for each recipe."""
    by_recipe: dict[str, list[str]] = defaultdict(list)
    for row, label in zip(rows, labels, strict=True):
        if row.train_step == PLAIN_STEP:
            by_recipe[row.recipe].append(label)
    return [
        f"Training speed of {', '.join(few(names, _MOST_NAMED))} is that of a plain AdamW step"
        + (f": the recipe {recipe} has no step." if recipe else ".")
        for recipe, names in by_recipe.items()
    ]


def pretraining_notes(rows: Sequence[Row], labels: Sequence[str]) -> list[str]:
    """Say which rows began with trained weights, and of what data these are."""
    by_data: dict[str, list[str]] = defaultdict(list)
    for row, label in zip(rows, labels, strict=True):
        if row.pretrained_on:
            by_data[row.pretrained_on].append(label)
    words = "; ".join(f"{', '.join(names)}: {data}" for data, names in by_data.items())
    return [f"Data that weights were pretrained on: {words}."] if words else []


def normalisation_notes(rows: Sequence[Row], labels: Sequence[str]) -> list[str]:
    """Say how inputs were normalised where rows differ in it; baselines read pixels as they are."""
    by_values: dict[str, list[str]] = defaultdict(list)
    for row, label in zip(rows, labels, strict=True):
        if row.normalisation and not row.baseline:
            by_values[row.normalisation].append(label)
    words = "; ".join(f"{', '.join(few(names, _MOST_NAMED))}: {values}" for values, names in by_values.items())
    return [f"Inputs are normalised differently: {words}."] if len(by_values) > 1 else []
