"""A comparison as one JSON object, for programs; values in base units. docs/comparing.md describes it.

Text beyond ASCII is written as ``\\uXXXX``, so that no name can steer the terminal that shows it.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from vitbench.comparing.board_contrast import BoardContrast
from vitbench.comparing.board_sentences import board_notes, board_verdict
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
        "boards": [_board(comparison, board) for board in comparison.boards],
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


def _board(comparison: Comparison, found: BoardContrast) -> dict[str, Any]:
    board, pair, over = found.board, found.pair, found.over
    datasets = board.over_datasets
    return {
        **{name: getattr(board, name) for name in ("suite", "score", "metric", "unit", "better", "groups")},
        "datasets": [
            {name: getattr(each, name) for name in ("name", "title", "group", "lineage", "images")}
            for each in board.datasets
        ],
        "partial": board.condition.partial,
        "a": _scored(found, "A"),
        "b": _scored(found, "B"),
        "difference": pair.difference if pair else None,
        "low": pair.low if pair else None,
        "high": pair.high if pair else None,
        "p_value": pair.p_value if pair else None,
        "level": found.level,
        "finding": found.finding,
        "reasons": found.reasons,
        "over_datasets": {
            "wins": over.wins,
            "losses": over.losses,
            "p_value": over.p_value,
            "least_p": datasets.least_p,
            "can_decide": datasets.can_decide,
            "decides": [{"dataset": each.dataset, "ahead": each.second.lower()} for each in datasets.decides],
        }
        if over is not None and datasets is not None
        else None,
        "notes": board_notes(comparison, found),
        "verdict": board_verdict(comparison, found),
    }


def _scored(found: BoardContrast, side: str) -> dict[str, Any]:
    row, datasets, groups = found.row(side), found.board.datasets, found.board.groups
    return {
        **{name: getattr(row, name) for name in ("model", "recipe", "recipe_options")},
        "score": _estimate(row.score),
        "groups": {name: _estimate(each) for name, each in zip(groups, row.group_scores, strict=True)},
        "values": {each.name: msgspec.to_builtins(value) for each, value in zip(datasets, row.values, strict=True)},
        "missing": [{"dataset": each.dataset, "reason": each.reason} for each in row.missing],
        "cells": row.ids,
    }


def _estimate(estimate: Estimate | None) -> dict[str, float | None] | None:
    return None if estimate is None else {"value": estimate.value, "low": estimate.low, "high": estimate.high}


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
