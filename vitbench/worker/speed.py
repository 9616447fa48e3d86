"""A speed cell in one process: start the model cold, measure its memory, time it, each in a separate pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from vitbench.catalog import Catalog
from vitbench.errors import Skip
from vitbench.execution.executor import Send
from vitbench.execution.messages import CellJob, CellResult, Progress
from vitbench.measurements import at_of
from vitbench.measuring.energy import measure_energy
from vitbench.measuring.evidence import Moment, disturbances, observe
from vitbench.measuring.gpu import observe_gpu
from vitbench.measuring.memory import MemoryBaseline
from vitbench.measuring.numerics import compare, disagreement, is_variant, unjudged
from vitbench.measuring.reference import make_reference
from vitbench.measuring.steps import connect, forward_of, seconds_of, synchronise
from vitbench.protocols import Agreement, EnergyUse, MemoryUse, Startup, Subject, Timing
from vitbench.records import SpeedCell
from vitbench.worker.bench import COMPILED_ON_CPU, Bench, TrainStepMaker, read_baseline, recipe_step
from vitbench.worker.build import build_model, facts_of, fill_zeros, meta_architecture
from vitbench.worker.casting import CastWeights
from vitbench.worker.compiling import check_compiled, graphs_compiled
from vitbench.worker.memory_errors import lack_of_memory
from vitbench.worker.metrics import measure
from vitbench.worker.runtime import flag_reasons, runtime, steady_allocator

__all__ = ["run_speed"]

RANDOM = "random, since the hub did not answer"
PROBE_SECONDS = 5.0
"""A batch whose steps take longer is not worth the search: throughput has long been flat."""
PROBE_STEPS = 3
"""Steps that a batch must survive to fit: the second and third find the optimiser's state and a used allocator."""


def run_speed(job: CellJob, catalog: Catalog, send: Send) -> CellResult:
    """Run one process of a speed cell; errors are raised and handled in worker/cell.py.

    Nothing is sent while it measures: a parent that wakes disturbs the measurement.
    """
    planned, cell = job.planned, job.planned.cell
    assert isinstance(cell, SpeedCell)
    spec = catalog.member(cell.model)
    send(Progress(stage="measuring"))
    began = observe(torch.device("cpu"))  # of the GPU only once it is connected: the time of that counts
    connected = connect(torch.device(cell.device))  # before torch's flags are set, which needs the device
    began = replace(began, gpu=observe_gpu(torch.device(cell.device)))
    with runtime(precision=cell.precision, threads=cell.threads, seed=0, device=cell.device) as flags:
        architecture = meta_architecture(planned, spec, cell.num_classes)
        architecture()  # what a build imports must not count as the model's memory
        train = recipe_step(cell, catalog)
        compiled_before = graphs_compiled()
        alone = job.timing_only or job.probe
        baseline = Skip("no memory is measured") if alone else read_baseline(torch.device(cell.device))
        built = _built(lambda: build_model(planned, spec, cell.num_classes), cell, train, job.batch_size, baseline)
        bench = built.bench
        if job.probe:
            return bench.weights.settle(lambda: _probe(bench))
        forward_alone = cell.mode == "inference" and not cell.largest_batch
        variant = is_variant(cell.precision, compile=cell.compile, channels_last=cell.channels_last)
        # Only the first process compiles with an empty cache.
        startup: Startup | Skip | None = None
        cold = forward_alone and not job.timing_only and (job.process == 0 or not cell.compile)
        if cold and planned.hub != "away":
            startup = bench.weights.settle(lambda: _startup(built, cell, began, connected))
        else:
            startup = Skip(f"its weights are {RANDOM}") if cold else None
            bench.settle()
        memory = None if job.timing_only else _memory(built, cell)
        allocator = steady_allocator()  # after the memory pass, whose figures it would change
        # The largest batch leaves no room for more than one.
        inputs = bench.inputs(count=1) if cell.largest_batch else bench.inputs()
        timing = _timing(bench, inputs, cell)
        if cell.compile:
            check_compiled(since=compiled_before)
        remembered = [] if cell.largest_batch or job.process else bench.remembered(inputs)
        energy = _energy(bench) if forward_alone and not job.timing_only and bench.batch_size > 1 else None
        # Last of what is measured, since it leaves the machine warm.
        sustained = bench.sustain(inputs, cell.sustained) if cell.sustained and not job.timing_only else None
        flipped = flag_reasons(flags)
        agreement = _agreement(built, cell) if forward_alone and variant and job.process == 0 else None
    parts = {"startup": startup, "memory": memory, "energy": energy}
    subject = Subject(
        num_classes=cell.num_classes,
        input_shape=cell.input_shape,
        device=cell.device,
        precision=cell.precision,
        architecture=architecture if job.process == 0 else None,
        timing=timing,
        sustained=sustained,
        startup=None if isinstance(startup, Skip) else startup,
        memory=None if isinstance(memory, Skip) else memory,
        energy=None if isinstance(energy, Skip) else energy,
        agreement=agreement,
    )
    lacking = {name: str(part) for name, part in parts.items() if isinstance(part, Skip)}
    measurements = measure(catalog, subject, at_of(cell), lacking, job.metric_options).measurements
    if not measurements:
        return CellResult(status="failed", reason="no installed metric measures speed; see `vitbench plugins`")
    wrong, doubtful = (disagreement(agreement), unjudged(agreement)) if agreement else (None, None)
    faults = (*remembered, *([wrong] if wrong else []))
    warnings = (*([doubtful] if doubtful else []), *flipped, *bench.weights.remarks)
    return CellResult(
        status="ok",
        measurements=measurements,
        runtime=flags | allocator,
        facts=facts_of(built.plain) | ({"weights": RANDOM} if planned.hub == "away" else {}),
        faults=faults,
        warnings=warnings,
        evidence=dict(timing.evidence),
        course=tuple(map(dict, sustained.course)) if sustained else (),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Built:
    """A cell's model on its device, and what was seen when it was built."""

    plain: nn.Module
    """The model as it was built; `bench` calls it compiled where the cell asks for it."""
    bench: Bench
    baseline: MemoryBaseline | Skip
    seconds: float


def _built(
    build: Callable[[], nn.Module],
    cell: SpeedCell,
    train: TrainStepMaker | None,
    batch_size: int | None,
    baseline: MemoryBaseline | Skip,
) -> _Built:
    """Build the model and move it to its device, and keep what that took, and the memory in use before."""
    device = torch.device(cell.device)
    started = time.perf_counter()
    plain = build().to(device)
    bench = Bench.of_cell(plain, cell, train=train, batch_size=batch_size)
    synchronise(device)
    seconds = time.perf_counter() - started
    return _Built(plain=plain, bench=bench, baseline=baseline, seconds=seconds)


def _probe(bench: Bench) -> CellResult:
    """Take a few steps; what does not fit raises, and what takes too long is a `timeout`."""
    step = bench.step(bench.inputs(count=1))
    with bench.inference_mode():
        seconds = [seconds_of(step, bench.device) for _ in range(PROBE_STEPS)]
    if min(seconds) > PROBE_SECONDS:
        return CellResult(status="timeout", reason=f"takes {min(seconds):.1f} s per step, over {PROBE_SECONDS:g} s")
    return CellResult(status="ok")


def _startup(built: _Built, cell: SpeedCell, began: Moment, connected: float) -> Startup:
    """Time the first and the second forward pass.

    Args:
        built: the model, which was never called.
        cell: the conditions.
        began: before the device was used.
        connected: the seconds that it took to begin to use it.
    """
    device = built.bench.device
    step = built.bench.step(built.bench.inputs(count=2))
    with built.bench.inference_mode():
        first, second = (seconds_of(step, device) for _ in range(2))
    warnings, errors = disturbances(began, observe(device), threads=cell.threads, on_cpu=device.type == "cpu")
    return Startup(
        connect_seconds=connected,
        build_seconds=built.seconds,
        first_call_seconds=first,
        second_call_seconds=second,
        compiled=bool(cell.compile),
        warnings=tuple(warnings),
        errors=tuple(errors),
    )


def _timing(bench: Bench, inputs: Sequence[Tensor], cell: SpeedCell) -> Timing:
    """Time the step in turn with the reference network, or alone where the largest batch leaves no room for that."""
    plain = nullcontext
    if cell.precision == "tf32":  # the reference is float32, whatever the model is
        plain = partial(runtime, precision="float32", threads=cell.threads, seed=0, device=cell.device)  # type: ignore[assignment]
    reference = None
    try:
        reference = make_reference(cell.mode, bench.device, plain)
        with bench.inference_mode(), reference.conditions():
            reference.step()
    except (MemoryError, RuntimeError) as error:
        if not (cell.largest_batch and lack_of_memory(error)):
            raise
        reference = None
    # Not in the handler: while the error is alive, its frames hold what was allocated for the reference.
    return bench.time_in_turn(inputs, reference) if reference else bench.time(inputs)


def _memory(built: _Built, cell: SpeedCell) -> MemoryUse | Skip:
    """Measure the peak of memory, or say why there is none."""
    if not isinstance(built.baseline, Skip) and cell.compile and built.bench.device.type == "cpu":
        return Skip(COMPILED_ON_CPU)
    return built.bench.weigh(built.baseline)


def _energy(bench: Bench) -> EnergyUse | Skip:
    """Measure the energy of forward passes at the fixed batch."""
    step = bench.step(bench.inputs())
    try:
        with bench.inference_mode():
            return measure_energy(step, device=bench.device, images_per_call=bench.batch_size)
    except Skip as skip:
        return skip


def _agreement(built: _Built, cell: SpeedCell) -> Agreement:
    """Compare a variant with the same weights in plain float32, on noise.

    It writes into the model, so it comes last.
    """
    bench = built.bench
    bench.weights.restore()
    fill_zeros(built.plain, std=0.02)
    weights = CastWeights(bench.model, "float32" if bench.weights.failed else cell.precision)
    inputs = bench.inputs()
    forward = forward_of(bench.model, bench.autocast)
    with torch.inference_mode():
        logits = torch.cat([forward(batch).float() for batch in inputs])
    weights.restore()
    with torch.inference_mode(), runtime(precision="float32", threads=cell.threads, seed=0, device=cell.device):
        plain = built.plain.to(memory_format=torch.contiguous_format)
        reference = torch.cat([plain(batch.contiguous()) for batch in inputs])
    return compare(reference, logits, precision=cell.precision, real_images=False)
