"""A comparison for a terminal of 100 columns: for each pair a table, what it rests on, and the verdict in words.

ASCII but for the names. These come out without control characters, or wholly as escapes where only ASCII is taken.
Widths are those of the display, as in the leaderboard's table.
"""

from __future__ import annotations

from collections.abc import Sequence

from vitbench.comparing.comparison import Comparison
from vitbench.comparing.contrast import Contrast, Cost, Quality
from vitbench.comparing.sentences import closing, notes, p_value, signed, verdict
from vitbench.comparing.speed_ratio import Speed
from vitbench.leaderboard.rows import Metric, Row
from vitbench.printable import plain
from vitbench.report.metric_styles import MetricStyle, percent_decimals, rounded, style_of
from vitbench.report.naming import conditions_in_words, titles
from vitbench.statistics import Estimate

__all__ = ["WIDTH", "render_comparison"]

WIDTH = 100
_NARROWEST_NAME = 12
_WIDEST_UNIT = 12
_MARKS = {"valid": "", "warn": "~", "invalid": "!"}
_SPEED_WORDS = {"better": "faster", "worse": "slower"}
_ALIGN = ("left", "left", "right", "right", "right", "right", "right", "left")


def render_comparison(comparison: Comparison, *, unicode: bool = True) -> str:
    """Return a comparison as text that ends with a newline; in ASCII unless `unicode`."""
    lines = []
    for side, name in zip("AB", comparison.names, strict=True):
        lines += _wrapped(f"{side}  {name}", unicode, hang="   ")
    for pair in comparison.pairs:
        lines += ["", *_pair(comparison, pair, unicode)]
    if comparison.missing or comparison.notes:
        lines += ["", *_sentences([*comparison.missing, *comparison.notes], unicode)]
    return "\n".join([*lines, "", *_sentences([closing(comparison)], unicode)]) + "\n"


def _pair(comparison: Comparison, pair: Contrast, unicode: bool) -> list[str]:
    rows = (pair.first, pair.second)
    names = [row.model for row in rows]
    place = titles([pair.first.condition])[pair.first.condition]
    model = "" if tuple(names) == comparison.names else f"{' and '.join(dict.fromkeys(names))}, "
    lines = _wrapped(f"{model}{place}", unicode)
    if not pair.unlike:
        lines += [*_wrapped(conditions_in_words(pair.first.condition), unicode), "", _table(pair, rows, unicode), ""]
    lines += _sentences(notes(comparison, pair), unicode)
    return [*lines, "", *_wrapped("Verdict: " + " ".join(verdict(comparison, pair)), unicode, hang="  ")]


def _table(pair: Contrast, rows: Sequence[Row], unicode: bool) -> str:
    """Return the figures; names of metrics are cut short where the table would be too wide."""
    parts = [
        (["quality", "", "A", "B", "B - A", "95 % interval", "p", ""], [_quality_row(q, rows) for q in pair.quality]),
        (
            ["speed", "", "A", "B", "B / A", "95 % interval", "", ""],
            [line for speed in pair.speeds for line in _speed_rows(speed, rows)],
        ),
        (["cost", "", "A", "B", "B - A", "", "", ""], [_cost_row(cost, rows) for cost in pair.costs]),
    ]
    parts = [
        (
            head,
            [
                [_shown(name, unicode), _short(_shown(unit, unicode), _WIDEST_UNIT), *cells]
                for name, unit, *cells in lines
            ],
        )
        for head, lines in parts
        if lines
    ]
    if not parts:
        return "Nothing that both have."
    table = _tabulated(parts)
    excess = max(map(_width, table.splitlines())) - WIDTH
    if excess > 0:
        names = [line[0] for _, lines in parts for line in lines]
        widest = max(_NARROWEST_NAME, max(map(_width, names)) - excess)
        table = _tabulated([(head, [[_short(line[0], widest), *line[1:]] for line in lines]) for head, lines in parts])
    return table


def _tabulated(parts: Sequence[tuple[list[str], list[list[str]]]]) -> str:
    from tabulate import SEPARATING_LINE, tabulate

    content: list[Sequence[str]] = []
    for head, lines in parts:
        content += [*[SEPARATING_LINE] * bool(content), head, SEPARATING_LINE, *lines]
    # A name in a cell such as 1e5 must not be read as a number.
    return tabulate(content, tablefmt="simple", colalign=_ALIGN, disable_numparse=True)


def _quality_row(quality: Quality, rows: Sequence[Row]) -> list[str]:
    figure = style_of(quality.metric, rows)
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
    return [*_values(cost, style_of(cost.metric, rows), 1), "", "", ""]


def _values(figures: Quality | Cost, figure: MetricStyle, decimals: int) -> list[str]:
    """Return name, unit, both values and their difference."""
    difference = "" if figures.difference is None else signed(figure, figures.difference, decimals)
    shown = [_value(metric, figure, decimals) for metric in (figures.first, figures.second)]
    return [figures.metric, figure.unit, *shown, difference]


def _value(metric: Metric, figure: MetricStyle, decimals: int = 1) -> str:
    if metric.value is None:
        return _MARKS[metric.verdict] + "-"
    shown = metric.value * figure.scale
    return _MARKS[metric.verdict] + (f"{shown:.{decimals}f}" if figure.unit == "%" else rounded(shown))


def _speed_rows(speed: Speed, rows: Sequence[Row]) -> list[list[str]]:
    figure = style_of(speed.metric, rows)
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


def _sentences(sentences: Sequence[str], unicode: bool) -> list[str]:
    return [line for sentence in sentences for line in _wrapped(sentence, unicode, hang="  ")]


def _wrapped(text: str, unicode: bool, *, hang: str = "") -> list[str]:
    from wcwidth import wrap

    return wrap(_shown(text, unicode), WIDTH, subsequent_indent=hang, break_on_hyphens=False)


def _shown(text: str, unicode: bool) -> str:
    text = plain(text)
    return text if unicode else text.encode("ascii", "backslashreplace").decode()


def _short(text: str, width: int) -> str:
    """Return text of at most some width, the middle left out where it is longer."""
    from wcwidth import clip

    full = _width(text)
    if full <= width:
        return text
    tail = (width - 3) // 2
    return clip(text, 0, width - 3 - tail).rstrip() + "..." + clip(text, full - tail, full).lstrip()


def _width(text: str) -> int:
    from wcwidth import wcswidth

    return wcswidth(text)
