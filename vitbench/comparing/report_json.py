"""A comparison as one JSON object, for programs; values in base units. docs/comparing.md describes it.

Text beyond ASCII is written as ``\\uXXXX``, so that no name can steer the terminal that shows it.
"""

from __future__ import annotations

import json
from typing import Any

from vitbench.comparing.comparison import Comparison, outcome_of
from vitbench.comparing.conditions import Unlike
from vitbench.comparing.contrast import Contrast, Cost, Quality
from vitbench.comparing.paired import PairedDifference
from vitbench.comparing.sentences import notes, verdict
from vitbench.comparing.speed_ratio import Speed
from vitbench.leaderboard.rows import Metric, Row
from vitbench.report.json_object import figure_object
from vitbench.statistics import Estimate

__all__ = ["SCHEMA", "render_comparison_json"]

SCHEMA = 1
"""Version of the object."""


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
        "fingerprint": pair.first.condition.fingerprint,
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
    return {"model": row.model, "recipe": row.recipe, "seeds": row.seeds, "cells": row.ids}


def _unlike(each: Unlike) -> dict[str, str]:
    return {"condition": each.condition, "a": each.first, "b": each.second}


def _both(figures: Quality | Speed | Cost) -> dict[str, Any]:
    return {
        "unit": figures.first.unit,
        "better": figures.first.better,
        "a": _figure(figures.first),
        "b": _figure(figures.second),
    }


def _figure(metric: Metric) -> dict[str, Any]:
    """Return a side's figure; unit and direction are common to both sides."""
    return {name: value for name, value in figure_object(metric).items() if name not in ("unit", "better")}


def _quality(quality: Quality) -> dict[str, Any]:
    paired = quality.paired
    return {
        **_both(quality),
        "difference": quality.difference,
        "finding": quality.finding,
        "paired": _paired(paired) if paired else None,
    }


def _paired(paired: PairedDifference) -> dict[str, Any]:
    split = paired.split
    return {
        "low": paired.low,
        "high": paired.high,
        "p_value": paired.p_value,
        "level": paired.level,
        "images": paired.images,
        "seeds": {"a": paired.seeds[0], "b": paired.seeds[1]},
        "resolvable": paired.resolvable,
        "resolvable_of_seeds": paired.of_seeds,
        "images_needed": paired.needed,
        "agreement": split.agreement if split else None,
        "only_a": split.first if split else None,
        "only_b": split.second if split else None,
    }


def _speed(speed: Speed) -> dict[str, Any]:
    measured = speed.measured
    return {
        **_both(speed),
        "finding": speed.finding,
        "reason": speed.reason,
        "stored": _ratio(speed.ratio),
        "measured": {
            **(_ratio(measured.ratio) or {}),
            "pairs": measured.pairs,
            "quads": measured.quads,
            "reasons": measured.reasons,
        }
        if measured
        else None,
    }


def _ratio(ratio: Estimate | None) -> dict[str, float | None] | None:
    return None if ratio is None else {"ratio": ratio.value, "low": ratio.low, "high": ratio.high}
