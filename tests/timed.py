"""A model timed on given inputs, as a cell's is on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from vitbench.measuring.steps import Autocast, Step, inference_step, make_labels, plain_train_step, training_step
from vitbench.measuring.timing import time_step
from vitbench.protocols import Timing
from vitbench.records import Mode


def plain_training_step(
    model: nn.Module,
    inputs: Sequence[Tensor],
    autocast: Autocast = nullcontext,
    *,
    num_classes: int | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> Step:
    """Return the training step of a model that no recipe speaks for, on labels of all its classes."""
    train = plain_train_step(model, autocast, num_classes=num_classes, scaler=scaler)
    labels = make_labels(num_classes, batch_size=len(inputs[0]), device=inputs[0].device, count=len(inputs))
    return training_step(train, model, inputs, labels)


def _time(
    make: Callable[..., Step],
    mode: Mode,
    model: nn.Module,
    inputs: Sequence[Tensor],
    *,
    autocast: Autocast = nullcontext,
    num_classes: int | None = None,
) -> Timing:
    return time_step(make(model, inputs, autocast, num_classes=num_classes), mode, inputs[0], num_classes)


time_inference = partial(_time, inference_step, "inference")
time_training = partial(_time, plain_training_step, "training")
