"""A model on its device with its inputs, and the passes over it: the one place where a timed step is made.

Three use it: a run's speed cell (`vitbench.worker.speed`), a pair in lockstep (`vitbench.lockstep.worker`) and a
test's benchmark (`vitbench.pytest_plugin.benchmark`). What comes before the model, and in which order the passes
follow one another, is theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitbench.errors import Skip
from vitbench.measuring.memory import MemoryBaseline, measure_memory, memory_baseline
from vitbench.measuring.steps import INPUT_BUFFERS, Step, forward_of, inference_step, make_inputs, training_step
from vitbench.measuring.timing import Measure, fresh_input_reasons, time_step
from vitbench.protocols import MemoryUse, Timing
from vitbench.records import Mode, SpeedCell
from vitbench.training.setup import autocast, placed, scaler_of

__all__ = ["COMPILED_ON_CPU", "Bench", "read_baseline"]

FRESH_SEED = 1
"""Seed of the inputs that a model has not seen."""
COMPILED_ON_CPU = "on the CPU the memory of a compiled model cannot be told apart from the compiler's own"


def read_baseline(device: torch.device) -> MemoryBaseline | Skip:
    """Read the memory in use, before the model is built, or say why its peak cannot be measured."""
    try:
        return memory_baseline(device)
    except Skip as skip:
        return skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """A model that is built, on its device, and what is called of it under which conditions."""

    model: nn.Module
    """As it is called: in its memory format, compiled where that is asked for."""
    mode: Mode
    precision: str
    device: torch.device
    input_shape: tuple[int, int, int]
    """Channels, height, width."""
    batch_size: int
    num_classes: int | None
    """K of its logits; None: whatever they have."""
    channels_last: bool = False

    @classmethod
    def of_cell(cls, model: nn.Module, cell: SpeedCell, *, batch_size: int | None = None) -> Bench:
        """Move a cell's model to its device and return its bench; a batch size replaces the cell's.

        Moving changes the model itself; a compiled one shares its parameters.
        """
        device = torch.device(cell.device)
        _, called = placed(model, device, channels_last=cell.channels_last, compiled=cell.compile)
        return cls(
            model=called,
            mode=cell.mode,
            precision=cell.precision,
            device=device,
            input_shape=cell.input_shape,
            batch_size=batch_size or cell.batch_size,
            num_classes=cell.num_classes,
            channels_last=cell.channels_last,
        )

    def inputs(self, *, count: int = INPUT_BUFFERS, seed: int = 0) -> tuple[Tensor, ...]:
        """Return batches of noise that take turns, the same at each call with the same seed."""
        return make_inputs(
            self.input_shape,
            batch_size=self.batch_size,
            device=self.device,
            channels_last=self.channels_last,
            count=count,
            seed=seed,
        )

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of each forward pass."""
        return autocast(self.precision, self.device)

    def inference_mode(self) -> AbstractContextManager[object]:
        """Return the context in which steps are called: without gradients unless they train."""
        return torch.inference_mode(self.mode == "inference")

    def step(self, inputs: Sequence[Tensor]) -> Step:
        """Return what is timed and weighed, on inputs that take turns; its first output is checked.

        Making it puts the model in eval or in train mode.
        """
        if self.mode == "inference":
            return inference_step(self.model, inputs, self.autocast, num_classes=self.num_classes)
        scaler = scaler_of(self.precision, self.device)
        return training_step(self.model, inputs, self.autocast, num_classes=self.num_classes, scaler=scaler)

    def weigh(self, baseline: MemoryBaseline | Skip) -> MemoryUse | Skip:
        """Measure the peak memory of a step, in a pass of its own, or say why there is none."""
        if isinstance(baseline, Skip):
            return baseline
        (batch,) = self.inputs(count=1)
        return measure_memory(
            self.step([batch]), self.model, batch, baseline=baseline, mode=self.mode, autocast=self.autocast
        )

    def time(self, inputs: Sequence[Tensor], measure: Measure | None = None) -> Timing:
        """Warm up and time the step; `measure` is another clock and loop than a run's."""
        return time_step(self.step(inputs), self.mode, inputs[0], self.num_classes, measure)

    def remembered(self, seen: Sequence[Tensor]) -> list[str]:
        """Say so where the model was fast on the timed inputs only because it had seen them before."""
        if self.mode == "training":
            return []
        fresh = self.inputs(seed=FRESH_SEED)
        with torch.inference_mode():
            return fresh_input_reasons(forward_of(self.model, self.autocast), seen, fresh, self.device)
