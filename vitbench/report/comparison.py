"""A comparison for a terminal of 100 columns: for each pair a table, what it rests on, and the verdict in words.

ASCII but for the names, which come out without control characters.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from vitbench.comparing.comparison import Comparison
from vitbench.comparing.contrast import Contrast, Cost, Quality
from vitbench.comparing.speed_ratio import Speed
from vitbench.report.comparison_words import closing, notes, p_value, signed, verdict
from vitbench.report.figures import Figure, figure_of, percent_decimals, rounded
from vitbench.report.naming import conditions_in_words, titles
from vitbench.rows import Metric, Row
from vitbench.statistics import Estimate
from vitbench.text import plain

__all__ = ["WIDTH", "render_comparison"]

WIDTH = 100
_MARKS = {"valid": "", "warn": "~", "invalid": "!"}
_SPEED_WORDS = {"better": "faster", "worse": "slower"}
_ALIGN = ("left", "left", "right", "right", "right", "right", "right", "left")


def render_comparison(comparison: Comparison) -> str:
    """Return a comparison as text that ends with a newline."""
    lines = _wrapped(f"A  {comparison.names[0]}", hang="   ") + _wrapped(f"B  {comparison.names[1]}", hang="   ")
    for pair in comparison.pairs:
        lines += ["", *_pair(comparison, pair)]
    if comparison.missing or comparison.notes:
        lines += ["", *_sentences([*comparison.missing, *comparison.notes])]
    return "\n".join([*lines, "", *_sentences([closing(comparison)])]) + "\n"


def _pair(comparison: Comparison, pair: Contrast) -> list[str]:
    rows = (pair.first, pair.second)
    names = [row.model for row in rows]
    place = titles([pair.first.condition])[pair.first.condition]
    model = "" if tuple(names) == comparison.names else f"{' and '.join(dict.fromkeys(names))}, "
    lines = _wrapped(f"{model}{place}")
    if not pair.unlike:
        lines += [*_wrapped(conditions_in_words(pair.first.condition)), "", _table(pair, rows), ""]
    lines += _sentences(notes(comparison, pair))
    return [*lines, "", *_wrapped("Verdict: " + " ".join(verdict(comparison, pair)), hang="  ")]


def _table(pair: Contrast, rows: Sequence[Row]) -> str:
    from tabulate import SEPARATING_LINE, tabulate

    content: list[Sequence[str]] = []
    if pair.quality:
        content += [["quality", "", "A", "B", "B - A", "95 % interval", "p", ""], SEPARATING_LINE]
        content += [_quality_row(quality, rows) for quality in pair.quality]
    if pair.speeds:
        content += [SEPARATING_LINE] * bool(content)
        content += [["speed", "", "A", "B", "B / A", "95 % interval", "", ""], SEPARATING_LINE]
        content += [line for speed in pair.speeds for line in _speed_rows(speed, rows)]
    if pair.costs:
        content += [SEPARATING_LINE] * bool(content)
        content += [["cost", "", "A", "B", "B - A", "", "", ""], SEPARATING_LINE]
        content += [_cost_row(cost, rows) for cost in pair.costs]
    if not content:
        return "Nothing that both have."
    # A name in a cell such as 1e5 must not be read as a number.
    return tabulate(content, tablefmt="simple", colalign=_ALIGN, disable_numparse=True)


def _quality_row(quality: Quality, rows: Sequence[Row]) -> list[str]:
    figure = figure_of(quality.metric, rows)
    decimals = percent_decimals([quality.first, quality.second])
    paired = quality.paired
    interval = ""
    if paired is not None and paired.low is not None and paired.high is not None:
        interval = f"[{signed(figure, paired.low, decimals)}, {signed(figure, paired.high, decimals)}]"
    return [
        *_values(quality, figure, decimals),
        interval,
        p_value(paired.p_value) if paired else "",
        quality.finding or "",
    ]


def _cost_row(cost: Cost, rows: Sequence[Row]) -> list[str]:
    return [*_values(cost, figure_of(cost.metric, rows), 1), "", "", ""]


def _values(figures: Quality | Cost, figure: Figure, decimals: int) -> list[str]:
    """Return name, unit, both values and their difference."""
    first, second = figures.first, figures.second
    difference = ""
    if first.value is not None and second.value is not None:
        difference = signed(figure, second.value - first.value, decimals)
    shown = [_value(metric, figure, decimals) for metric in (first, second)]
    return [plain(figures.metric), plain(figure.unit), *shown, difference]


def _value(metric: Metric, figure: Figure, decimals: int = 1) -> str:
    if metric.value is None:
        return _MARKS[metric.verdict] + "-"
    shown = metric.value * figure.scale
    return _MARKS[metric.verdict] + (f"{shown:.{decimals}f}" if figure.unit == "%" else rounded(shown))


def _speed_rows(speed: Speed, rows: Sequence[Row]) -> list[list[str]]:
    figure = figure_of(speed.metric, rows)
    values = [_value(metric, figure) for metric in (speed.first, speed.second)]
    finding = _SPEED_WORDS.get(speed.finding, speed.finding)
    stored = [speed.metric, figure.unit, *values, *_ratio(speed.ratio), ""]
    if speed.measured is None:
        return [[*stored, finding]]
    return [[*stored, ""], ["  in turn", "", "", "", *_ratio(speed.measured.ratio), "", finding]]


def _ratio(ratio: Estimate | None) -> list[str]:
    if ratio is None:
        return ["", ""]
    ends = "" if ratio.low is None or ratio.high is None else f"[{rounded(ratio.low)}, {rounded(ratio.high)}]"
    return [rounded(ratio.value), ends]


def _sentences(sentences: Sequence[str]) -> list[str]:
    return [line for sentence in sentences for line in _wrapped(sentence, hang="  ")]


def _wrapped(text: str, *, hang: str = "") -> list[str]:
    return textwrap.wrap(plain(text), WIDTH, subsequent_indent=hang, break_on_hyphens=False)
