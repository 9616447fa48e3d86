"""Findings as one JSON object, for programs; values in base units. docs/findings.md describes it.

Text beyond ASCII is written as ``\\uXXXX``, so that no name can steer the terminal that shows it.
"""

from __future__ import annotations

import json
from typing import Any

from vitbench.findings.findings import ClaimResult, Findings, PairResult, PublishedFigure
from vitbench.leaderboard.leaderboard import Condition

__all__ = ["SCHEMA", "render_findings_json"]

SCHEMA = 1
"""Version of the object."""
_CONDITIONS = (
    *("fingerprint", "machine", "device", "precision", "threads", "compile", "channels_last", "method"),
    *("torch", "cudnn", "limit", "epochs", "budget", "split", "other_classes", "lineage"),
)


def render_findings_json(found: Findings) -> str:
    """Return findings as JSON, indented, ending with a newline."""
    content = {
        "schema": SCHEMA,
        "suite": found.suite,
        "rank_by": found.rank_by,
        "exit_code": found.exit_code,
        "claims": [_claim(result) for result in found.claims],
        "published": [_figure(figure) for figure in found.figures],
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _claim(result: ClaimResult) -> dict[str, Any]:
    claim = result.claim
    return {
        **{name: getattr(claim, name) for name in ("name", "text", "relation", "margin", "rows", "against")},
        "outcome": result.outcome,
        "dataset": result.dataset,
        **_condition(result.condition),
        "comparisons": [_pair(pair) for pair in result.pairs],
        "missing": [{"row": row.name, "reason": row.reason} for row in result.missing],
    }


def _condition(condition: Condition | None) -> dict[str, Any]:
    if condition is None:
        return {"partial": None, "conditions": None}
    known = {name: getattr(condition, name) for name in _CONDITIONS}
    variables = dict(sorted((*condition.variables, *condition.timing_variables)))
    return {"partial": condition.partial, "conditions": known | {"variables": variables}}


def _pair(pair: PairResult) -> dict[str, Any]:
    paired = pair.paired
    return {
        "row": pair.row.model,
        "against": pair.against.model,
        "says": pair.sign,
        "difference": paired.value if paired else None,
        **{name: getattr(paired, name) if paired else None for name in ("low", "high", "p_value", "images")},
        "seeds": {"row": len(pair.row.seeds), "against": len(pair.against.seeds)},
        "reason": pair.reason,
    }


def _figure(figure: PublishedFigure) -> dict[str, Any]:
    metric = figure.metric
    return {
        "model": figure.name,
        "dataset": figure.dataset,
        "published": figure.published,
        **{name: getattr(metric, name) if metric else None for name in ("value", "low", "high")},
        "difference": figure.difference,
        **_condition(figure.condition),
    }
