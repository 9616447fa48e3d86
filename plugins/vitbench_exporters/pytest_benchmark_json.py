"""The JSON of pytest-benchmark, for `pytest-benchmark compare`: seconds per step, a file per machine class.

A timing whose raw samples are times of steps or batches has them all; its statistics are pytest-benchmark's own.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vitbench.exporting import ExportedCell, ExportedResults, ExportedValue, file_names
from vitbench_exporters.leaving_out import LeftOut

__all__ = ["write"]


def write(results: ExportedResults, output: Path) -> list[str]:
    """Write ``0001_MACHINE.json`` for each machine class, the number rising."""
    import pytest_benchmark

    left_out = LeftOut()
    by_machine: dict[str, list[ExportedCell]] = defaultdict(list)
    for cell in results.cells:
        if cell.kind == "speed" and cell.status == "ok":
            by_machine[cell.machine].append(cell)
    names = file_names(by_machine)
    number = 0
    for machine, cells in by_machine.items():
        found = [each for cell in cells for each in _benchmarks(cell, left_out)]
        if not found:
            continue
        number += 1
        newest = max(cells, key=lambda cell: cell.started)
        content = {
            "machine_info": _machine_info(newest),
            "commit_info": {},
            "benchmarks": found,
            "datetime": datetime.fromtimestamp(newest.started, UTC).isoformat(),
            "version": pytest_benchmark.__version__,
        }
        path = output / f"{number:04}_{names[machine]}.json"
        path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
    notes = left_out.notes()
    if not number:
        return notes or ["The format holds timings only."]
    return [*notes, f"Compare: pytest-benchmark compare {output}/*.json"]


def _benchmarks(cell: ExportedCell, left_out: LeftOut) -> Iterator[dict[str, Any]]:
    from pytest_benchmark.stats import Stats

    for value in cell.values.values():
        seconds = _seconds(cell, value)
        if seconds is None:
            continue
        if not value.usable:
            left_out.add("invalid values")
            continue
        stats = Stats()
        for each in seconds:
            stats.update(each)
        name = f"{cell.label}, {cell.mode}, batch {cell.batch_size}"
        if value.verdict != "valid":
            name += f" ({value.verdict})"
        yield {
            "group": f"{cell.mode}, batch {cell.batch_size}, {cell.precision}, {cell.device}, {cell.threads} threads",
            "name": name,
            "fullname": f"vitbench::{name}",
            "params": None,
            "param": None,
            "extra_info": {
                "id": cell.id,
                "key": cell.key,
                "model": cell.model,
                "metric": value.name,
                "verdict": value.remark or "valid",
            },
            "options": {"timer": "perf_counter", "warmup": True},
            "stats": {**stats.as_dict(), "data": seconds, "iterations": 1},
        }


def _seconds(cell: ExportedCell, value: ExportedValue) -> list[float] | None:
    """Return the seconds of each step; None where a value is not the time of a step, or has no samples."""
    if value.name not in ("latency_p50", "throughput", "train_throughput"):
        return None
    samples = [each for process in value.samples for each in process if each > 0]
    if value.value is None or not samples:
        return None
    if value.unit == "images/s" and cell.batch_size:
        return [cell.batch_size / each for each in samples]
    return samples if value.unit == "s" else None


def _machine_info(cell: ExportedCell) -> dict[str, Any]:
    known = cell.environment
    return {
        "node": "",
        "processor": "",
        "machine": cell.machine,
        "python_implementation": "CPython",
        "python_version": str(known.get("python", "")),
        "system": str(known.get("system", "")),
        "cpu": {"brand_raw": str(known.get("cpu", "")), "count": known.get("cores", 0)},
    }
