"""How each metric is shown: its title, the unit for readers, its digits. Tables, sentences and pictures share it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from vitbench.leaderboard.leaderboard import Metric, Row

__all__ = [
    "METRIC_STYLES",
    "MetricStyle",
    "gap_in_words",
    "in_words",
    "percent_decimals",
    "rounded",
    "style_of",
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
    detail: bool = False
    """Left out where there is little room."""

    def number(self, value: float, decimals: int = 1) -> str:
        """Return a value, in the metric's own unit, as a number in the unit for readers; decimals are percentages'."""
        shown = value * self.scale
        return f"{shown:.{decimals}f}" if self.unit == "%" else rounded(shown)


METRIC_STYLES = (
    MetricStyle("top1", "top1", "%", 100),
    MetricStyle("top5", "top5", "%", 100, detail=True),
    MetricStyle("throughput", "", "images/s"),
    MetricStyle("latency_p50", "p50", "ms", 1e3),
    MetricStyle("latency_p95", "p95", "ms", 1e3, detail=True),
    MetricStyle("peak_memory", "peak", "MiB", 2**-20),
    MetricStyle("params", "params", "M", 1e-6),
    MetricStyle("macs", "", "GMACs", 1e-9),
    MetricStyle("train_throughput", "train", "images/s"),
    MetricStyle("train_peak_memory", "train peak", "MiB", 2**-20, detail=True),
    MetricStyle("train_seconds", "train", "s", detail=True),
    MetricStyle("cold_start", "cold start", "s", detail=True),
    MetricStyle("compile_seconds", "compile", "s", detail=True),
    MetricStyle("largest_batch", "largest batch", "images", detail=True),
    MetricStyle("largest_batch_throughput", "at largest", "images/s", detail=True),
    MetricStyle("energy_per_image", "energy", "mJ/image", 1e3, detail=True),
    MetricStyle("variant_agreement", "as float32", "%", 100, detail=True),
)
_KNOWN = {style.metric: style for style in METRIC_STYLES}


def style_of(metric: str, rows: Sequence[Row]) -> MetricStyle:
    """Return how a metric is shown; one without a place here in its own unit, fractions in percent."""
    if metric in _KNOWN:
        return _KNOWN[metric]
    unit = next((row.metrics[metric].unit for row in rows if metric in row.metrics), "")
    if unit == "fraction":
        return MetricStyle(metric, metric, "%", 100)
    return MetricStyle(metric, metric, "" if unit == "1" else unit)


def rounded(value: float) -> str:
    """Return a number to about three significant digits, whole from 100 on."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 else f"{value:.3g}"


def percent_decimals(metrics: Sequence[Metric | None]) -> int:
    """Return two where the sample is large enough for the second decimal to mean something, else one."""
    halves = [(m.high - m.low) / 2 for m in metrics if m and m.low is not None and m.high is not None]
    return 2 if halves and max(halves) < 0.01 else 1


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


def _with_unit(number: str, style: MetricStyle) -> str:
    """Return a number, written out without an exponent, with the unit of a difference."""
    written = f"{Decimal(number.replace(',', '')):,f}"
    return f"{written} {'points' if style.unit == '%' else style.unit}".rstrip()
