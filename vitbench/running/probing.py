"""How long the steps of a run's trainings take: each kind of training is begun once, in a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from vitbench.execution.executor import Executor, Needs
from vitbench.execution.messages import CellJob, CellResult, Message
from vitbench.planning.plan import Plan
from vitbench.records import KeyedCell, QualityCell, digest
from vitbench.running.attempt import status_of
from vitbench.running.budget import Cost

__all__ = ["cost_of", "probed"]

PROBE_TIMEOUT, COMPILE_TIMEOUT = 300.0, 900.0
"""Seconds of a probe, which takes some: a training that is not known by then has no steps that can be counted."""
START_SECONDS, AFTER_SECONDS = 0.4, 1.5
"""What a process takes before the cell's own clock starts, and what evaluation takes beside its forward passes: audits,
metrics."""
AUDITED_IMAGES = 1000
"""Forward passes of one image each that audits and the timing of loading come to."""


def probed(
    cells: Sequence[KeyedCell], planned: Plan, executor: Executor
) -> tuple[dict[str, Cost], dict[str, KeyedCell]]:
    """Return what each cell costs, by key, and those of which it could not be found out, which cannot run.

    Seeds of one training are timed once.
    """
    found: dict[str, Cost | KeyedCell] = {}
    costs: dict[str, Cost] = {}
    faults: dict[str, KeyedCell] = {}
    for cell in cells:
        assert isinstance(cell.cell, QualityCell)
        form = digest((msgspec.structs.replace(cell.cell, seed=0), cell.provenance))
        if form not in found:
            found[form] = _probe(cell, planned, executor)
        one = found[form]
        if isinstance(one, Cost):
            costs[cell.key] = one
        else:
            faults[cell.key] = msgspec.structs.replace(cell, unavailable=one.unavailable, hub=one.hub)
    return costs, faults


def _probe(cell: KeyedCell, planned: Plan, executor: Executor) -> Cost | KeyedCell:
    """Return the cost of a cell; or the cell as it cannot run, with the reason, or as it waits for the hub."""
    with tempfile.TemporaryDirectory(prefix="vitbench-") as scratch:
        folder = Path(scratch)
        ending = executor.run(
            "vitbench.worker.cell:run_cell",
            CellJob(planned=cell, probe=True, metric_options=planned.metric_options, plugins=planned.plugins),
            CellResult,
            message=Message,
            on_message=lambda _: None,
            needs=Needs(cores=cell.cell.threads, device=cell.device),
            folder=folder,
            timeout=COMPILE_TIMEOUT if cell.cell.compile else PROBE_TIMEOUT,
            log=folder / "log.txt",
            environment={**planned.prepared.child_environment, "TORCHINDUCTOR_CACHE_DIR": f"{scratch}/compiled"},
        )
    if ending.kind == "timeout":
        return Cost(fixed=PROBE_TIMEOUT, step=0.0)
    status, reason = status_of(ending)
    if ending.answer is None or status != "ok":
        reason = f"its steps could not be timed for the budget: {reason or status}"
        return msgspec.structs.replace(cell, unavailable=reason, hub="away" if status == "pending" else cell.hub)
    return cost_of(ending.answer.evidence)


def cost_of(evidence: Mapping[str, float]) -> Cost:
    """Return the cost of a cell from what `vitbench.worker.probe.probe_training` found."""
    forward = evidence["forward"]
    fixed = START_SECONDS + evidence["before"] + AFTER_SECONDS + forward * (evidence["test"] + AUDITED_IMAGES)
    if not evidence.get("steps"):
        return Cost(fixed=fixed + evidence.get("seconds", 0.0), step=0.0)
    return Cost(
        fixed=fixed,
        step=evidence["step"],
        validation=forward * evidence["val"],
        epoch=int(evidence.get("epoch", 0)),
        length=int(evidence.get("length", 0)),
    )
