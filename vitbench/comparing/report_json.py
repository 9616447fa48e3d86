"""A comparison as one JSON object, for programs; values in base units. docs/comparing.md describes it.

Text beyond ASCII is written as ``\\uXXXX``, so that no name can steer the terminal that shows it.
"""

from __future__ import annotations

import json
from typing import Any

from vitbench.comparing.comparison import Comparison, outcome_of
from vitbench.comparing.conditions import Unlike
from vitbench.comparing.contrast import Contrast, Quality
from vitbench.comparing.sentences import notes, verdict
from vitbench.comparing.speed_ratio import Compared, Speed
from vitbench.leaderboard.metric import Metric, metric_fields
from vitbench.leaderboard.paired import PairedDifference
from vitbench.leaderboard.rows import Row
from vitbench.statistics import Estimate

__all__ = ["SCHEMA", "render_comparison_json"]

SCHEMA = 1
"""Version of the object."""
_OF_BOTH = ("unit", "better")
"""Fields of a metric that are the same on both sides."""


def render_comparison_json(comparison: Comparison) -> str:
    """Return a comparison as JSON, indented, ending with a newline."""
    content = {
        "schema": SCHEMA,
        "a": comparison.names[0],
        "b": comparison.names[1],
        "of": "folders" if comparison.folders else "models",
        "rank_by": comparison.rank_by,
        "threshold": comparison.threshold,
        "outcome": comparison.outcome,
        "exit_code": comparison.exit_code,
        "pairs": [_pair(comparison, pair) for pair in comparison.pairs],
        "missing": comparison.missing,
        "notes": comparison.notes,
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _pair(comparison: Comparison, pair: Contrast) -> dict[str, Any]:
    return {
        "outcome": outcome_of(pair),
        "a": _row(pair.first),
        "b": _row(pair.second),
        "dataset": pair.first.condition.dataset,
        "split": pair.first.condition.split,
        "fingerprint": pair.first.condition.fingerprint,
        "lineage": pair.first.condition.lineage,
        "partial": pair.first.condition.partial or pair.second.condition.partial,
        "unlike": [_unlike(each) for each in pair.unlike],
        "unlike_speed": [_unlike(each) for each in pair.unlike_speed],
        "quality": {quality.metric: _quality(quality) for quality in pair.quality},
        "speed": {speed.metric: _speed(speed) for speed in pair.speeds},
        "cost": {cost.metric: {**_both(cost), "difference": cost.difference} for cost in pair.costs},
        "missing": pair.missing,
        "notes": notes(comparison, pair),
        "verdict": verdict(comparison, pair),
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "model": row.model,
        "recipe": row.recipe,
        "recipe_options": row.recipe_options,
        "seeds": row.seeds,
        "seeds_missing": row.seeds_missing,
        "cells": row.ids,
    }


def _unlike(each: Unlike) -> dict[str, str]:
    return {"condition": each.condition, "a": each.first, "b": each.second}


def _both(pair: Compared) -> dict[str, Any]:
    shared = {name: getattr(pair.first, name) for name in _OF_BOTH}
    return {**shared, "a": _side(pair.first), "b": _side(pair.second)}


def _side(metric: Metric) -> dict[str, Any]:
    return {name: value for name, value in metric_fields(metric).items() if name not in _OF_BOTH}


def _quality(quality: Quality) -> dict[str, Any]:
    paired = _paired(quality.paired) if quality.paired else None
    return {**_both(quality), "difference": quality.difference, "finding": quality.finding, "paired": paired}


def _paired(paired: PairedDifference) -> dict[str, Any]:
    split = paired.split
    return {
        **{name: getattr(paired, name) for name in ("low", "high", "p_value", "level", "images")},
        "seeds": {"a": paired.seeds[0], "b": paired.seeds[1]},
        "resolvable": paired.resolvable,
        "resolvable_of_seeds": paired.of_seeds,
        "images_needed": paired.needed,
        "agreement": split.agreement if split else None,
        "only_a": split.first if split else None,
        "only_b": split.second if split else None,
    }


def _speed(speed: Speed) -> dict[str, Any]:
    found = {**_both(speed), "finding": speed.finding, "reason": speed.reason, "stored": _ratio(speed.ratio)}
    if speed.measured is None:
        return {**found, "measured": None}
    rests_on = {name: getattr(speed.measured, name) for name in ("pairs", "quads", "reasons")}
    return {**found, "measured": {**(_ratio(speed.measured.ratio) or {}), **rests_on}}


def _ratio(ratio: Estimate | None) -> dict[str, float | None] | None:
    return None if ratio is None else {"ratio": ratio.value, "low": ratio.low, "high": ratio.high}
