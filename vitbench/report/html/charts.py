"""The charts of a page: words and numbers for the templates of `specs`, each with the same in a sentence.

The sentence is for those who cannot see the chart, and for a browser without scripts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitbench.leaderboard.leaderboard import Row
from vitbench.printable import plain
from vitbench.report.html.details import RowDetail
from vitbench.report.html.diagnostics import SHOWN_SHARE, Histogram
from vitbench.settings import LATENCY, LATENCY_TAIL

__all__ = [
    "Chart",
    "calibration_chart",
    "confusion_chart",
    "confusion_in_words",
    "latency_chart",
    "number",
]

MOST_NAMED = 3
"""Mistakes that a sentence names."""


Value = float | int | str | bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """What one chart adds to its kind's template."""

    kind: str
    """A key of `specs.TEMPLATES`."""
    title: str
    text: str
    """What it shows, in words."""
    words: Mapping[str, Value | Sequence[Value | Sequence[Value]]]
    """What stands for the template's words; None takes the key away."""
    data: Mapping[str, Mapping[str, Sequence[Value]]]
    """The template's datasets, by name; each column by column."""

    def compact(self) -> dict[str, Any]:
        """Return the chart for the page's script, without invisible characters in names."""
        return {"kind": self.kind, "words": _plain(self.words), "data": _plain(self.data)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {plain(name): _plain(each) for name, each in value.items()}
    if isinstance(value, str):
        return plain(value)
    return [_plain(each) for each in value] if isinstance(value, Sequence) else value


def number(value: float) -> float | None:
    """Return a value to five digits, finer than a pixel; None for what has no place in a chart, as nan."""
    if not math.isfinite(value):
        return None
    short = float(f"{value:.5g}")
    return int(short) if short.is_integer() else short


def confusion_chart(detail: RowDetail) -> Chart | None:
    """Return the confusion matrix; None without predictions, or of too many classes for a picture."""
    found = detail.confusion
    if found is None or not found.whole:
        return None
    true, predicted, images = zip(*found.counts, strict=True)
    names = detail.class_names
    return Chart(
        kind="confusion",
        title="Confusion matrix",
        text=confusion_in_words(detail),
        words={"names": names, "places": range(len(names))},
        data={"points": {"true": true, "predicted": predicted, "images": images}},
    )


def confusion_in_words(detail: RowDetail) -> str:
    """Return how many predictions are wrong, and the most frequent mistakes."""
    found = detail.confusion
    assert found is not None
    mistakes = sorted((-images, true, taken) for true, taken, images in found.counts if true != taken)
    names = detail.class_names
    listed = ", ".join(
        f"{names[true]} taken for {names[taken]} ({-images:,})" for images, true, taken in mistakes[:MOST_NAMED]
    )
    seeds = sum(cell.name.startswith("seed") for cell in detail.cells)
    over = f", summed over {seeds} seeds" if seeds > 1 else ""
    share = f"{found.wrong:,} of {found.images:,} predictions are wrong{over}"
    return f"{share}; most often {listed}." if listed else f"{share}."


def calibration_chart(detail: RowDetail) -> Chart | None:
    """Return accuracy by confidence; None without predictions."""
    bins = detail.calibration
    if not bins:
        return None
    fullest = max(bins, key=lambda each: each.images)
    return Chart(
        kind="calibration",
        title="Calibration",
        text=(
            f"Accuracy by confidence, in {len(bins)} bins. The fullest, {fullest.low:.0%} to {fullest.high:.0%}, "
            f"holds {fullest.images:,} predictions: mean confidence {fullest.confidence:.1%}, accuracy "
            f"{fullest.accuracy:.1%} (95 % interval {fullest.accuracy_low:.1%} to {fullest.accuracy_high:.1%}). "
            "On the dotted line, probabilities are true."
        ),
        words={},
        data={
            "points": {
                "images": [each.images for each in bins],
                "confidence": [number(each.confidence) for each in bins],
                "accuracy": [number(each.accuracy) for each in bins],
                "low": [number(each.accuracy_low) for each in bins],
                "high": [number(each.accuracy_high) for each in bins],
            }
        },
    )


def latency_chart(detail: RowDetail, row: Row) -> Chart | None:
    """Return the distribution of the latencies at batch 1; None where none was measured."""
    found = detail.latency
    if found is None:
        return None
    marks = [
        (metric.style.title, 1e3 * metric.value)
        for name in (LATENCY, LATENCY_TAIL)
        if (metric := row.metrics.get(name)) is not None and metric.value is not None
    ]
    shown = [mark for mark in marks if mark[1] <= found.edges[-1]]
    return Chart(
        kind="latency",
        title="Latency, one image",
        text=_latency_in_words(found, marks),
        words={"bar": number(found.edges[1] - found.edges[0])},
        data={
            "points": {"low": [number(edge) for edge in found.edges[:-1]], "samples": found.counts},
            "marks": {"name": [name for name, _ in shown], "value": [number(value) for _, value in shown]},
        },
    )


def _latency_in_words(found: Histogram, marks: Sequence[tuple[str, float]]) -> str:
    processes = f"{found.processes} process{'es' if found.processes != 1 else ''}"
    values = ", ".join(f"{title} {value:.3g} ms" for title, value in marks)
    reach = f"The bars reach from {found.edges[0]:.3g} to {found.edges[-1]:.3g} ms"
    share = f", {SHOWN_SHARE:.0%} of the calls; {found.beyond:,} took longer, up to {found.largest:.3g} ms."
    return f"{found.samples:,} timed calls of {processes}: {values}. {reach}{share if found.beyond else '.'}"
