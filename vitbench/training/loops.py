"""What a recipe does inside its loop: a step, the loss, signs of life, the accuracy on the validation split."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.errors import VitbenchError
from vitbench.measuring.steps import check_output
from vitbench.protocols import FitRun, Split, TrainVal
from vitbench.training.formats import convolution_formats
from vitbench.training.inputs import preprocess
from vitbench.training.loading import Resident, batches
from vitbench.training.setup import autocast

__all__ = ["DivergedError", "MeanLoss", "evaluate_top1", "train_step", "with_progress"]

T = TypeVar("T")

_SIGN_SECONDS = 5.0
"""Often enough for a person who watches; too rarely to cost anything."""
_LOSSES_BETWEEN_READS = 50
"""Reading a loss makes the CPU wait for a GPU."""


class DivergedError(VitbenchError):
    """The loss is no longer a number."""


def train_step(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    run: FitRun,
    label_smoothing: float = 0.0,
    clip_norm: float,
) -> Tensor:
    """Take one step on inputs float32[B, C, H, W] and labels int64[B]; return the loss, a scalar on the device.

    Forward in the run's precision, cross-entropy in float32, backward, gradients clipped, optimiser step.

    Args:
        model: on the device, in train mode.
        inputs: float32[B, C, H, W].
        labels: int64[B].
        optimizer: its gradients are cleared first.
        scaler: of `grad_scaler`.
        run: its precision and device count.
        label_smoothing: share of the target that all classes have in equal parts, 0 to 1.
        clip_norm: the largest norm of all gradients together.

    Raises:
        InvalidOutput: the model gives something that is no logits.
    """
    optimizer.zero_grad()
    with autocast(run.precision, run.device), convolution_formats(model, run):
        logits = model(inputs)
    check_output(logits, inputs)
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    scaler.unscale_(optimizer)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    nn.utils.clip_grad_norm_(parameters, clip_norm)
    scaler.step(optimizer)
    scaler.update()
    return loss.detach()


class MeanLoss:
    """The mean loss of an epoch, read from the device in few pieces; it notices a loss that is not finite."""

    def __init__(self, first_step: int) -> None:
        """Start with the number, counted from 1, of the step whose loss comes first."""
        self._first_unread = first_step
        self._unread: list[Tensor] = []
        self._sum = 0.0
        self._count = 0

    def add(self, loss: Tensor) -> None:
        """Take the loss of the next step.

        Raises:
            DivergedError: a loss was not finite (noticed at once on the CPU, within 50 steps elsewhere).
        """
        self._unread.append(loss)
        if loss.device.type == "cpu" or len(self._unread) == _LOSSES_BETWEEN_READS:
            self._read()

    def mean(self) -> float:
        """Return the mean of all losses; raises DivergedError as `add` does."""
        self._read()
        return self._sum / self._count

    def _read(self) -> None:
        if not self._unread:
            return
        for offset, loss in enumerate(torch.stack(self._unread).tolist()):
            if not math.isfinite(loss):
                step = self._first_unread + offset
                raise DivergedError(f"the loss became {loss} at step {step}; lower the recipe's option lr")
            self._sum += loss
        self._count += len(self._unread)
        self._first_unread += len(self._unread)
        self._unread.clear()


def with_progress(items: Iterable[T], run: FitRun, *, epoch: int, epochs: int, steps: int) -> Iterator[T]:
    """Yield the batches of an epoch, with a sign of life every five seconds.

    The sign is ``run.log(epoch=2.25, epochs=20)``; never a whole epoch, whose row is the recipe's to write.

    Args:
        items: the batches.
        run: its `log` gets the signs.
        epoch: counted from 0.
        epochs: of how many.
        steps: how many batches the epoch has.
    """
    last = time.monotonic()
    for done, item in enumerate(items):
        if 0 < done < steps and time.monotonic() - last >= _SIGN_SECONDS:
            run.log(epoch=epoch + done / steps, epochs=epochs)
            last = time.monotonic()
        yield item


@torch.no_grad()
def evaluate_top1(model: nn.Module, data: TrainVal, split: Split | Resident, run: FitRun, *, batch_size: int) -> float:
    """Return the share of a split's images, 0 to 1, that the model gets right; it is in eval mode meanwhile.

    Args:
        model: on the device.
        data: says how the images become input.
        split: such as ``data.val``, or `resident` of it.
        run: its precision and device count, and its `log` gets signs of life.
        batch_size: images at a time.
    """
    was_training = model.training
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=run.device)
    last = time.monotonic()
    for images, labels in batches(split, batch_size=batch_size, device=run.device):
        inputs = preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
        with autocast(run.precision, run.device):
            logits = model(inputs)
        correct += (logits.argmax(1) == labels).sum()
        if time.monotonic() - last >= _SIGN_SECONDS:
            run.log()
            last = time.monotonic()
    model.train(was_training)
    return correct.item() / len(split)
