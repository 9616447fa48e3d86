"""How each metric is shown: its title, the unit for readers, its digits. Tables, sentences and pictures share it.

All of it is stored with the measurements (`vitbench.records.Style`); no metric is known by its name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from vitbench.leaderboard.leaderboard import Metric, Row
from vitbench.printable import rounded
from vitbench.records import Style
from vitbench.specs import Columns

__all__ = [
    "MetricStyle",
    "gap_in_words",
    "in_words",
    "interval_head",
    "p_value",
    "percent_decimals",
    "signed",
    "style_of",
    "styles_of",
    "threshold_in_words",
]


@dataclass(frozen=True, slots=True)
class MetricStyle:
    """A metric's place in the tables."""

    metric: str
    title: str
    unit: str
    """The unit that it is shown in."""
    scale: float = 1.0
    """What to multiply the metric's value by."""
    columns: Columns = "main"
    """In which tables it has a column."""
    order: int = 1000
    """Its place among the columns."""

    @classmethod
    def of(cls, metric: str, style: Style) -> MetricStyle:
        """Return how a metric is shown that is stored with a style."""
        return cls(metric, style.title, style.unit, style.scale, style.columns, style.order)

    @property
    def detail(self) -> bool:
        """Whether it is left out where there is little room."""
        return self.columns != "main"

    def number(self, value: float, decimals: int = 1) -> str:
        """Return a value, in the metric's own unit, as a number in the unit for readers; decimals are percentages'.

        A whole number without a unit is a count.
        """
        shown = value * self.scale
        if self.unit == "%":
            return f"{shown:.{decimals}f}"
        return f"{shown:,.0f}" if not self.unit and float(shown).is_integer() else rounded(shown)


def style_of(metric: str, rows: Sequence[Row]) -> MetricStyle:
    """Return how a metric is shown, as the first of some rows says that has it."""
    stored = next((row.metrics[metric].style for row in rows if metric in row.metrics), Style(title=metric))
    return MetricStyle.of(metric, stored)


def styles_of(rows: Sequence[Row], first: str) -> list[MetricStyle]:
    """Return how the metrics are shown that some rows have, in the order of the columns.

    A metric that has no value in any row, such as the energy of a CPU, is left out unless it belongs in every table.

    Args:
        rows: of one condition.
        first: the metric that comes first, wherever it stands otherwise.
    """
    names = dict.fromkeys(name for row in rows for name in row.metrics)
    known = [style_of(name, rows) for name in names]
    had = {name for row in rows for name, metric in row.metrics.items() if metric.value is not None}
    shown = [style for style in known if style.metric in had or not style.detail or style.metric == first]
    return sorted(shown, key=lambda style: (style.metric != first, style.order))


def percent_decimals(metrics: Sequence[Metric | None]) -> int:
    """Return two where the sample is large enough for the second decimal to mean something, else one."""
    known = [m for m in metrics if m and m.low is not None and m.high is not None]
    halves = [m.style.scale * (m.high - m.low) / 2 for m in known]  # type: ignore[operator]
    return 2 if halves and max(halves) < 1 else 1


def interval_head(metrics: Sequence[Metric | None]) -> tuple[str, str]:
    """Return the title and the unit of a column of intervals: what those of these rows are."""
    if any(metric is not None and metric.relative for metric in metrics):
        return "ratio", "± 95 %"
    kinds = {metric.interval for metric in metrics if metric is not None} - {None}
    return ("", "range") if kinds == {"range"} else ("95 %", "interval") if kinds == {"95%"} else ("95 %", "or range")


def in_words(style: MetricStyle, value: float, decimals: int = 1) -> str:
    """Return a value, in the metric's own unit, with the unit for readers: ``98.6 %``, ``1,234 images/s``."""
    return f"{style.number(value, decimals)} {style.unit}".rstrip()


def gap_in_words(style: MetricStyle, size: float, decimals: int) -> str:
    """Return a difference, given in the metric's own unit: ``0.8 points``, ``0.031 nat``.

    It has no sign and is never rounded to nothing.
    """
    points, shown = style.number(abs(size), decimals), abs(size) * style.scale
    lost = style.unit == "%" and shown and not float(points)
    return _with_unit(f"{shown:.1g}" if lost else points, style)


def threshold_in_words(style: MetricStyle, size: float) -> str:
    """Return the smallest difference of some kind, to two digits: rounded up, since less would not do."""
    shown = size * style.scale
    if not shown:
        return _with_unit("0", style)
    places = 1 - math.floor(math.log10(shown))
    # 100 * 0.07 is a little more than 7.
    up = math.ceil(shown * 10.0**places * (1 - 1e-12))
    return _with_unit(f"{Decimal(up).scaleb(-places):,f}", style)


def signed(style: MetricStyle, value: float, decimals: int) -> str:
    """Return a difference with its sign, in the unit for readers; what rounds to nothing has none."""
    text = style.number(abs(value), decimals)
    sign = "-" if value < 0 else "+"
    return f"{sign if float(text.replace(',', '')) else ''}{text}"


def p_value(value: float) -> str:
    """Return ``0.043`` or ``<0.001``."""
    return "<0.001" if value < 0.001 else f"{value:.2g}" if value < 0.995 else "1"


def _with_unit(number: str, style: MetricStyle) -> str:
    """Return a number, written out without an exponent, with the unit of a difference."""
    written = f"{Decimal(number.replace(',', '')):,f}"
    return f"{written} {'points' if style.unit == '%' else style.unit}".rstrip()
