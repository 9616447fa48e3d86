"""A model on its device with its inputs, and the passes over it: the one place where a timed step is made.

Three use it: a run's speed cell (`vitbench.worker.speed`), a pair in lockstep (`vitbench.lockstep.worker`) and a
test's benchmark (`vitbench.pytest_plugin.benchmark`). What comes before the model, and in which order the passes
follow one another, is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vitbench.catalog import Catalog
from vitbench.contract import call
from vitbench.errors import Skip, UnusableError
from vitbench.measuring.in_turn import time_in_turn
from vitbench.measuring.memory import MemoryBaseline, measure_memory, memory_baseline
from vitbench.measuring.reference import Reference
from vitbench.measuring.steps import (
    INPUT_BUFFERS,
    InvalidOutput,
    Step,
    forward_of,
    inference_step,
    make_inputs,
    make_labels,
    plain_train_step,
    training_step,
)
from vitbench.measuring.sustained import sustain
from vitbench.measuring.timing import FRESH_INPUTS, Measure, fresh_input_reasons, time_step
from vitbench.measuring.training_memory import TrainingMemory, split_training_memory
from vitbench.protocols import Budget, FitRun, MemoryUse, Sustained, Timing, TrainStep
from vitbench.records import Mode, SpeedCell
from vitbench.specs import Preprocess, load_target
from vitbench.training.setup import autocast, placed, scaler_of
from vitbench.worker.casting import CastWeights
from vitbench.worker.named_models import builder

__all__ = ["COMPILED_ON_CPU", "Bench", "TrainStepMaker", "read_baseline", "recipe_step"]

FRESH_SEED = 1
"""Seed of the first of the inputs that a model has not seen."""
COMPILED_ON_CPU = "on the CPU the memory of a compiled model cannot be told apart from the compiler's own"


def read_baseline(device: torch.device) -> MemoryBaseline | Skip:
    """Read the memory in use, before the model is built, or say why its peak cannot be measured."""
    try:
        return memory_baseline(device)
    except Skip as skip:
        return skip


TrainStepMaker = Callable[[nn.Module], TrainStep]
"""Makes the training step of a model that is on its device, as it is to be called."""


def recipe_step(cell: SpeedCell, catalog: Catalog) -> TrainStepMaker | None:
    """Return what makes the training step of a cell's recipe; None where the cell names no recipe.

    The recipe's module is imported now, so that none of it counts as the model's memory.

    Raises:
        UnusableError: the recipe has no step, or cannot be imported.
    """
    if not cell.recipe:
        return None
    offer = catalog.recipe(cell.recipe)
    target = offer.spec.step
    if target is None:
        raise UnusableError(f"recipe {cell.recipe} has no step, but it had one when this was planned")
    step = load_target(target)

    def build(text: str) -> nn.Module:
        how = catalog.member(cell.model).preprocess or Preprocess(mean=(0.5,), std=(0.5,))  # of noise, any will do
        channels, height, width = cell.input_shape
        return builder(
            catalog,
            offer.spec,
            cell.recipe_options,
            num_classes=cell.num_classes,
            image_size=(height, width),
            in_channels=channels,
            preprocess=how,
            statistics=lambda: how,
        )(text)

    run = FitRun(
        device=torch.device(cell.device),
        precision=cell.precision,
        seed=0,
        budget=Budget(),
        options=cell.recipe_options,
        log=lambda *_, **__: None,
        build=build,
        compile=cell.compile,
        channels_last=cell.channels_last,
    )

    def make(model: nn.Module) -> TrainStep:
        made = call(step, {"model": model, "run": run})
        if not isinstance(made, TrainStep):
            kind = type(made).__name__
            raise InvalidOutput(
                f"the step of recipe {cell.recipe} returned a {kind}; it must return a vitbench.TrainStep"
            )
        return made

    return make


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
    train: TrainStep | None = field(default=None, compare=False)
    """The training step that all passes take; made of a plain AdamW where none is given. None in inference."""
    weights: CastWeights = field(init=False, compare=False, repr=False)
    """Those of the model, cast once for inference in a reduced precision."""

    def __post_init__(self) -> None:
        precision = self.precision if self.mode == "inference" else "float32"  # training keeps float32 weights
        object.__setattr__(self, "weights", CastWeights(self.model, precision))
        if self.mode == "training" and self.train is None:
            scaler = scaler_of(self.precision, self.device)
            plain = plain_train_step(self.model, self.autocast, num_classes=self.num_classes, scaler=scaler)
            object.__setattr__(self, "train", plain)

    @classmethod
    def of_cell(
        cls,
        model: nn.Module,
        cell: SpeedCell,
        *,
        train: TrainStepMaker | None = None,
        batch_size: int | None = None,
    ) -> Bench:
        """Move a cell's model to its device and return its bench; a batch size replaces the cell's.

        Moving changes the model itself, and so does the cast of its weights; a compiled one shares its parameters.

        Args:
            model: as it was built.
            cell: the conditions.
            train: makes the training step of its recipe, see `recipe_step`; None: a plain one.
            batch_size: in place of the cell's.
        """
        device = torch.device(cell.device)
        _, called = placed(model, device, channels_last=cell.channels_last, compile=cell.compile)
        return cls(
            model=called,
            mode=cell.mode,
            precision=cell.precision,
            device=device,
            input_shape=cell.input_shape,
            batch_size=batch_size or cell.batch_size,
            num_classes=cell.num_classes,
            channels_last=cell.channels_last,
            train=train(called) if train else None,
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

    def settle(self) -> None:
        """Take a step, so that a model that cannot do with cast weights gets its own back before it is measured."""
        if self.weights.cast:
            with self.inference_mode():
                self.weights.settle(self.step(self.inputs(count=1)))

    def labels(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return labels for each batch, the same at each call."""
        return make_labels(self.num_classes, batch_size=self.batch_size, device=self.device, count=len(inputs))

    def step(self, inputs: Sequence[Tensor]) -> Step:
        """Return what is measured, on inputs that take turns; its first output is checked.

        Making it puts the model in eval or in train mode.
        """
        if self.train is None:
            return inference_step(self.model, inputs, self.autocast, num_classes=self.num_classes)
        return training_step(self.train, self.model, inputs, self.labels(inputs), num_classes=self.num_classes)

    def weigh(self, baseline: MemoryBaseline | Skip) -> MemoryUse | Skip:
        """Measure the peak memory of a step, in a pass of its own, or say why there is none."""
        if isinstance(baseline, Skip):
            return baseline
        inputs = self.inputs(count=1)

        def split() -> TrainingMemory:
            if self.train is None:
                return TrainingMemory()
            return split_training_memory(self.train, self.model, *inputs, *self.labels(inputs))

        return measure_memory(self.step(inputs), self.model, baseline=baseline, mode=self.mode, split=split)

    def time(self, inputs: Sequence[Tensor], measure: Measure | None = None) -> Timing:
        """Warm up and time the step; `measure` is another clock and loop than those of `time_step`."""
        return time_step(self.step(inputs), self.mode, inputs[0], self.num_classes, measure)

    def time_in_turn(self, inputs: Sequence[Tensor], reference: Reference) -> Timing:
        """Warm up the step, and time it in turn with the reference network."""
        return time_in_turn(self.step(inputs), reference, self.mode, inputs[0], self.num_classes)

    def sustain(self, inputs: Sequence[Tensor], seconds: float) -> Sustained:
        """Time a long window of the step, which is warm."""
        return sustain(self.step(inputs), self.mode, inputs[0], self.num_classes, seconds=seconds)

    def remembered(self, seen: Sequence[Tensor]) -> list[str]:
        """Say so where the model was fast on the timed inputs only because it had seen them before."""
        if self.mode == "training":
            return []
        fresh = (self.inputs(count=1, seed=FRESH_SEED + number)[0] for number in range(FRESH_INPUTS))
        with torch.inference_mode():
            return fresh_input_reasons(forward_of(self.model, self.autocast), seen, fresh, self.device)
