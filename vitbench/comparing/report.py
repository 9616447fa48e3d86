"""A comparison for a terminal of 100 columns: for each pair a table, what it rests on, and the verdict in words.

After the pairs, what each board over several datasets says.
ASCII except for the names. These come out without control characters, or wholly as escapes where only ASCII is taken.
Widths are those of the display, as in the leaderboard's table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from vitbench.comparing.board_contrast import BoardContrast
from vitbench.comparing.board_sentences import board_head, board_notes, board_verdict
from vitbench.comparing.comparison import Comparison
from vitbench.comparing.contrast import Contrast, Quality
from vitbench.comparing.sentences import closing, notes, verdict
from vitbench.comparing.speed_ratio import Compared, Speed
from vitbench.leaderboard.rows import Row
from vitbench.printable import rounded
from vitbench.report.metric_styles import MetricStyle, p_value, percent_decimals, signed, style_of
from vitbench.report.naming import conditions_in_words, titles
from vitbench.report.terminal_text import WIDTH, clipped, display_width, marked, shown, wrapped
from vitbench.statistics import Estimate

__all__ = ["render_comparison"]

_NARROWEST_NAME = 12
_WIDEST_UNIT = 12
_SPEED_WORDS = {"better": "faster", "worse": "slower"}
_ALIGN = ("left", "left", "right", "right", "right", "right", "right", "left")


def render_comparison(comparison: Comparison, *, unicode: bool = True) -> str:
    """Return a comparison as text that ends with a newline; in ASCII unless `unicode`."""
    lines = []
    for side, name in zip("AB", comparison.names, strict=True):
        lines += wrapped(f"{side}  {name}", unicode, hang="   ")
    for pair in comparison.pairs:
        lines += ["", *_pair(comparison, pair, unicode)]
    for board in comparison.boards:
        lines += ["", *_board(comparison, board, unicode)]
    if comparison.missing or comparison.notes:
        lines += ["", *_sentences([*comparison.missing, *comparison.notes], unicode)]
    return "\n".join([*lines, "", *_sentences([closing(comparison)], unicode)]) + "\n"


def _pair(comparison: Comparison, pair: Contrast, unicode: bool) -> list[str]:
    rows = (pair.first, pair.second)
    names = [row.model for row in rows]
    place = titles([pair.first.condition])[pair.first.condition]
    model = "" if tuple(names) == comparison.names else f"{' and '.join(dict.fromkeys(names))}, "
    lines = wrapped(f"{model}{place}", unicode)
    if not pair.unlike:
        lines += [*wrapped(conditions_in_words(pair.first.condition), unicode), "", _table(pair, rows, unicode), ""]
    lines += _sentences(notes(comparison, pair), unicode)
    return [*lines, "", *wrapped("Verdict: " + " ".join(verdict(comparison, pair)), unicode, hang="  ")]


def _board(comparison: Comparison, found: BoardContrast, unicode: bool) -> list[str]:
    datasets = ", ".join(each.name for each in found.board.datasets)
    lines = [line for text in (board_head(comparison, found), datasets) for line in wrapped(text, unicode)]
    lines += ["", *_sentences(board_notes(comparison, found), unicode)]
    return [*lines, "", *wrapped(f"Verdict: {board_verdict(comparison, found)}", unicode, hang="  ")]


def _table(pair: Contrast, rows: Sequence[Row], unicode: bool) -> str:
    """Return the numbers; names of metrics are cut short where the table would be too wide."""
    qualities = [_quality_row(quality, rows) for quality in pair.quality if quality.has_value or quality.finding]
    speeds = [line for speed in pair.speeds for line in _speed_rows(speed, rows)]
    costs = [_cost_row(cost, rows) for cost in pair.costs]
    parts = [
        (head, [_printable(line, unicode) for line in lines])
        for head, lines in (
            (["quality", "", "A", "B", "B - A", "95 % interval", "p", ""], qualities),
            (["speed", "", "A", "B", "B / A", "95 % interval", "", ""], speeds),
            (["cost", "", "A", "B", "B - A", "", "", ""], costs),
        )
        if lines
    ]
    if not parts:
        return "Nothing that both have."
    table = _tabulated(parts)
    excess = max(map(display_width, table.splitlines())) - WIDTH
    if excess > 0:
        names = [line[0] for _, lines in parts for line in lines]
        widest = max(_NARROWEST_NAME, max(map(display_width, names)) - excess)
        table = _tabulated([(head, [[clipped(line[0], widest), *line[1:]] for line in lines]) for head, lines in parts])
    return table


def _printable(line: Sequence[str], unicode: bool) -> list[str]:
    name, unit, *cells = line
    return [shown(name, unicode), clipped(shown(unit, unicode), _WIDEST_UNIT), *cells]


def _tabulated(parts: Sequence[tuple[list[str], list[list[str]]]]) -> str:
    from tabulate import SEPARATING_LINE, tabulate

    content: list[Sequence[str]] = []
    for head, lines in parts:
        content += [*[SEPARATING_LINE] * bool(content), head, SEPARATING_LINE, *lines]
    # A name in a cell such as 1e5 must not be read as a number.
    return tabulate(content, tablefmt="simple", colalign=_ALIGN, disable_numparse=True)


def _quality_row(quality: Quality, rows: Sequence[Row]) -> list[str]:
    style = style_of(quality.metric, rows)
    decimals = percent_decimals([quality.first, quality.second])
    paired = quality.paired
    interval = ""
    if paired is not None and paired.low is not None and paired.high is not None:
        interval = f"[{signed(style, paired.low, decimals)}, {signed(style, paired.high, decimals)}]"
    return [
        *_values(quality, style, decimals),
        _difference(quality, style, decimals),
        interval,
        p_value(paired.p_value) if paired else "",
        quality.finding or "",
    ]


def _cost_row(cost: Compared, rows: Sequence[Row]) -> list[str]:
    style = style_of(cost.metric, rows)
    return [*_values(cost, style), _difference(cost, style), "", "", ""]


def _values(pair: Compared, style: MetricStyle, decimals: int = 1) -> list[str]:
    """Return name, unit and both values."""
    text = partial(style.number, decimals=decimals)
    return [pair.metric, style.unit, marked(pair.first, text), marked(pair.second, text)]


def _difference(pair: Compared, style: MetricStyle, decimals: int = 1) -> str:
    return "" if pair.difference is None else signed(style, pair.difference, decimals)


def _speed_rows(speed: Speed, rows: Sequence[Row]) -> list[list[str]]:
    finding = _SPEED_WORDS.get(speed.finding, speed.finding)
    stored = [*_values(speed, style_of(speed.metric, rows)), *_ratio(speed.ratio), ""]
    if speed.measured is None:
        return [[*stored, finding]]
    return [[*stored, ""], ["  in turn", "", "", "", *_ratio(speed.measured.ratio), "", finding]]


def _ratio(ratio: Estimate | None) -> list[str]:
    if ratio is None:
        return ["", ""]
    ends = "" if ratio.low is None or ratio.high is None else f"[{rounded(ratio.low)}, {rounded(ratio.high)}]"
    return [rounded(ratio.value), ends]


def _sentences(sentences: Sequence[str], unicode: bool) -> list[str]:
    return [line for sentence in sentences for line in wrapped(sentence, unicode, hang="  ")]
