"""The leaderboard as one JSON object, for programs; values in base units (fractions, seconds, bytes, images/s).

``{"schema", "rank_by", "boards", "rows", "failed", "elsewhere", "sentences"}``; the keys of each part only grow with
`SCHEMA`.
Text beyond ASCII is written as ``\\uXXXX``, so that no name can steer the terminal that shows it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vitbench.boards.board import Board
from vitbench.leaderboard.leaderboard import Leaderboard, Row
from vitbench.leaderboard.metric import metric_fields
from vitbench.leaderboard.pareto import OnFront, on_fronts
from vitbench.leaderboard.rows import row_fields
from vitbench.report.sentence import closing_sentences

__all__ = ["SCHEMA", "render_json"]

SCHEMA = 4
"""Version of the object."""
_ROW = (
    *("rank", "rank_last", "tied_with", "model", "source", "dataset", "recipe", "recipe_options"),
    *("image_size", "pretrained_on", "licence", "normalisation", "passes"),
    *("device", "precision", "machine"),
)
_CONDITIONS = (
    *(
        "threads",
        "batch_size",
        "train_batch_size",
        "train_step",
        "compile",
        "channels_last",
        "method",
        "steady_allocator",
    ),
    *("torch", "cudnn", "variables"),
    *("limit", "epochs", "budget", "split", "other_classes", "head", "lineage", "fingerprint"),
)
"""How a row was measured, beside dataset, device, precision and machine."""
_FAILURE = ("model", "dataset", "kind", "status", "reason")


def render_json(board: Leaderboard, *, boards: Sequence[Board] = ()) -> str:
    """Return boards and leaderboard as JSON, indented, ending with a newline."""
    content = {
        "schema": SCHEMA,
        "rank_by": board.rank_by,
        "boards": list(map(_board, boards)),
        "rows": [
            _row(row, place, board.columns)
            for row, place in zip(board.rows, on_fronts(board.rows, board.rank_by), strict=True)
        ],
        "failed": [{name: getattr(failure, name) for name in _FAILURE} for failure in board.failed],
        "elsewhere": [{name: getattr(cell, name) for name in _FAILURE} for cell in board.elsewhere],
        "sentences": closing_sentences(board),
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _board(board: Board) -> dict[str, Any]:
    """Return a board; what its rows have of datasets and groups is by name."""
    import msgspec

    content: dict[str, Any] = msgspec.to_builtins(board)
    del content["style"]
    for name in ("dataset", "fingerprint", "lineage"):  # each dataset of the board has its own
        del content["condition"][name]
    names = [dataset.name for dataset in board.datasets]
    for row in content["rows"]:
        row["values"] = dict(zip(names, row["values"], strict=True))
        row["group_scores"] = dict(zip(board.groups, row["group_scores"], strict=True))
    return content


def _row(row: Row, place: OnFront, columns: Sequence[str]) -> dict[str, Any]:
    known = row_fields(row)
    return {
        **{name: known[name] for name in _ROW},
        "conditions": {name: known[name] for name in _CONDITIONS},
        **{
            name: known[name]
            for name in ("seeds", "seeds_missing", "seed_devices", "seed_steps", "out_of_fold", "partial", "baseline")
        },
        "pareto": asdict(place),
        "metrics": {name: metric_fields(row.metrics[name]) for name in columns or row.metrics if name in row.metrics},
    }
