"""A model benchmarked in the process that asks for it, such as a test: built, measured for memory, warmed up, timed and
judged.

Clock, loop and table belong to whoever asks (pytest-benchmark); the rest is made of the pieces that a run uses. One
process only: what differs from process to process is not seen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import nn

from vitbench.environment import machine_class, resolve_device
from vitbench.errors import Skip
from vitbench.printable import short_size
from vitbench.protocols import MemoryUse, Timing
from vitbench.pytest_plugin.model import BenchmarkConditions, Given
from vitbench.pytest_plugin.rounds import RunRounds, measure_by
from vitbench.records import METHOD, PLAIN_STEP
from vitbench.version import __version__
from vitbench.worker.bench import COMPILED_ON_CPU, Bench, read_baseline
from vitbench.worker.runtime import flag_reasons, runtime, steady_allocator

__all__ = ["benchmark_model"]

MEDIAN_NEEDS = 10
"""Single calls that a median needs, as in a leaderboard."""

NOT_TIMED: dict[str, Any] = {
    "latency_p50": None,
    "images_per_second": None,
    "verdict": None,
    "reasons": ["benchmarks are disabled: the step ran once and nothing was measured"],
}
NOT_WEIGHED: dict[str, Any] = {"peak_memory": None, "peak_memory_note": "not measured"}
ON_CPU = "rise of this process's resident set; that of a fresh process, whose heap is empty, may be lower"
ON_CUDA = "peak that torch allocated, less what it had allocated before the model was built"
TOO_SMALL = "too small to measure: it fits into the free space of this process's heap"


def benchmark_model(given: Given, conditions: BenchmarkConditions, run: RunRounds, *, timed: bool) -> dict[str, Any]:
    """Build a model, take its steps through `run`, and return conditions, figures and verdict, ready for JSON.

    torch's flags and all random generators are restored. glibc's thresholds (`steady_allocator`) stay as they are set
    here; they cannot be read.

    Args:
        given: the model.
        conditions: under which it runs.
        run: the clock and the loop.
        timed: whether to measure; otherwise the step runs once, and the figures are None.

    Raises:
        UsageError, UnusableError: the device or the precision is unknown, or is not there.
        ModelBuildError, InvalidOutput: what was built is not a model, or its output not a batch of logits.
    """
    device = resolve_device(conditions.device)
    with (
        runtime(precision=conditions.precision, threads=torch.get_num_threads(), seed=0, device=device) as flags,
        ExitStack() as stack,
    ):
        if timed:
            steady_allocator()  # before the memory pass: of several benchmarks, the second finds it so in any case
            baseline = read_baseline(torch.device(device))
            bench = _bench(given, conditions, device)
            stack.callback(bench.weights.restore)  # the model may be the user's own
            bench.settle()
            weight = _weight(bench.weigh(baseline), bench)
            inputs = bench.inputs()
            single = conditions.mode == "inference" and conditions.batch_size == 1
            timing = bench.time(inputs, measure_by(run, single=single))
            errors = [*timing.errors, *bench.remembered(inputs)]
            figures = _figures(timing, errors, (*flag_reasons(flags), *bench.weights.remarks)) | weight
        else:
            bench = _bench(given, conditions, device)
            stack.callback(bench.weights.restore)  # the model may be the user's own
            with bench.inference_mode():
                bench.weights.settle(lambda: run(bench.step(bench.inputs(count=1)), 1, 1, lambda: None))
            figures = NOT_TIMED | NOT_WEIGHED
    return {
        "model": given.label,
        "mode": conditions.mode,
        "train_step": PLAIN_STEP if conditions.mode == "training" else None,
        "batch_size": conditions.batch_size,
        "precision": conditions.precision,
        "num_classes": given.num_classes,
        "image_size": short_size(given.image_size),
        "device": device,
        "threads": flags["threads"],
        "params": sum(parameter.numel() for parameter in bench.model.parameters()),
        **figures,
        "machine_class": machine_class(device),
        "torch": str(torch.__version__),
        "vitbench": __version__,
        "method": METHOD,
    }


def _figures(timing: Timing, errors: Sequence[str], flipped: Sequence[str]) -> dict[str, Any]:
    """Return latency, throughput and the verdict on them."""
    calls, blocks = timing.call_seconds, timing.block_seconds
    reasons = [*errors, *timing.warnings, *flipped]
    images = timing.batch_size * (len(calls) + len(blocks) * timing.calls_per_block)
    return {
        "latency_p50": float(np.median(calls)) if len(calls) >= MEDIAN_NEEDS else None,
        "images_per_second": images / sum((*calls, *blocks)),
        "verdict": "invalid" if errors else "warn" if reasons else "valid",
        "reasons": reasons,
    }


def _bench(given: Given, conditions: BenchmarkConditions, device: str) -> Bench:
    """Build the model on its device."""
    return Bench(
        model=given.build().to(torch.device(device)),
        mode=conditions.mode,
        precision=conditions.precision,
        device=torch.device(device),
        input_shape=(given.in_channels, *given.image_size),
        batch_size=conditions.batch_size,
        num_classes=given.num_classes,
    )


def _weight(use: MemoryUse | Skip, bench: Bench) -> dict[str, Any]:
    """Return the peak of the step in bytes and what it is, or why there is none."""
    peak, note = (None, str(use)) if isinstance(use, Skip) else _peak(use, bench.model, bench.device)
    return {"peak_memory": peak, "peak_memory_note": note}


def _peak(use: MemoryUse, model: nn.Module, device: torch.device) -> tuple[int | None, str]:
    """Return the bytes that a model's step needs beyond what this process held, and what they are, or why not."""
    if device.type == "cuda":
        return use.peak_bytes - use.baseline_bytes, ON_CUDA
    if hasattr(model, "_orig_mod"):  # as torch.compile marks its modules
        return None, COMPILED_ON_CPU
    if use.weights_bytes is not None and use.peak_bytes < use.weights_bytes:
        return None, TOO_SMALL
    return use.peak_bytes, ON_CPU
