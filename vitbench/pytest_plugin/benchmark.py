"""A model benchmarked in the process that asks for it, such as a test: built, weighed, warmed up, timed and judged.

Clock, loop and table belong to whoever asks (pytest-benchmark); the rest is made of the pieces that a run uses. One
process only: what differs from process to process is not seen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitbench.environment import machine_class, resolve_device
from vitbench.errors import Skip
from vitbench.measuring.memory import measure_memory, memory_baseline
from vitbench.measuring.steps import Step, forward_of, inference_step, make_inputs, training_step
from vitbench.measuring.timing import fresh_input_reasons, time_step
from vitbench.protocols import MemoryUse, Timing
from vitbench.pytest_plugin.model import BenchmarkConditions, Given
from vitbench.pytest_plugin.rounds import RunRounds, measure_by
from vitbench.records import METHOD
from vitbench.training import autocast
from vitbench.version import __version__
from vitbench.worker.runtime import changed_flags, runtime, steady_allocator

__all__ = ["benchmark_model"]

MEDIAN_NEEDS = 10
"""Single calls that a median needs, as in a leaderboard."""
FRESH_SEED = 1
"""Seed of the inputs that a model has not seen."""

NOT_TIMED: dict[str, Any] = {
    "latency_p50": None,
    "images_per_second": None,
    "verdict": None,
    "reasons": ["benchmarks are disabled: the step ran once, and nothing was measured"],
}
NOT_WEIGHED: dict[str, Any] = {"peak_memory": None, "peak_memory_note": "not measured"}
ON_CPU = "rise of this process's resident set; that of a fresh process, whose heap is empty, may be lower"
ON_CUDA = "peak that torch allocated, less what it had allocated before the model was built"
TOO_SMALL = "too small to measure: it fits into the free space of this process's heap"
COMPILED = "on the CPU the memory of a compiled model cannot be told apart from the compiler's own"


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
        ModelBuildError, InvalidOutput: what was built is no model, or its output no batch of logits.
    """
    device = resolve_device(conditions.device)
    with runtime(precision=conditions.precision, threads=torch.get_num_threads(), seed=0, device=device) as flags:
        bench = _Bench(given, conditions, torch.device(device))
        if timed:
            steady_allocator()  # before the memory pass: of several benchmarks, the second finds it so in any case
            weight = bench.weigh()
            timing = bench.time(run)
            figures = _figures(timing, [*timing.errors, *bench.remembered()], changed_flags(flags)) | weight
        else:
            bench.once(run)
            figures = NOT_TIMED | NOT_WEIGHED
    return {
        "model": given.label,
        "mode": conditions.mode,
        "batch_size": conditions.batch_size,
        "precision": conditions.precision,
        "num_classes": given.num_classes,
        "image_size": given.image_size,
        "device": device,
        "threads": flags["threads"],
        "params": sum(parameter.numel() for parameter in bench.model.parameters()),
        **figures,
        "machine_class": machine_class(device),
        "torch": str(torch.__version__),
        "vitbench": __version__,
        "method": METHOD,
    }


def _figures(timing: Timing, errors: Sequence[str], changed: Sequence[str]) -> dict[str, Any]:
    """Return latency, throughput and the verdict on them."""
    calls, blocks = timing.call_seconds, timing.block_seconds
    reasons = [*errors, *timing.warnings]
    if changed:
        reasons.append(f"the model changed torch's {', '.join(changed)}")
    images = timing.batch_size * (len(calls) + len(blocks) * timing.calls_per_block)
    return {
        "latency_p50": float(np.median(calls)) if len(calls) >= MEDIAN_NEEDS else None,
        "images_per_second": images / sum((*calls, *blocks)),
        "verdict": "invalid" if errors else "warn" if reasons else "valid",
        "reasons": reasons,
    }


class _Bench:
    """A model on its device with its inputs, and the passes over it."""

    model: nn.Module

    def __init__(self, given: Given, conditions: BenchmarkConditions, device: torch.device) -> None:
        self.given, self.conditions, self.device = given, conditions, device
        shape = (given.in_channels, given.image_size, given.image_size)
        self.inputs = partial(make_inputs, shape, batch_size=conditions.batch_size, device=device)

    def context(self) -> AbstractContextManager[object]:
        """Return the context of each forward pass."""
        return autocast(self.conditions.precision, self.device)

    def weigh(self) -> dict[str, Any]:
        """Build the model and measure the peak of its step, or say why there is none."""
        try:
            baseline = memory_baseline(self.device)
        except Skip as skip:
            self._build()
            return {"peak_memory": None, "peak_memory_note": str(skip)}
        self._build()
        use = measure_memory(
            self.model,
            self.inputs(count=1),
            baseline=baseline,
            mode=self.conditions.mode,
            autocast=self.context,
            scaler=self._scaler(),
        )
        peak, note = _peak(use, self.model, self.device)
        return {"peak_memory": peak, "peak_memory_note": note}

    def time(self, run: RunRounds) -> Timing:
        """Warm up and time the step."""
        mode = self.conditions.mode
        self.buffers = self.inputs()
        measure = measure_by(run, single=mode == "inference" and self.conditions.batch_size == 1)
        with torch.inference_mode(mode == "inference"):
            return time_step(self._step(self.buffers), mode, self.buffers[0], self.given.num_classes, measure)

    def remembered(self) -> list[str]:
        """Say so where the model was fast on the timed inputs only because it had seen them before."""
        if self.conditions.mode == "training":
            return []
        fresh = self.inputs(seed=FRESH_SEED)
        with torch.inference_mode():
            return fresh_input_reasons(forward_of(self.model, self.context), self.buffers, fresh, self.device)

    def once(self, run: RunRounds) -> None:
        """Build the model and take one step, whose output is checked."""
        self._build()
        with torch.inference_mode(self.conditions.mode == "inference"):
            run(self._step(self.inputs(count=1)), 1, 1, lambda: None)

    def _build(self) -> None:
        self.model = self.given.build().to(self.device)

    def _step(self, inputs: Sequence[Tensor]) -> Step:
        """Return what is timed, of which the first output is checked."""
        classes = self.given.num_classes
        if self.conditions.mode == "inference":
            return inference_step(self.model, inputs, self.context, num_classes=classes)
        return training_step(self.model, inputs, self.context, num_classes=classes, scaler=self._scaler())

    def _scaler(self) -> torch.amp.GradScaler:
        """Return what scales the loss of a training step: float16 alone needs it."""
        return torch.amp.GradScaler(self.device.type, enabled=self.conditions.precision == "float16")


def _peak(use: MemoryUse, model: nn.Module, device: torch.device) -> tuple[int | None, str]:
    """Return the bytes that a model's step needs beyond what this process held, and what they are, or why not."""
    if device.type == "cuda":
        return use.peak_bytes - use.baseline_bytes, ON_CUDA
    if hasattr(model, "_orig_mod"):  # as torch.compile marks its modules
        return None, COMPILED
    if use.weights_bytes is not None and use.peak_bytes < use.weights_bytes:
        return None, TOO_SMALL
    return use.peak_bytes, ON_CPU
