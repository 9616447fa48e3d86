"""What stands under a table on its doubtful and invalid numbers.

What is wrong with a model is said of each; a cause that many figures share is said once, with their count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

from vitbench.leaderboard.leaderboard import Metric, Row
from vitbench.records import Level
from vitbench.report.causes import SHARED, Cause, kind_of, own_reasons, shared_cause
from vitbench.report.metric_styles import MetricStyle
from vitbench.report.terminal_text import MARKS, VERDICTS, few, marked_verdict

__all__ = ["Telling", "verdict_notes"]

Telling = Literal["counted", "all", "legend"]
"""How verdicts are told: by cause, each with all of its reasons, or only what their marks mean."""

_MOST_REASONS = 1
_MOST_ROWS = 5
"""Rows that a sentence names."""
_LEVELS: tuple[Level, ...] = ("invalid", "warn")


def verdict_notes(
    rows: Sequence[Row], labels: Sequence[str], shown: Sequence[MetricStyle], telling: Telling = "counted"
) -> list[str]:
    """Return the sentences for the rows of one condition.

    Args:
        rows: of the table.
        labels: what it calls them.
        shown: the metrics that have a column.
        telling: how much is told.
    """
    figures = [
        (label, style.metric, metric)
        for row, label in zip(rows, labels, strict=True)
        for style in shown
        if (metric := row.metrics.get(style.metric)) is not None
    ]
    marked = [figure for figure in figures if figure[2].verdict != "valid"]
    if telling == "legend":
        levels = {metric.verdict for *_, metric in marked}
        words = [f"{MARKS[level]} is {VERDICTS[level]}" for level in _LEVELS if level in levels]
        return [f"A number after {', after '.join(words)}."] if levels else []
    if telling == "all":
        return list(_each(marked))
    return [*_own(marked, len(rows)), *_counts(figures)]


_Figure = tuple[str, str, Metric]
"""The row's label, the metric's name, the figure."""


def _each(marked: Sequence[_Figure]) -> Iterator[str]:
    """Say all reasons, a sentence for each set of them."""
    touched: dict[tuple[Level, tuple[str, ...]], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for label, name, metric in marked:
        touched[metric.verdict, metric.reasons][label].append(name)
    for (level, reasons), where in touched.items():
        yield f"{marked_verdict(level)}, {_places(where)}: {'; '.join(reasons) or 'no reason given'}."


def _own(marked: Sequence[_Figure], rows: int) -> Iterator[str]:
    """Say what is wrong with single models, a sentence for each kind of reasons; the reasons are those of the first."""
    touched: dict[tuple[Level, tuple[str, ...]], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    texts: dict[tuple[Level, tuple[str, ...]], dict[str, list[str]]] = defaultdict(dict)
    for label, name, metric in marked:
        own = own_reasons(metric.reasons)
        if not own and metric.reasons:
            continue
        kind = metric.verdict, tuple(map(kind_of, own))
        touched[kind][label].append(name)
        texts[kind].setdefault(label, own)
    for kind, where in touched.items():
        first, *others = texts[kind].items()
        words = "; ".join(few(first[1], _MOST_REASONS)) or "no reason given"
        unlike = [label for label, own in others if own != first[1]]
        if unlike:
            words += f" (other numbers for {', '.join(few(unlike, _MOST_ROWS))})"
        yield f"{marked_verdict(kind[0])}, {_places(where, rows)}: {words}."


def _places(where: dict[str, list[str]], rows: int | None = None) -> str:
    """Return rows with their metrics; given how many rows there are, too many are counted."""
    if rows is None or len(where) <= _MOST_ROWS:
        return ", ".join(f"{label} ({', '.join(metrics)})" for label, metrics in where.items())
    metrics = ", ".join(dict.fromkeys(name for names in where.values() for name in names))
    words = f"all {rows} rows" if len(where) == rows else ", ".join(few(list(where), _MOST_ROWS, "more rows"))
    return f"{words} ({metrics})"


def _counts(figures: Sequence[_Figure]) -> Iterator[str]:
    """Say each shared cause once, with how many figures it touched; a figure counts under its first cause."""
    touched: dict[Cause, list[Metric]] = defaultdict(list)
    for *_, metric in figures:
        if metric.verdict != "valid" and (cause := shared_cause(metric.reasons)):
            touched[cause].append(metric)
    of_machine = [metric for *_, metric in figures if metric.taken_at != "quality" or metric.machine_bound]
    measured = [metric for metric in of_machine if not metric.exact and metric.value is not None]
    for cause in SHARED:
        if not (members := touched[cause]):
            continue
        speeds = all(map(_is_speed, members))
        of = sum(map(_is_speed, measured)) if speeds else len(measured)
        noun = "speeds" if speeds else "speed and memory values"
        counts = Counter(metric.verdict for metric in members)
        # What is not available is not among the measured ones.
        yield f"{_counted(counts, max(of, len(members)), noun)}: {cause.words}."


def _is_speed(metric: Metric) -> bool:
    return metric.unit == "s" or metric.unit.endswith("/s")


def _counted(counts: Counter[Level], of: int, noun: str) -> str:
    """Return ``12 of 15 speeds are invalid (!)``."""
    found = [(counts[level], f"{VERDICTS[level]} ({MARKS[level]})") for level in _LEVELS if counts[level]]
    if len(found) == 1:
        [(count, words)] = found
        every = "Both" if of == 2 else f"All {of}"
        return f"{every if count == of > 1 else f'{count} of {of}'} {noun} {'is' if count == 1 else 'are'} {words}"
    (worse, worse_words), (better, better_words) = found
    return f"Of {of} {noun} {worse} {'is' if worse == 1 else 'are'} {worse_words} and {better} {better_words}"
