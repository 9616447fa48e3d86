"""What a user wants of a model, compared with what was measured: met, missed, or not known for sure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from vitbench.catalog import Catalog
from vitbench.leaderboard.clauses import Comparison
from vitbench.leaderboard.metric import Metric
from vitbench.leaderboard.where import Where, parse_where
from vitbench.measurements import blank

__all__ = ["Judgement", "conditions_in_words", "judged", "parse_want", "values_of"]

MOST_CORNERS = 12
"""Metrics of a condition whose ends are all combined: 3**12 is half a million. Of more, values alone count."""
DISTURBED = 2.0
"""By which factor an invalid number, of a machine that was busy, may be off: beyond it, it decides all the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What is known of a condition."""

    holds: bool | None
    """By the values; None: a metric that decides is not known."""
    sure: bool
    """Whether it is the same wherever in their intervals the metrics are."""
    words: str
    """What of it is missed, or not sure: ``throughput 480``; empty where it is met for sure."""

    @property
    def missed(self) -> bool:
        """Whether it is missed for sure."""
        return self.sure and self.holds is False


def parse_want(text: str, catalog: Catalog) -> Where | None:
    """Return the condition that a text means; None where it is empty.

    Raises:
        UsageError: it means none, or names a metric or a unit that there is not.
    """
    if not text.strip():
        return None
    return parse_where(
        text,
        {one.name: blank(offer.spec, one.name).unit for offer in catalog.metrics.values() for one in offer.spec.gives},
    )


def values_of(metrics: Mapping[str, Metric]) -> dict[str, float | None]:
    """Return the values, in base units."""
    return {name: metric.value for name, metric in metrics.items()}


def judged(want: Where | None, metrics: Mapping[str, Metric]) -> Judgement:
    """Judge a condition by the metrics of a row, and by the ends of their intervals."""
    if want is None:
        return Judgement(holds=True, sure=True, words="")
    values = values_of(metrics)
    holds = want.holds(values)
    known = [name for name in want.metrics if name in metrics and values[name] is not None]
    said = {holds}
    if len(known) <= MOST_CORNERS:
        ends = [_ends(metrics[name]) for name in known]
        said |= {
            want.holds(dict[str, float | None](zip(known, corner, strict=True))) for corner in itertools.product(*ends)
        }
    sure = len(said) == 1
    return Judgement(holds=holds, sure=sure, words="" if holds and sure else _words(want, values, metrics))


def conditions_in_words(want: Where | None, metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    """Return each comparison of a condition and whether a row meets it: ``params < 1e6: met (params 5,000)``."""
    words = {}
    for each in want.comparisons if want else ():
        metric = metrics.get(each.metric)
        if metric is None or metric.value is None:
            words[str(each)] = f"{each}: not known, {each.metric} has no value"
            continue
        met = each.holds({each.metric: metric.value})
        low, high = sorted(_ends(metric))[0], sorted(_ends(metric))[-1]
        sure = each.holds({each.metric: low}) == each.holds({each.metric: high}) == met
        found = each.in_words(metric.value)
        if not sure:
            found += f", uncertain: it may be {_number(each, low)} to {_number(each, high)}"
        words[str(each)] = f"{each}: {'met' if met else 'not met'} ({found})"
    return tuple(words.values())


def _number(comparison: Comparison, value: float) -> str:
    return comparison.in_words(value).removeprefix(f"{comparison.metric} ")


def _ends(metric: Metric) -> tuple[float, ...]:
    """Return the value and how far it may be off to either side."""
    assert metric.value is not None
    ends = [metric.value, *(metric.ends or ())]
    if metric.verdict == "invalid":
        ends += [metric.value / DISTURBED, metric.value * DISTURBED]
    return metric.value, min(ends), max(ends)


def _words(want: Where, values: Mapping[str, float | None], metrics: Mapping[str, Metric]) -> str:
    """Return what of a condition is missed, or might be, with the interval."""
    found = {}
    for each in want.comparisons:
        value = values.get(each.metric)
        if value is None:
            found[each.metric] = f"no {each.metric}"
            continue
        corners = [each.holds({each.metric: end}) for end in _ends(metrics[each.metric])]
        if all(corners):
            continue
        _, *between = _ends(metrics[each.metric])
        low, high = (_number(each, end) for end in between)
        found[each.metric] = each.in_words(value) + (f" ({low} to {high})" if low != high else "")
    return ", ".join(found.values())
