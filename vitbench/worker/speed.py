"""A speed cell in one process: weigh the model's memory, then time it, in passes of their own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import cast

import msgspec
import torch
from torch import nn

from vitbench.catalog import Catalog
from vitbench.errors import Skip
from vitbench.jobs import Job, Outcome, Progress
from vitbench.measuring.memory import MemoryBaseline, measure_memory, memory_baseline
from vitbench.measuring.timing import make_inputs, time_inference, time_training
from vitbench.protocols import MemoryUse, Subject
from vitbench.records import SpeedCell
from vitbench.training import autocast
from vitbench.worker.build import build_model, facts_of, find_model, meta_architecture
from vitbench.worker.measurements import doubt, measure
from vitbench.worker.runtime import changed_flags, runtime, steady_allocator

__all__ = ["run_speed"]


def run_speed(job: Job, catalog: Catalog, send: Callable[[msgspec.Struct], None]) -> Outcome:
    """Run one process of a speed cell; errors are raised and handled in worker/cell.py.

    Nothing is sent while it measures: a parent that wakes disturbs the measurement.
    """
    planned, cell = job.planned, job.planned.cell
    assert isinstance(cell, SpeedCell)
    spec = find_model(planned, catalog)
    device = torch.device(cell.device)
    architecture = meta_architecture(planned, spec, cell.num_classes)
    send(Progress(stage="measuring"))

    def context() -> AbstractContextManager[object]:
        return autocast(cell.precision, device)

    with runtime(precision=cell.precision, threads=cell.threads, seed=0, device=cell.device) as flags:
        architecture()  # what a build imports must not count as the model's memory
        baseline = _baseline(device)
        model = build_model(planned, spec, cell.num_classes)
        facts = facts_of(model)
        model = _placed(model, cell, device)
        batch = partial(
            make_inputs, cell.input_shape, batch_size=cell.batch_size, device=device, channels_last=cell.channels_last
        )
        memory: MemoryUse | Skip = (
            baseline
            if isinstance(baseline, Skip)
            else measure_memory(model, batch(count=1), baseline=baseline, mode=cell.mode, autocast=context)
        )
        allocator = steady_allocator()  # after the memory pass, whose figures it would change
        time_model = time_inference if cell.mode == "inference" else time_training
        timing = time_model(model, batch(), autocast=context)
        changed = changed_flags(flags)
    subject = Subject(
        num_classes=cell.num_classes,
        input_shape=cell.input_shape,
        device=cell.device,
        precision=cell.precision,
        architecture=architecture if job.process == 0 else None,
        timing=timing,
        memory=None if isinstance(memory, Skip) else memory,
    )
    measurements = measure(catalog, subject, {"memory": str(memory)} if isinstance(memory, Skip) else {})
    if not measurements:
        return Outcome(status="failed", reason="no installed metric measures speed; see `vitbench plugins`")
    if changed:
        measurements = doubt(measurements, "warn", [f"the model changed torch's {', '.join(changed)}"])
    return Outcome(status="ok", measurements=measurements, runtime=flags | allocator, facts=facts)


def _placed(model: nn.Module, cell: SpeedCell, device: torch.device) -> nn.Module:
    """Move a model to its device and memory format, and compile it where that is asked for."""
    model = model.to(device)
    if cell.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return cast(nn.Module, torch.compile(model)) if cell.compile else model


def _baseline(device: torch.device) -> MemoryBaseline | Skip:
    try:
        return memory_baseline(device)
    except Skip as skip:
        return skip
