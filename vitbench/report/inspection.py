"""What ``--dry-run`` and ``vitbench show`` print: cells before they run, and records after. Text and JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from shlex import quote
from types import MappingProxyType

import msgspec

from vitbench.leaderboard.results import newest_record
from vitbench.printable import describe_seconds, plain
from vitbench.records import DataInfo, KeyedCell, Measurement, Record, kind_of, newest_by_id
from vitbench.report.terminal_text import aligned
from vitbench.sharding import Shard
from vitbench.store import Store

__all__ = ["plan_data", "plan_text", "record_text", "store_text"]


def plan_text(
    cells: Sequence[KeyedCell],
    newest: Mapping[str, Record],
    wanted: Mapping[str, bool],
    expected: Mapping[str, tuple[float, str]],
    elsewhere: Mapping[str, Shard] = MappingProxyType({}),
) -> str:
    """Return one line per cell: key, what happened to it so far, whether it will run, and what time it will take.

    A cell that cannot run here says why; it ends as failed.

    Args:
        cells: of the run.
        newest: their newest records, by key.
        wanted: which of them will run, by key.
        expected: by key the seconds that each will take, and where that is known from.
        elsewhere: by key the shard of a cell that is not of this run's.
    """
    rows = [
        [
            planned.key,
            kind_of(planned.cell),
            newest[planned.key].status if planned.key in newest else "new",
            f"shard {elsewhere[planned.key]}" if planned.key in elsewhere else "run" if wanted[planned.key] else "keep",
            describe_seconds(expected[planned.key][0]) if planned.key in expected else "unknown",
            expected[planned.key][1] if planned.key in expected else "-",
            planned.in_words
            + (f": {planned.allotted.steps:,} steps" if planned.allotted else "")
            + (f": {planned.unavailable}" if planned.unavailable else ""),
        ]
        for planned in cells
    ]
    todo = [planned for planned in cells if wanted[planned.key]]
    known = [expected[planned.key][0] for planned in todo if planned.key in expected]
    summary = f"{len(cells)} cell{'s' * (len(cells) != 1)}, {len(todo)} to run"
    if todo and len(known) == len(todo):
        summary += f", about {describe_seconds(sum(known))}"
    elif known:
        others = len(todo) - len(known)
        summary += f": {len(known)} take{'s' * (len(known) == 1)} about {describe_seconds(sum(known))}"
        summary += f", the time of {others} is not known"
    return aligned(["key", "kind", "status", "this run", "time", "time based on", "cell"], rows) + f"\n\n{summary}"


def plan_data(
    cells: Sequence[KeyedCell],
    newest: Mapping[str, Record],
    wanted: Mapping[str, bool],
    expected: Mapping[str, tuple[float, str]],
    elsewhere: Mapping[str, Shard] = MappingProxyType({}),
) -> str:
    """Return the plan as a JSON list of cells, each with its status, whether it will run, and the time it will take."""
    content = [
        {
            "id": planned.id,
            "key": planned.key,
            "model": planned.label,
            "cell": msgspec.to_builtins(planned.cell),
            "status": newest[planned.key].status if planned.key in newest else None,
            "run": wanted[planned.key],
            "shard": str(elsewhere[planned.key]) if planned.key in elsewhere else None,
            "seconds": expected[planned.key][0] if planned.key in expected else None,
            "seconds_from": expected[planned.key][1] if planned.key in expected else None,
            "steps": planned.allotted.steps if planned.allotted else None,
            "unavailable": planned.unavailable,
        }
        for planned in cells
    ]
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def store_text(store: Store) -> str:
    """Return all cells of a store with status, reason, log and weights; those that are running now say so."""
    running, elsewhere = store.running(), store.elsewhere()
    records = newest_by_id(store.records(imported=True)).values()
    rows = []
    for record in records:
        weights = store.weights_path(record.key)
        told = f": {record.reason}" if record.reason else ""
        rows.append(
            [
                record.id,
                "running" if record.key in running else record.status,
                "" if record.status == "withdrawn" else describe_seconds(record.seconds),
                f"weights/{weights.name}" if weights.exists() else "",
                f"from {record.source}: " * bool(record.source)
                + record.planned.in_words
                + (f"; before: {_status(record)}" if record.key in running else told),
            ]
        )
    rows += [
        [
            planned.id,
            f"shard {elsewhere[planned.key]}"
            if planned.key in elsewhere
            else "running"
            if planned.key in running
            else "pending",
            *("", "", planned.in_words),
        ]
        for planned in store.pending()
    ]
    if not rows:
        return f"{store.folder} contains no cells yet"
    command = f"vitbench show {quote(str(store.folder))} ID"
    return (
        aligned(["id", "status", "took", "weights", "cell"], rows)
        + f"\n\nLogs are in {store.folder / 'logs'}; `{command}` shows a record and the path of its log."
    )


def record_text(store: Store, asked: str) -> str:
    """Return the newest record of a cell, found by the beginning of its id or key; of a withdrawn one what it held.

    Raises:
        UsageError: no record begins so, or several do.
    """
    newest = newest_record(store, asked)
    attempts = [record for record in store.records(imported=True) if record.id == newest.id]
    record = newest
    if newest.status == "withdrawn":  # what it says of the cell is in the attempt before it
        record = [each for each in attempts if each.status != "withdrawn"][-1]
    planned, weights, log = record.planned, store.weights_path(record.key), store.log_path(record.key)
    provenance, checkpoint = planned.provenance, store.checkpoint_path(record.key)
    fields = {
        "cell": planned.in_words,
        "imported": f"from {record.source}" if record.source else "",
        "now": "running again" if newest.key in store.running() else "",
        "status": _status(newest),
        "withdrawn": f"{_moment(newest.started)}; it was {_status(record)}" if record is not newest else "",
        "id": record.id,
        "key": record.key,
        "started": _moment(record.started),
        "took": describe_seconds(record.seconds),
        "steps": _steps(record),
        "records": str(len(attempts)) if len(attempts) > 1 else "",
        "asked": msgspec.json.encode(planned.cell).decode(),
        "model": provenance.model.in_words,
        "recipe": provenance.recipe.in_words if provenance.recipe else "",
        "dataset": provenance.dataset.in_words if provenance.dataset else "",
        "metrics": "; ".join(origin.in_words for origin in record.foreign_metrics),
        "data": _data(planned.data) if planned.data else "",
        "images": ", ".join(f"{name} {count}" for name, count in record.splits.items()),
        "scored on": planned.head.in_words if planned.head else "",
        "others": "; ".join(origin.in_words for origin in provenance.others),
        "files": ", ".join(f"{option} {sha256}" for option, sha256 in provenance.files.items()),
        "facts": ", ".join(f"{name} {value}" for name, value in record.facts.items()),
        "preprocess": msgspec.json.encode(record.preprocess).decode() if record.preprocess else "",
        "machine": f"{planned.machine} (ran on {planned.device})",
        "flags": ", ".join(f"{name}={value}" for name, value in record.runtime.items()),
        "torch": provenance.torch,
        "libraries": ", ".join(f"{name} {version}" for name, version in provenance.all_libraries.items()),
        "weights": str(weights) if weights.exists() else "",
        "kept": "; ".join(f"{store.kept_path(record.key, name)}, SHA-256 {sha}" for name, sha in record.kept.items()),
        "checkpoint": str(checkpoint) if checkpoint.exists() else "",
        "log": str(log) if log.exists() else "",
    }
    lines = [f"{name:<11} {plain(value)}" for name, value in fields.items() if value]
    if record.measurements:
        lines += [
            "",
            aligned(["metric", "value", "interval", "ratio", "n", "verdict"], map(_cells_of, record.measurements)),
        ]
    if record.evidence:
        lines += ["", "observed while it was measured, for each process:"]
        lines += map(_named_values, record.evidence)
    if record.course:
        lines += ["", "course of the sustained window, in the first process:"]
        lines += map(_named_values, record.course)
    if record.curve:
        lines += ["", *map(_named_values, record.curve)]
    return "\n".join(lines)


def _steps(record: Record) -> str:
    """Return how many steps a training took, and what its run's budget gave it."""
    taken, given = record.training.steps if record.training else 0, record.planned.allotted
    words = f"{taken:,} taken" if taken else ""
    if given:
        words += f"{'; ' if words else ''}{given.steps:,} given by the budget"
        words += f", {given.planned_steps:,} before the first training" if given.planned_steps != given.steps else ""
        words += f", of the recipe's {given.length:,}" if given.length else ""
        words += f"; {given.step_seconds * 1e3:.3g} ms per step when probed"
    return words


def _status(record: Record) -> str:
    return record.status + (f": {record.reason}" if record.reason else "")


def _data(data: DataInfo) -> str:
    lineage = f"lineage {data.lineage}, " if data.lineage else ""
    return f"{data.title}, {lineage}fingerprint {data.fingerprint[:12]}"


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _cells_of(measurement: Measurement) -> list[str]:
    low, high, verdict = measurement.low, measurement.high, measurement.verdict
    kind = "range" if measurement.interval == "range" else "95 %"
    interval = "" if low is None or high is None else f"{low:.6g} to {high:.6g} ({kind})"
    return [
        measurement.name,
        "-" if measurement.value is None else f"{measurement.value:.6g} {measurement.unit}",
        interval,
        _ratio_of(measurement),
        "" if measurement.n is None else str(measurement.n),
        verdict.level + (f": {'; '.join(verdict.reasons)}" if verdict.reasons else ""),
    ]


def _ratio_of(measurement: Measurement) -> str:
    """Return the ratio to the reference network with its interval; empty where there is none."""
    ratio = measurement.ratio
    if ratio is None:
        return ""
    ends = "" if ratio.low is None or ratio.high is None else f", {ratio.low:.4g} to {ratio.high:.4g} (95 %)"
    return f"{ratio.value:.4g}{ends}"


def _named_values(row: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in row.items())
