"""The panel of one row: all its metrics with their reasons, its charts, what it is made of, how to make it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vitbench.leaderboard.leaderboard import Metric, Row
from vitbench.leaderboard.metric import Relative
from vitbench.records import QualityCell, digest
from vitbench.report.html.charts import (
    Chart,
    calibration_chart,
    confusion_chart,
    confusion_in_words,
    latency_chart,
)
from vitbench.report.html.details import CellDetail, RowDetail
from vitbench.report.metric_styles import MetricStyle, in_words, percent_decimals, style_of
from vitbench.report.naming import conditions_in_words
from vitbench.report.terminal_text import EN_DASH, marked_verdict

if TYPE_CHECKING:
    from vitbench.report.html.figures import PanelFigures

__all__ = ["MetricLine", "Panel", "evidence_in_words", "panel", "panel_id"]

_NOT_EVIDENCE = frozenset({"seconds", "threads", "usable_cores"})
"""Names that tell of the conditions, not of a disturbance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricLine:
    """One metric in words."""

    metric: str
    value: str
    interval: str
    n: str
    level: str
    verdict: str
    """With its reasons."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """What the panel of a row says."""

    id: str
    name: str
    summary: str
    metrics: tuple[MetricLine, ...]
    charts: tuple[Chart, ...]
    figures: PanelFigures
    pairs: tuple[tuple[str, str, int], ...]
    """Of many classes, the most frequent mistakes: true, predicted, images."""
    mistakes: str
    """The same in words, where there is no chart that says it."""
    facts: Mapping[str, str]
    cells: tuple[CellDetail, ...]
    command: str
    note: str


def panel_id(row: Row) -> str:
    """Return a name for the row's panel that stays when the page is written again."""
    # Batch sizes become known with the first timing, of whichever model.
    condition = replace(row.condition, batch_size=None, train_batch_size=None)
    return f"m-{digest((row.model, row.recipe, condition))[:10]}"


def panel(row: Row, name: str, detail: RowDetail, rank: str, rank_by: str) -> Panel:
    """Return what the panel of one row says.

    Args:
        row: of the leaderboard.
        name: what the table calls it.
        detail: what is behind it.
        rank: as text.
        rank_by: the ranking metric.
    """
    from vitbench.report.html.figures import panel_figures

    main = row.metrics.get(rank_by)
    known = main is not None and main.value is not None
    value = f"{rank_by} {_value(rank_by, main, row)}" if known and main else f"no {rank_by}"
    found = detail.confusion
    pictured = confusion_chart(detail)
    charts = (pictured, calibration_chart(detail), latency_chart(detail, row))
    names = detail.class_names
    return Panel(
        id=panel_id(row),
        name=name,
        summary=f"{value}, rank {rank}" if row.rank is not None else f"{value}, not ranked",
        metrics=tuple(_metric_line(metric, row) for metric in sorted(row.metrics, key=lambda each: each != rank_by)),
        charts=tuple(chart for chart in charts if chart is not None),
        figures=panel_figures(panel_id(row), name, detail.figures),
        pairs=tuple((names[true], names[taken], images) for true, taken, images in found.counts)
        if found and pictured is None
        else (),
        mistakes=confusion_in_words(detail) if found and pictured is None else "",
        facts={name: text for name, text in _facts(row, detail).items() if text},
        cells=detail.cells,
        command=detail.reproduction.command,
        note=detail.reproduction.note,
    )


def evidence_in_words(cell: CellDetail) -> str:
    """Return what was observed of the machine, over the processes of a cell."""
    parts = [
        f"{name.replace('_', ' ')} {_range(name, *ends)}"
        for name, ends in cell.evidence.items()
        if name not in _NOT_EVIDENCE and any(ends)
    ]
    if not cell.processes:
        return ""
    return f"{cell.processes} process{'es' if cell.processes > 1 else ''}: {', '.join(parts) or 'nothing disturbed it'}"


def _range(name: str, low: float, high: float) -> str:
    if name.endswith("_share"):
        return f"{low:.1%}" if f"{low:.1%}" == f"{high:.1%}" else f"{low:.1%} to {high:.1%}"
    return f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"


def _metric_line(name: str, row: Row) -> MetricLine:
    metric = row.metrics[name]
    words = "; ".join(metric.reasons)
    # What could not be had, such as the energy of a CPU, is no value that is wrong.
    level, verdict = (
        ("valid", "not available") if metric.value is None else (metric.verdict, marked_verdict(metric.verdict))
    )
    return MetricLine(
        metric=name,
        value=_value(name, metric, row) if metric.value is not None else EN_DASH,
        interval=_interval(name, metric, row),
        n="" if metric.n is None else f"{metric.n:,}",
        level=level,
        verdict=verdict + (f": {words}" if words else ""),
    )


def _value(name: str, metric: Metric, row: Row) -> str:
    assert metric.value is not None
    style = style_of(name, [row])
    return in_words(style, metric.value, percent_decimals([metric]))


def _interval(name: str, metric: Metric, row: Row) -> str:
    if metric.relative:
        return _ratio(style_of(name, [row]), metric.relative)
    if metric.low is None or metric.high is None:
        return ""
    style, decimals = style_of(name, [row]), percent_decimals([metric])
    low, high = (in_words(style, end, decimals).removesuffix(f" {style.unit}") for end in (metric.low, metric.high))
    spread = "" if metric.spread is None else f", sd {in_words(style, metric.spread, decimals)}"
    return f"{low} to {high} ({'range' if metric.interval == 'range' else '95 %'}){spread}"


def _ratio(style: MetricStyle, known: Relative) -> str:
    """Return the ratio to the reference network with its interval, and what was measured."""
    ratio = known.ratio
    ends = "" if ratio.low is None or ratio.high is None else f", {ratio.low:.3g} to {ratio.high:.3g} (95 %)"
    left_out = f", {ratio.left_out} of {ratio.quads} quads left out" if ratio.left_out else ""
    low, high = (in_words(style, end).removesuffix(f" {style.unit}") for end in (known.low, known.high))
    return (
        f"{ratio.value:.3g} of the reference's {in_words(style, known.reference)}{ends}{left_out}; "
        f"measured {in_words(style, known.measured)}, {low} to {high} (range)"
    )


def _facts(row: Row, detail: RowDetail) -> dict[str, str]:
    used, cell, provenance = detail.main.preprocess, detail.main.planned.cell, detail.main.planned.provenance
    size = "{} x {} pixels".format(*row.image_size)
    preprocess = size
    if used:
        mode = f" ({used.crop_mode})" if used.crop_mode != "center" else ""
        preprocess += (
            f", channels {used.in_channels}, mean {_numbers(used.mean)}, sd {_numbers(used.std)}, "
            f"{used.interpolation}, crop {used.crop_fraction:g}{mode}{f', from {used.source}' if used.source else ''}"
        )
    return {
        "model": _with_options(cell.model, cell.options),
        "recipe": _with_options(row.recipe, cell.recipe_options if isinstance(cell, QualityCell) else {}),
        "scored on": row.head,
        "seeds": ", ".join(map(str, row.seeds)),
        "trained on": _seed_devices(row),
        "seeds without a result": ", ".join(map(str, row.seeds_missing)),
        "images": ", ".join(f"{name} {count:,}" for name, count in detail.main.splits.items()),
        "input": preprocess,
        "conditions": conditions_in_words(row.condition),
        "torch": ", ".join(detail.torch),
        "libraries": ", ".join(f"{name} {version}" for name, version in provenance.all_libraries.items()),
        "hashes of files": ", ".join(f"{option} {sha256}" for option, sha256 in provenance.files.items()),
        **{f"{part} from": "; ".join(one.in_words for one in origins) for part, origins in detail.origins.items()},
        "it says": ", ".join(f"{name} {value}" for name, value in detail.main.facts.items()),
    }


def _seed_devices(row: Row) -> str:
    """Return the devices of the seeds; of several each with its own."""
    if len(row.seed_devices) < 2:
        return "".join(row.seed_devices)
    return "; ".join(f"{device} (seeds {', '.join(map(str, seeds))})" for device, seeds in row.seed_devices.items())


def _with_options(name: str, options: Mapping[str, object]) -> str:
    listed = ", ".join(f"{key}={value}" for key, value in options.items() if value != "")
    return f"{name}: {listed}" if listed else name


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
