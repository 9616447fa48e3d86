"""The leaderboard as one JSON object, for programs; values in base units (fractions, seconds, bytes, images/s).

``{"schema", "rank_by", "rows", "failed", "sentences"}``; the keys of each part are those of the functions below, and
only grow with `SCHEMA`.
Text beyond ASCII is written as ``\\uXXXX``, so that no name can steer the terminal that shows it.
"""

from __future__ import annotations

import json
from typing import Any

from vitbench.leaderboard.leaderboard import Condition, Failure, Leaderboard, Metric, Row
from vitbench.leaderboard.pareto import OnFront, on_fronts
from vitbench.report.sentence import closing_sentences

__all__ = ["SCHEMA", "figure_object", "render_json"]

SCHEMA = 2
"""Version of the object."""


def render_json(board: Leaderboard) -> str:
    """Return the leaderboard as JSON, indented, ending with a newline."""
    content = {
        "schema": SCHEMA,
        "rank_by": board.rank_by,
        "rows": [_row(row, place) for row, place in zip(board.rows, on_fronts(board.rows, board.rank_by), strict=True)],
        "failed": [_failure(failure) for failure in board.failed],
        "sentences": closing_sentences(board),
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _row(row: Row, place: OnFront) -> dict[str, Any]:
    return {
        "rank": row.rank,
        "rank_last": row.rank_last,
        "tied_with": row.tied_with,
        "model": row.model,
        "dataset": row.condition.dataset,
        "recipe": row.recipe,
        "device": row.condition.device,
        "precision": row.condition.precision,
        "machine": row.condition.machine,
        "conditions": _conditions(row.condition),
        "seeds": row.seeds,
        "partial": row.condition.partial,
        "baseline": row.baseline,
        "pareto": {"speed": place.speed, "speed_memory": place.speed_memory},
        "metrics": {name: figure_object(metric) for name, metric in row.metrics.items()},
    }


def _conditions(condition: Condition) -> dict[str, Any]:
    """Return what rows must share to be compared, beside data set, device, precision and machine."""
    return {
        "threads": condition.threads,
        "batch_size": condition.batch_size,
        "train_batch_size": condition.train_batch_size,
        "compile": condition.compile,
        "channels_last": condition.channels_last,
        "method": condition.method,
        "limit": condition.limit,
        "epochs": condition.epochs,
        "fingerprint": condition.fingerprint,
    }


def figure_object(metric: Metric) -> dict[str, Any]:
    """Return one figure as an object."""
    return {
        "value": metric.value,
        "unit": metric.unit,
        "better": metric.better,
        "low": metric.low,
        "high": metric.high,
        "spread": metric.spread,
        "n": metric.n,
        "verdict": metric.verdict,
        "reasons": metric.reasons,
    }


def _failure(failure: Failure) -> dict[str, str]:
    return {
        "model": failure.model,
        "dataset": failure.dataset,
        "kind": failure.kind,
        "status": failure.status,
        "reason": failure.reason,
    }
