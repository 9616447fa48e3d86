"""A leaderboard and its measurements as tidy pandas tables, in base units (fractions, seconds, bytes, images/s).

The columns and their types are the same however much there is, also of nothing; docs/leaderboard.md lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from vitbench.leaderboard.leaderboard import Leaderboard, Metric, Row
from vitbench.leaderboard.pareto import OnFront, on_fronts
from vitbench.leaderboard.rows import options_text, row_fields
from vitbench.records import KeyedCell, Measurement, Record, kind_of, newest_by_id

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RATIO_COLUMNS", "measurements_frame", "ratio_values", "rows_frame"]

_TEXT, _WHOLE, _TRUTH = "string[python]", "Int64", "boolean"

_HOW: Mapping[str, str] = {
    "machine": _TEXT,
    "device": _TEXT,
    "threads": "int64",
    "precision": _TEXT,
    "compile": _TEXT,
    "channels_last": "bool",
    "method": "int64",
    "torch": _TEXT,
    "variables": _TEXT,
}
"""Where and how a value was measured: conditions of a row, settings of a cell."""
ROW_COLUMNS: Mapping[str, str] = {
    "rank": _WHOLE,
    "rank_last": _WHOLE,
    "tied_with": "object",
    "model": _TEXT,
    "source": _TEXT,
    "baseline": "bool",
    "partial": "bool",
    "dataset": _TEXT,
    "lineage": _TEXT,
    "recipe": _TEXT,
    "recipe_options": _TEXT,
    "seeds": "object",
    "seeds_missing": "object",
    "seed_devices": "object",
    "seed_steps": "object",
    "out_of_fold": "bool",
    "image_size": "object",
    "pretrained_on": _TEXT,
    "licence": _TEXT,
    "normalisation": _TEXT,
    "passes": "float64",
    **_HOW,
    "limit": "object",
    "epochs": _WHOLE,
    "budget": "float64",
    "split": _TEXT,
    "other_classes": _WHOLE,
    "head": _TEXT,
    "batch_size": _WHOLE,
    "train_batch_size": _WHOLE,
    "train_step": _TEXT,
    "steady_allocator": "bool",
    "fingerprint": _TEXT,
    "rank_by": _TEXT,
    "pareto_speed": _TRUTH,
    "pareto_speed_memory": _TRUTH,
}
METRIC_COLUMNS: Mapping[str, str] = {
    "": "float64",
    "_low": "float64",
    "_high": "float64",
    "_interval": _TEXT,
    "_sd": "float64",
    "_n": _WHOLE,
    "_verdict": _TEXT,
    "_reasons": _TEXT,
}
"""What follows a metric's name in the names of its columns."""
RATIO_COLUMNS: Mapping[str, str] = {
    "_ratio": "float64",
    "_ratio_low": "float64",
    "_ratio_high": "float64",
    "_measured": "float64",
    "_reference": "float64",
}
"""What follows it, too, where some row has the metric as a ratio to the reference network."""
MEASUREMENT_COLUMNS: Mapping[str, str] = {
    "metric": _TEXT,
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "interval": _TEXT,
    "ratio": "float64",
    "ratio_low": "float64",
    "ratio_high": "float64",
    "reference": "float64",
    "n": _WHOLE,
    "unit": _TEXT,
    "better": _TEXT,
    "verdict": _TEXT,
    "reasons": _TEXT,
    "model": _TEXT,
    "source": _TEXT,
    "name": _TEXT,
    "options": _TEXT,
    "baseline": "bool",
    "kind": _TEXT,
    "dataset": _TEXT,
    "lineage": _TEXT,
    "recipe": _TEXT,
    "recipe_options": _TEXT,
    "seed": _WHOLE,
    "limit": "object",
    "epochs": _WHOLE,
    "budget": "float64",
    "split": _TEXT,
    "mode": _TEXT,
    "batch_size": _WHOLE,
    "largest_batch": _TRUTH,
    "num_classes": "int64",
    "input_shape": "object",
    **_HOW,
    "status": _TEXT,
    "id": _TEXT,
    "key": _TEXT,
    "run": _TEXT,
    "started": "float64",
}


def rows_frame(board: Leaderboard) -> pd.DataFrame:
    """Return one row for each row of a leaderboard; the ranking metric has its columns even where no row has it."""
    metrics = dict.fromkeys([board.rank_by, *(name for row in board.rows for name in row.metrics)])
    of_metrics = {name + part: kind for name in metrics for part, kind in METRIC_COLUMNS.items()}
    relative = dict.fromkeys(name for row in board.rows for name, metric in row.metrics.items() if metric.relative)
    of_metrics |= {name + part: kind for name in relative for part, kind in RATIO_COLUMNS.items()}
    # Names come from plugins: a metric's value goes before another's detail, and a column of the row before both.
    columns = {**ROW_COLUMNS, **of_metrics, **dict.fromkeys(metrics, "float64"), **ROW_COLUMNS}
    places = on_fronts(board.rows, board.rank_by)
    rows = [
        _of_metrics(row) | _of_row(row, place, board.rank_by) for row, place in zip(board.rows, places, strict=True)
    ]
    return _typed(rows, columns)


def measurements_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row for each measurement of the newest attempts at each cell."""
    rows = []
    for record in newest_by_id(records).values():
        of_record = _of_record(record)
        rows += [_of_measurement(measurement) | of_record for measurement in record.measurements]
    return _typed(rows, MEASUREMENT_COLUMNS)


def _typed(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype=kind) for name, kind in columns.items()}
    )


def _of_row(row: Row, place: OnFront, rank_by: str) -> dict[str, Any]:
    fronts = {"pareto_speed": place.speed, "pareto_speed_memory": place.speed_memory}
    options = options_text(row.recipe_options) if row.recipe else None
    own = {"rank_by": rank_by, "recipe_options": options, "variables": row.condition.variables_text or None}
    own["lineage"] = row.condition.lineage or None
    return row_fields(row) | fronts | own


def _of_metrics(row: Row) -> dict[str, Any]:
    details = {
        name + part: value
        for name, m in row.metrics.items()
        for part, value in zip(
            METRIC_COLUMNS,
            (m.value, m.low, m.high, m.interval, m.spread, m.n, m.verdict, "; ".join(m.reasons)),
            strict=True,
        )
    }
    ratios = {
        name + part: value
        for name, metric in row.metrics.items()
        for part, value in zip(RATIO_COLUMNS, ratio_values(metric), strict=True)
    }
    return details | ratios | {name: metric.value for name, metric in row.metrics.items()}


def ratio_values(metric: Metric) -> tuple[float | None, ...]:
    """Return what `RATIO_COLUMNS` hold of a metric."""
    known = metric.relative
    if known is None:
        return (None,) * len(RATIO_COLUMNS)
    return known.ratio.value, known.ratio.low, known.ratio.high, known.measured, known.reference


def _of_measurement(measured: Measurement) -> dict[str, Any]:
    verdict = {"verdict": measured.verdict.level, "reasons": "; ".join(measured.verdict.reasons)}
    ratio = measured.ratio
    relative = {
        "ratio": ratio and ratio.value,
        "ratio_low": ratio and ratio.low,
        "ratio_high": ratio and ratio.high,
        "reference": ratio and ratio.reference,
    }
    return _known(measured) | {"metric": measured.name} | relative | verdict


def _of_record(record: Record) -> dict[str, Any]:
    planned, cell = record.planned, record.planned.cell
    asked = _known(record) | _known(planned) | _known(cell)
    if planned.data:
        asked["dataset"], asked["num_classes"] = planned.data.title, len(planned.class_names)
        asked["lineage"] = planned.data.lineage or None
        asked["input_shape"] = (planned.in_channels, *planned.image_size)
    return asked | {
        "kind": kind_of(cell),
        "model": planned.label,
        "source": record.source or None,
        "name": cell.model,
        "options": options_text(cell.options),
        "recipe": cell.recipe or None,
        "recipe_options": options_text(cell.recipe_options) if cell.recipe else None,
        "machine": planned.machine,
        "device": planned.device,
        "method": planned.provenance.method,
        "torch": planned.provenance.torch,
        "variables": ", ".join(f"{name}={value}" for name, value in _variables(planned)) or None,
    }


def _variables(planned: KeyedCell) -> list[tuple[str, str]]:
    return sorted((planned.cell.variables | planned.timing_variables).items())


def _known(part: msgspec.Struct) -> dict[str, Any]:
    """Return the columns that are fields of a part of a record; what one kind of cell has alone the other lacks."""
    return {name: getattr(part, name) for name in MEASUREMENT_COLUMNS if hasattr(part, name)}
