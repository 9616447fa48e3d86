"""What became of a suite's claims, in words that the terminal and the page share. Text as it came, not escaped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vitbench.findings.findings import ClaimResult, Findings, PairResult, PublishedFigure
from vitbench.leaderboard.leaderboard import Condition
from vitbench.report.metric_styles import (
    MetricStyle,
    p_value,
    percent_decimals,
    signed,
    style_of,
    threshold_in_words,
)
from vitbench.report.naming import places

__all__ = ["FigureWords", "ResultWords", "claim_results", "findings_notes", "findings_title", "published_figures"]

_SIGNS = {"for": "", "against": ": against the claim", "open": ": not resolved"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultWords:
    """One claim under one condition."""

    outcome: str
    text: str
    place: str
    """Dataset and whatever tells the condition apart."""
    lines: tuple[str, ...]
    """The comparisons, one each, and what is missing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureWords:
    """One published number and the run's own."""

    model: str
    place: str
    published: str
    own: str
    difference: str


def findings_title(found: Findings) -> str:
    """Return the heading."""
    return f"Findings of the suite {found.suite}"


def claim_results(found: Findings) -> list[ResultWords]:
    """Return what became of each claim."""
    names = _places(found)
    return [
        ResultWords(
            outcome=result.outcome,
            text=result.claim.text,
            place=names[result.condition] if result.condition is not None else result.dataset,
            lines=(*(_pair(result, pair, found.rank_by) for pair in result.pairs), *_missing(result)),
        )
        for result in found.claims
    ]


def published_figures(found: Findings) -> list[FigureWords]:
    """Return the published numbers beside the run's own."""
    names = _places(found)
    return [_figure(figure, found.rank_by, names) for figure in found.figures]


def findings_notes(found: Findings) -> list[str]:
    """Return what is to be known of the results, in sentences."""
    return list(_notes(found))


def _places(found: Findings) -> dict[Condition, str]:
    all_of_them = [*(each.condition for each in found.claims), *(each.condition for each in found.figures)]
    return places(dict.fromkeys(condition for condition in all_of_them if condition is not None))


def _pair(result: ClaimResult, pair: PairResult, rank_by: str) -> str:
    names = f"{pair.row.model} against {pair.against.model}"
    if pair.reason:
        return f"{names}: not resolved; {pair.reason}"
    paired = pair.paired
    assert paired is not None  # else there is a reason
    style = style_of(rank_by, [pair.row])
    decimals = percent_decimals([pair.row.metrics[rank_by], pair.against.metrics[rank_by]])
    unit = "points" if style.unit == "%" else style.unit
    words = f"{names}: {signed(style, paired.value, decimals)} {unit}".rstrip()
    if paired.low is not None and paired.high is not None:
        words += f", 95 % interval {signed(style, paired.low, decimals)} to {signed(style, paired.high, decimals)}"
    if result.claim.relation == "better":
        words += f", p {p_value(paired.p_value)}"
    return words + _SIGNS[pair.sign]


def _missing(result: ClaimResult) -> Iterator[str]:
    if result.missing:
        yield "missing: " + ", ".join(f"{row.name} ({row.reason})" for row in result.missing)


def _figure(figure: PublishedFigure, rank_by: str, names: dict[Condition, str]) -> FigureWords:
    metric = figure.metric
    style = MetricStyle.of(rank_by, metric.style) if metric else None
    if metric is None or style is None or metric.value is None or figure.condition is None:
        return FigureWords(
            model=figure.name, place=figure.dataset, published=f"{figure.shown:g}", own="not run", difference=""
        )
    decimals = percent_decimals([metric])
    own = style.number(metric.value, decimals)
    if metric.low is not None and metric.high is not None:
        own += f" ({style.number(metric.low, decimals)} to {style.number(metric.high, decimals)})"
    return FigureWords(
        model=figure.name,
        place=names[figure.condition],
        published=f"{figure.shown:g}",
        own=own,
        difference=signed(style, figure.difference or 0.0, decimals),
    )


def _notes(found: Findings) -> Iterator[str]:
    pairs = [pair for result in found.claims for pair in result.pairs if pair.paired is not None]
    if any(pair.paired and pair.paired.seeds == (1, 1) for pair in pairs):
        yield "One seed: two trainings are compared, not two models; more seeds count the errors of training, too."
    if any(result.condition is not None and result.condition.partial for result in found.claims):
        yield "Partial results: a claim that they confirm or refute is not confirmed or refuted for a full run."
    yield from _resolvable(found)
    if any(len(result.claim.rows) * len(result.claim.against) > 1 for result in found.claims):
        yield (
            "A claim over several rows is confirmed where each comparison is, and refuted where one is significantly "
            "against it, at 5 % shared among them."
        )
    margins = sorted({result.claim.margin for result in found.claims if result.claim.relation == "equal"})
    if margins:
        unit = next((" points" for pair in pairs if style_of(found.rank_by, [pair.row]).unit == "%"), "")
        told = " and ".join(f"{margin:g}" for margin in margins)
        yield f"About equal: the whole interval lies within {told}{unit}."


def _resolvable(found: Findings) -> Iterator[str]:
    """Say what difference could have been seen where none was."""
    smallest = [
        (pair.paired.resolvable, pair)
        for result in found.claims
        if result.outcome == "not resolved" and result.claim.relation == "better"
        for pair in result.pairs
        if pair.sign == "open" and pair.paired is not None and pair.paired.resolvable is not None
    ]
    if smallest:
        least, pair = max(smallest, key=lambda each: each[0])
        words = threshold_in_words(style_of(found.rank_by, [pair.row]), least)
        yield f"Not resolved: these images and seeds resolve differences from {words} on."
