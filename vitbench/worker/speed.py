"""A speed cell in one process: start the model cold, weigh it, time it, each in a pass of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import msgspec
import torch
from torch import nn

from vitbench.catalog import Catalog
from vitbench.errors import Skip
from vitbench.execution.executor import Send
from vitbench.execution.messages import CellJob, CellResult, Progress
from vitbench.measuring.energy import measure_energy
from vitbench.measuring.evidence import disturbances, observe
from vitbench.measuring.memory import MemoryBaseline, measure_memory, memory_baseline
from vitbench.measuring.numerics import compare, disagreement, is_variant, unjudged
from vitbench.measuring.steps import forward_of, inference_step, make_inputs, seconds_of, synchronise
from vitbench.measuring.timing import fresh_input_reasons, time_inference, time_training
from vitbench.protocols import Agreement, EnergyUse, MemoryUse, Startup, Subject, Timing
from vitbench.records import SpeedCell
from vitbench.training import autocast
from vitbench.worker.build import build_model, facts_of, meta_architecture, placed
from vitbench.worker.metrics import measure
from vitbench.worker.runtime import changed_flags, runtime, steady_allocator

__all__ = ["run_speed"]

PROBE_SECONDS = 5.0
"""A batch whose steps take longer is not worth the search: throughput has long been flat."""
FRESH_SEED = 1
"""Seed of the inputs that a model has not seen."""
PROBE_STEPS = 3
"""Steps that a batch must survive to fit: the second and third find the optimiser's state and a used allocator."""


def run_speed(job: CellJob, catalog: Catalog, send: Send) -> CellResult:
    """Run one process of a speed cell; errors are raised and handled in worker/cell.py.

    Nothing is sent while it measures: a parent that wakes disturbs the measurement.
    """
    planned, cell = job.planned, job.planned.cell
    assert isinstance(cell, SpeedCell)
    spec = catalog.member(cell.model)
    bench = _Bench(job, cell)
    send(Progress(stage="measuring"))
    with runtime(precision=cell.precision, threads=cell.threads, seed=0, device=cell.device) as flags:
        architecture = meta_architecture(planned, spec, cell.num_classes)
        architecture()  # what a build imports must not count as the model's memory
        bench.build(lambda: build_model(planned, spec, cell.num_classes))
        if job.probe:
            return bench.probe()
        # Only the first process compiles with an empty cache.
        cold = cell.mode == "inference" and not cell.largest_batch and (job.process == 0 or not cell.compile)
        startup = bench.start() if cold else None
        memory = bench.weigh()
        allocator = steady_allocator()  # after the memory pass, whose figures it would change
        timing = bench.timing()
        remembered = bench.remembered()
        energy = bench.energy()
        changed = changed_flags(flags)
        agreement = bench.agreement() if job.process == 0 else None
    parts = {"memory": memory, "energy": energy}
    subject = Subject(
        num_classes=cell.num_classes,
        input_shape=cell.input_shape,
        device=cell.device,
        precision=cell.precision,
        architecture=architecture if job.process == 0 else None,
        timing=timing,
        startup=startup,
        memory=None if isinstance(memory, Skip) else memory,
        energy=None if isinstance(energy, Skip) else energy,
        agreement=agreement,
    )
    measurements = measure(
        catalog, subject, {name: str(part) for name, part in parts.items() if isinstance(part, Skip)}
    )
    if not measurements:
        return CellResult(status="failed", reason="no installed metric measures speed; see `vitbench plugins`")
    if cell.largest_batch:
        measurements = tuple(msgspec.structs.replace(m, name=f"largest_batch_{m.name}") for m in measurements)
    wrong, doubtful = (disagreement(agreement), unjudged(agreement)) if agreement else (None, None)
    faults = (*remembered, *([wrong] if wrong else []))
    flipped = f"the model changed torch's {', '.join(changed)}" if changed else None
    warnings = tuple(words for words in (doubtful, flipped) if words)
    return CellResult(
        status="ok",
        measurements=measurements,
        runtime=flags | allocator,
        facts=facts_of(bench.plain),
        faults=faults,
        warnings=warnings,
        evidence=dict(timing.evidence),
    )


class _Bench:
    """A model on its device with its inputs, and the passes over it."""

    plain: nn.Module
    """The model as it was built, on its device."""
    model: nn.Module
    """The same, as it is called: compiled where the cell asks for it."""

    def __init__(self, job: CellJob, cell: SpeedCell) -> None:
        """Read the memory in use when `build` is called, not here."""
        self.cell = cell
        self.device = torch.device(cell.device)
        self.batch_size = job.batch_size or cell.batch_size
        self.inputs = partial(
            make_inputs,
            cell.input_shape,
            batch_size=self.batch_size,
            device=self.device,
            channels_last=cell.channels_last,
        )

    def context(self) -> AbstractContextManager[object]:
        """Return the context of each forward pass."""
        return autocast(self.cell.precision, self.device)

    def build(self, build: Callable[[], nn.Module]) -> None:
        """Read the memory in use, then build the model and move it to its device, and keep what that took."""
        self.baseline = _baseline(self.device)
        self.began = observe(self.device)
        started = time.perf_counter()
        self.plain = build().to(self.device)
        self.model = placed(self.plain, self.cell, self.device)
        synchronise(self.device)
        self.build_seconds = time.perf_counter() - started

    def probe(self) -> CellResult:
        """Take a few steps; what does not fit raises, and what takes too long is a `timeout`."""
        # The largest batch is searched for inference alone.
        step = inference_step(self.model, self.inputs(count=1), self.context, num_classes=self.cell.num_classes)
        with torch.inference_mode():
            seconds = [seconds_of(step, self.device) for _ in range(PROBE_STEPS)]
        if min(seconds) > PROBE_SECONDS:
            return CellResult(status="timeout", reason=f"takes {min(seconds):.1f} s per step, over {PROBE_SECONDS:g} s")
        return CellResult(status="ok")

    def start(self) -> Startup:
        """Time the first and the second forward pass."""
        step = inference_step(self.model, self.inputs(count=2), self.context, num_classes=self.cell.num_classes)
        with torch.inference_mode():
            first, second = (seconds_of(step, self.device) for _ in range(2))
        warnings, errors = disturbances(
            self.began, observe(self.device), threads=self.cell.threads, on_cpu=self.device.type == "cpu"
        )
        return Startup(
            build_seconds=self.build_seconds,
            first_call_seconds=first,
            second_call_seconds=second,
            compiled=self.cell.compile,
            warnings=(*errors, *warnings),
        )

    def weigh(self) -> MemoryUse | Skip:
        """Measure the peak of memory."""
        if isinstance(self.baseline, Skip):
            return self.baseline
        if self.cell.compile and self.device.type == "cpu":
            return Skip("on the CPU the memory of a compiled model cannot be told apart from the compiler's own")
        return measure_memory(
            self.model,
            self.inputs(count=1),
            baseline=self.baseline,
            mode=self.cell.mode,
            autocast=self.context,
            scaler=self._scaler(),
        )

    def timing(self) -> Timing:
        """Time forward passes or training steps."""
        # The largest batch leaves no room for more than one.
        self.buffers = self.inputs(count=1) if self.cell.largest_batch else self.inputs()
        classes = self.cell.num_classes
        if self.cell.mode == "training":
            return time_training(
                self.model, self.buffers, autocast=self.context, num_classes=classes, scaler=self._scaler()
            )
        return time_inference(self.model, self.buffers, autocast=self.context, num_classes=classes)

    def remembered(self) -> list[str]:
        """Say so where the model was fast on the timed inputs only because it had seen them before."""
        if self.cell.mode == "training" or self.cell.largest_batch:
            return []
        fresh = self.inputs(seed=FRESH_SEED)
        with torch.inference_mode():
            return fresh_input_reasons(forward_of(self.model, self.context), self.buffers, fresh, self.device)

    def energy(self) -> EnergyUse | Skip | None:
        """Measure the energy of forward passes at the fixed batch."""
        if self.cell.mode != "inference" or self.batch_size == 1 or self.cell.largest_batch:
            return None
        step = inference_step(self.model, self.inputs(), self.context, num_classes=self.cell.num_classes)
        try:
            with torch.inference_mode():
                return measure_energy(step, device=self.device, images_per_call=self.batch_size)
        except Skip as skip:
            return skip

    def agreement(self) -> Agreement | None:
        """Compare a variant with the same weights in plain float32, on noise; None where there is nothing to compare.

        It writes into the model, so it comes last.
        """
        cell = self.cell
        variant = is_variant(cell.precision, compile=cell.compile, channels_last=cell.channels_last)
        if not variant or cell.mode == "training" or cell.largest_batch:
            return None
        _fill_zeros(self.plain)
        inputs = self.inputs()
        with torch.inference_mode():
            logits = torch.cat([forward_of(self.model, self.context)(batch).float() for batch in inputs])
            with runtime(precision="float32", threads=cell.threads, seed=0, device=cell.device):
                plain = self.plain.to(memory_format=torch.contiguous_format)
                reference = torch.cat([plain(batch.contiguous()) for batch in inputs])
        return compare(reference, logits, precision=cell.precision, real_images=False)

    def _scaler(self) -> torch.amp.GradScaler:
        """Return what scales the loss of a training step: float16 alone needs it."""
        return torch.amp.GradScaler(self.device.type, enabled=self.cell.precision == "float16")


def _fill_zeros(model: nn.Module) -> None:
    """Give parameters that are all zero, such as a fresh head, small values, so that errors reach the logits."""
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)


def _baseline(device: torch.device) -> MemoryBaseline | Skip:
    try:
        return memory_baseline(device)
    except Skip as skip:
        return skip
