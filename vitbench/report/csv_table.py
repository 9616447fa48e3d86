"""The leaderboard as CSV, with timm's column names and units where timm has one.

timm's result tables (https://github.com/huggingface/pytorch-image-models/tree/main/results) give ``top1`` and its error
in percent, ``param_count`` in millions, ``infer_gmacs`` in 1e9 multiply-accumulates. Metrics that timm does not have
keep vitbench's names and base units. Numbers carry no thousands separators and no quotes; all else is quoted, so that
``csv.reader(file, quoting=csv.QUOTE_NONNUMERIC)`` keeps "007" and "1e5" as text.

A text that a spreadsheet would take for a formula gets one apostrophe in front, and so does a text that starts with an
apostrophe: dropping one leading apostrophe gives each name back. Control characters are written as escapes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from vitbench.boards.board import Board, BoardRow
from vitbench.leaderboard.frames import RATIO_COLUMNS, ratio_values
from vitbench.leaderboard.leaderboard import Leaderboard, Row
from vitbench.leaderboard.pareto import OnFront, on_fronts
from vitbench.leaderboard.rows import options_text
from vitbench.printable import plain, short_size

__all__ = ["BOARD_COLUMNS", "render_csv"]

_FORMULA_STARTS = tuple("=+-@'\uff1d\uff0b\uff0d\uff20")
"""What makes a spreadsheet compute, its full-width forms (OWASP, "CSV Injection"), and our own mark."""
_IN_TIMM = frozenset({"top1", "top5", "params", "macs", "throughput", "train_throughput"})
_IN_TIMMS_WORDS = {
    "params": "param_count",
    "macs": "infer_gmacs",
    "throughput": "infer_samples_per_sec",
    "train_throughput": "train_samples_per_sec",
    "image_size": "img_size",
}
BOARD_COLUMNS = ("score", "score_low", "score_high", "score_rank", "score_rank_last", "mean_rank")
"""Over datasets, in the metric's base unit: the same in all rows of a model."""
_ALWAYS = ("rank", "rank_last", "model", "dataset")
"""Columns that stand beside those that are asked for."""


def render_csv(board: Leaderboard, *, boards: Sequence[Board] = ()) -> str:
    """Return the leaderboard as CSV with a header, ending with a newline; scores of boards stand in each of their rows.

    A board's columns are there where a board is.
    """
    names = [*_column_names(board), *(BOARD_COLUMNS if boards else ())]
    scores = {cell: row for each in boards for row in each.rows for cell in row.ids}
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow([_safe(name) for name in names])
    for row, values in zip(board.rows, _rows(board), strict=True):
        on_board = next((scores[cell] for cell in row.ids if cell in scores), None)
        writer.writerow([_safe((values | _on_board(on_board))[name]) for name in names])
    return text.getvalue()


def _on_board(row: BoardRow | None) -> dict[str, Any]:
    score = row.score if row is not None else None
    found = (score.value, score.low, score.high) if score is not None else (None,) * 3
    ranks = (row.rank, row.rank_last, row.mean_rank) if row is not None else (None,) * 3
    return dict(zip(BOARD_COLUMNS, (*found, *ranks), strict=True))


def _other_metrics(board: Leaderboard) -> list[str]:
    return list(dict.fromkeys(name for row in board.rows for name in row.metrics if name not in _IN_TIMM))


def _relative_metrics(board: Leaderboard) -> list[str]:
    return list(dict.fromkeys(name for row in board.rows for name, metric in row.metrics.items() if metric.relative))


def _column_names(board: Leaderboard) -> list[str]:
    ratios = [name + part for name in _relative_metrics(board) for part in RATIO_COLUMNS]
    if board.columns:
        return [*_ALWAYS, *(_IN_TIMMS_WORDS.get(name, name) for name in board.columns)]
    return list(dict.fromkeys([*_FIXED_COLUMNS, *_other_metrics(board), *ratios]))


def _rows(board: Leaderboard) -> list[dict[str, Any]]:
    others, places = _other_metrics(board), on_fronts(board.rows, board.rank_by)
    relative = _relative_metrics(board)
    return [
        _ratios(row, relative) | {name: _value(row, name) for name in others} | _fixed(row, place, board.rank_by)
        for row, place in zip(board.rows, places, strict=True)
    ]


_FIXED_COLUMNS = (
    *("rank", "rank_last", "model", "source", "baseline", "partial", "dataset", "img_size"),
    *("top1", "top1_err", "top1_low", "top1_high", "top5", "top5_err", "param_count", "infer_gmacs"),
    *("infer_samples_per_sec", "infer_batch_size", "train_samples_per_sec", "train_batch_size", "train_step"),
    *("pretrained_on", "licence", "normalisation", "passes"),
    *("recipe", "recipe_options", "seeds", "seeds_missing", "seed_devices", "seed_steps", "out_of_fold"),
    *("limit", "epochs", "budget", "split", "other_classes", "head", "lineage"),
    *("machine", "device", "precision", "threads", "compile", "channels_last", "steady_allocator"),
    *("torch", "variables", "method", "rank_by", "rank_by_low", "rank_by_high", "rank_by_interval"),
    *("pareto_speed", "pareto_speed_memory", "verdict", "reasons"),
)


def _fixed(row: Row, place: OnFront, rank_by: str) -> dict[str, Any]:
    condition, interval = row.condition, row.metrics.get("top1")
    top1, top5 = _percent(_value(row, "top1")), _percent(_value(row, "top5"))
    low, high = (interval.low, interval.high) if interval else (None, None)
    doubtful = {name: metric for name, metric in row.metrics.items() if metric.verdict != "valid"}
    cells = (
        *(
            row.rank,
            row.rank_last,
            row.model,
            row.source or None,
            row.baseline,
            condition.partial,
            condition.dataset,
            short_size(row.image_size),
        ),
        *(top1, _error(top1), _percent(low), _percent(high), top5, _error(top5)),
        *(_scaled(_value(row, "params"), 1e6), _scaled(_value(row, "macs"), 1e9)),
        *(_value(row, "throughput"), condition.batch_size),
        *(_value(row, "train_throughput"), condition.train_batch_size, row.train_step),
        *(row.pretrained_on or None, row.licence or None, row.normalisation or None, row.passes),
        *(row.recipe, options_text(row.recipe_options) if row.recipe else None),
        *(" ".join(map(str, seeds)) for seeds in (row.seeds, row.seeds_missing)),
        "; ".join(f"{device}: {' '.join(map(str, seeds))}" for device, seeds in row.seed_devices.items()),
        " ".join(map(str, row.seed_steps)),
        row.out_of_fold,
        *(condition.limit, condition.epochs, condition.budget, condition.split),
        *(condition.other_classes, row.head or None, condition.lineage or None),
        *(condition.machine, condition.device, condition.precision, condition.threads),
        *(condition.compile, condition.channels_last, row.steady_allocator),
        *(condition.torch, condition.variables_text or None),
        *(condition.method, rank_by, *_interval(row, rank_by), place.speed, place.speed_memory),
        _worst([m.verdict for m in doubtful.values() if m.value is not None]),
        "; ".join(
            f"{name} {'has no value' if m.value is None else m.verdict}: {', '.join(m.reasons)}"
            for name, m in doubtful.items()
        ),
    )
    return dict(zip(_FIXED_COLUMNS, cells, strict=True))


def _worst(verdicts: Sequence[str]) -> str:
    """Return the worst verdict on a row's metrics; one that is missing does not count."""
    return next((level for level in ("invalid", "warn") if level in verdicts), "valid")


def _ratios(row: Row, names: Sequence[str]) -> dict[str, float | None]:
    """Return the columns of metrics that are ratios to the reference network, in base units."""
    found: dict[str, float | None] = {}
    for name in names:
        metric = row.metrics.get(name)
        values = ratio_values(metric) if metric else (None,) * len(RATIO_COLUMNS)
        found |= {name + part: value for part, value in zip(RATIO_COLUMNS, values, strict=True)}
    return found


def _value(row: Row, name: str) -> float | None:
    metric = row.metrics.get(name)
    return None if metric is None else metric.value


def _interval(row: Row, name: str) -> tuple[float | None, float | None, str | None]:
    """Return the ends of a metric's interval, in base units, and what it is."""
    metric = row.metrics.get(name)
    return (metric.low, metric.high, metric.interval) if metric is not None and metric.interval else (None, None, None)


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else round(100 * fraction, 4)


def _error(percent: float | None) -> float | None:
    return None if percent is None else round(100 - percent, 4)


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _safe(value: Any) -> Any:
    """Return text that no spreadsheet computes; numbers and gaps as they are."""
    if isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return value
    text = plain(value)
    return "'" + text if text.lstrip().startswith(_FORMULA_STARTS) else text
