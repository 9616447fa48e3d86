"""A training that is begun and not ended: how long its steps take, and what comes before and after them.

The recipe's own `fit` runs on the cell's own data, so that loading, augmentation and whatever else it does at a step
count. Steps are those of torch's optimisers, which announce each one whatever the recipe; a hook ends the training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from vitbench.errors import UsageError
from vitbench.measuring.steps import forward_of, synchronise
from vitbench.protocols import FitRun, Split, TrainVal
from vitbench.training import (
    autocast,
    labelled_count,
    preprocess,
    pretraining_steps,
    steps_per_epoch,
    total_steps,
)

__all__ = ["StepCount", "counted_steps", "probe_training"]

WARM_STEPS = 3
"""Steps that are not timed: the first makes the optimiser's state and fills caches."""
ENOUGH_STEPS, ENOUGH_SECONDS = 5, 2.0
"""The minimum number of timed steps, for at least this long ..."""
MOST_SECONDS = 10.0
"""... or, of slow ones, two in this time."""
OUTLIER = 3.0
"""An interval of so many medians held more than a step, such as a validation."""
FORWARD_IMAGES = 256
"""Of one forward pass, as in evaluation."""


class StepCount:
    """How many steps optimisers have taken."""

    def __init__(self) -> None:
        self.taken = 0
        """Two optimisers of one recipe that take turns, each once, take a step together; one after the other, as in two
        phases of a training, each takes its own."""
        self._took_part = WeakSet[torch.optim.Optimizer]()

    def add(self, optimizer: torch.optim.Optimizer) -> bool:
        """Count a step; return whether it is a new one, and not a second optimiser's share of it."""
        if shares := bool(self._took_part) and optimizer not in self._took_part:
            self._took_part.add(optimizer)
        else:
            self._took_part = WeakSet([optimizer])
            self.taken += 1
        return not shares


@contextmanager
def counted_steps(each: Callable[[int], None] | None = None) -> Iterator[StepCount]:
    """Count the steps of all of torch's optimisers within the block.

    Args:
        each: called after each, with how many there were; what it raises ends the training.
    """
    count = StepCount()

    def after(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if count.add(optimizer) and each:
            each(count.taken)

    handle = register_optimizer_step_post_hook(after)
    try:
        yield count
    finally:
        handle.remove()


class _EnoughError(BaseException):
    """Ends a training whose steps are known; a recipe's `except Exception` lets it pass."""


def probe_training(
    fit: Callable[[], object], model: nn.Module, data: TrainVal, run: FitRun, *, began: float
) -> dict[str, float]:
    """Begin a training and return how long its parts take.

    Args:
        fit: runs the recipe on the model.
        model: that it trains; left on the run's device.
        data: of the training.
        run: its conditions.
        began: when the cell's process began, by time.monotonic().

    Returns:
        ``before``: seconds until the first step has been taken, its own included; ``step``: of each later one;
        ``forward``: of an image in evaluation; ``steps``: how many were timed; ``seconds``: of `fit`, where it came to
        its end; ``length``, ``epoch``: steps of the recipe's own length and of an epoch. What is not known is left out:
        steps where torch's optimisers took none, lengths where the recipe's options do not tell.
    """
    marks: list[float] = []
    started = time.monotonic()

    def after(taken: int) -> None:
        if taken in (1, WARM_STEPS):
            synchronise(run.device)  # what a GPU has in its queue is not yet done
        marks.append(time.monotonic())
        timed, passed = taken - WARM_STEPS, marks[-1] - marks[0]
        enough = timed >= ENOUGH_STEPS and marks[-1] - marks[WARM_STEPS - 1] >= ENOUGH_SECONDS
        if enough or (taken >= 3 and passed >= MOST_SECONDS):
            synchronise(run.device)
            marks[-1] = time.monotonic()
            raise _EnoughError

    ended = True
    with counted_steps(after):
        try:
            fit()
        except _EnoughError:
            ended = False
    fit_seconds = time.monotonic() - started
    found = {"before": (marks[0] if marks else time.monotonic()) - began, **_length(run, data)}
    if ended:
        found["seconds"] = fit_seconds
    if len(marks) in (1, 2):
        found |= {"steps": len(marks), "step": fit_seconds / len(marks)}
    elif marks:
        timed = marks[(WARM_STEPS if len(marks) > WARM_STEPS else 1) - 1 :]
        gaps = np.diff(timed)
        if run.device.type != "cuda":  # there a single step ends when the CPU has asked for it
            gaps = gaps[gaps <= OUTLIER * median(gaps)]
        found |= {"steps": len(gaps), "step": float(gaps.mean())}
    return found | {"forward": _forward_seconds(model, data, run)}


def _length(run: FitRun, data: TrainVal) -> Mapping[str, float]:
    """Return the recipe's own length in steps, and an epoch's, where its options have the usual names."""
    batch_size = run.options.get("batch_size")
    if not isinstance(batch_size, int):
        return {}
    labels = run.options.get("labels")
    images = labelled_count(len(data.train), labels) if isinstance(labels, float) else len(data.train)
    epoch = steps_per_epoch(images, batch_size)
    try:
        length = pretraining_steps(run, len(data.train), batch_size) + total_steps(run, images, batch_size)
    except UsageError:
        return {"epoch": epoch}
    return {"epoch": epoch, "length": length}


def _forward_seconds(model: nn.Module, data: TrainVal, run: FitRun) -> float:
    """Return the seconds of one image in evaluation, its preparation included."""
    judged = data.val if len(data.val) else data.train
    index = np.resize(judged.index, FORWARD_IMAGES)
    some = Split(images=judged.images, index=index, labels=np.zeros(len(index), dtype=np.int64))
    model = model.to(run.device).eval()
    times = []
    with torch.inference_mode():
        forward = forward_of(model, lambda: autocast(run.precision, run.device))
        for _ in range(3):
            start = time.monotonic()
            images = torch.from_numpy(some.images[some.index]).to(run.device)
            forward(preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels))
            synchronise(run.device)
            times.append(time.monotonic() - start)
            if times[0] > 1.0 and len(times) == 2:
                break
    return min(times) / FORWARD_IMAGES
