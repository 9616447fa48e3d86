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
from vitbench.report.html.diagnostics import MOST_CLASSES, Recall
from vitbench.report.metric_styles import MetricStyle, in_words, percent_decimals, style_of
from vitbench.report.naming import conditions_in_words
from vitbench.report.terminal_text import EN_DASH, marked_verdict

if TYPE_CHECKING:
    from vitbench.report.html.figures import PanelFigures

__all__ = ["MetricLine", "Panel", "evidence_in_words", "panel", "panel_id"]

_MOST_PAIRS = 5
"""Of mistakes that are listed beside a whole matrix."""
_NOT_EVIDENCE = frozenset({"seconds", "threads", "usable_cores"})
"""Names that describe the conditions, not a disturbance."""


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
class RecallLine:
    """The recall of one class."""

    name: str
    recall: str
    interval: str
    strip: tuple[float, float, float]
    """Low, value and high, in per cent."""
    images: int
    taken_for: str
    share: str


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
    """The most frequent mistakes: true, predicted, images."""
    mistakes: str
    """The same in words, where there is no chart that says it."""
    recalls: tuple[RecallLine, ...]
    recalls_title: str
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
        pairs=_pairs(detail),
        recalls=tuple(_recall_line(each, names) for each in _worst(detail.recalls)),
        recalls_title=_recalls_title(detail),
        mistakes=confusion_in_words(detail) if found and pictured is None else "",
        facts={name: text for name, text in _facts(row, detail).items() if text},
        cells=detail.cells,
        command=detail.reproduction.command,
        note=" ".join(filter(None, (detail.reproduction.suite_note, detail.reproduction.note))),
    )


def _pairs(detail: RowDetail) -> tuple[tuple[str, str, int], ...]:
    """Return the most frequent mistakes; the few of few classes are in the matrix, too."""
    found, names = detail.confusion, detail.class_names
    if found is None:
        return ()
    wrong = sorted((each for each in found.counts if each[0] != each[1]), key=lambda each: -each[2])
    return tuple(
        (names[true], names[taken], images) for true, taken, images in wrong[: _MOST_PAIRS if found.whole else None]
    )


def _worst(found: Sequence[Recall]) -> Sequence[Recall]:
    """Return all classes in their order; of more than a table shows, the worst."""
    return found if len(found) <= MOST_CLASSES else sorted(found, key=lambda each: each.recall)[:MOST_CLASSES]


def _recalls_title(detail: RowDetail) -> str:
    count = len(detail.recalls)
    return (
        f"Recall of the {MOST_CLASSES} worst of {count:,} classes" if count > MOST_CLASSES else "Recall of each class"
    )


def _recall_line(found: Recall, names: Sequence[str]) -> RecallLine:
    low, value, high = (round(100 * each, 1) for each in (found.low, found.recall, found.high))
    return RecallLine(
        name=names[found.label],
        recall=f"{value:.1f} %",
        interval=f"{low:.1f}{EN_DASH}{high:.1f}",
        strip=(low, value, high),
        images=found.images,
        taken_for="" if found.taken_for is None else names[found.taken_for],
        share=f"{found.taken_share:.1%}",
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
        "lineage of the data": row.condition.lineage,
        "scored on": row.head,
        "pretrained on": row.pretrained_on,
        "licence of the weights": row.licence,
        "passes": "" if row.passes is None else f"{row.passes:.4g} over the training images",
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
