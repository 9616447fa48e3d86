"""What a recipe does inside its loop: a step, the loss, signs of life, the accuracy on the validation split."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.errors import VitbenchError
from vitbench.measuring.steps import check_output
from vitbench.protocols import FitRun, Split, TrainVal
from vitbench.training.inputs import preprocess
from vitbench.training.loading import Resident, batches, padded
from vitbench.training.setup import autocast

__all__ = ["DivergedError", "MeanLoss", "descend", "evaluate_top1", "train_step", "with_progress"]

T = TypeVar("T")

_SIGN_SECONDS = 5.0
"""Often enough for a person who watches; too rarely to cost anything."""
_LOSSES_BETWEEN_READS = 50
"""Reading a loss makes the CPU wait for a GPU."""
_SMALLEST_SCALE = 2.0**-14
"""Of gradients in float16: a scaler starts with 2**16 and halves that at each step that it skips."""


class DivergedError(VitbenchError):
    """The loss is no longer finite."""


def train_step(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    run: FitRun,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
    clip_norm: float = 0.0,
    micro_batch: int = 0,
) -> Tensor:
    """Take one step on inputs float32[B, C, H, W]; return the loss, a scalar on the device.

    Forward in the run's precision, cross-entropy in float32, backward, gradients clipped, optimiser step.

    Args:
        model: on the device, in train mode.
        inputs: float32[B, C, H, W].
        labels: int64[B], or the share of each class in each image, float32[B, K].
        optimizer: its gradients are cleared first.
        scaler: of `grad_scaler`.
        run: its precision and device count.
        label_smoothing: share of the target that is spread evenly over all classes, 0 to 1.
        class_weights: float32[K] on the device, the factor for the loss of each class.
        clip_norm: the largest norm of all gradients together; 0: any.
        micro_batch: images that pass the model at once; 0: all. The gradients of all parts are added, so that the step
            is that of the whole batch, up to rounding, for a model that treats each image apart. Batch normalisation
            takes its statistics of a part.

    Raises:
        InvalidOutput: the model returns something other than logits, or something without a gradient.
    """

    def losses() -> Iterator[Tensor]:
        for part, targets in zip(inputs.tensor_split(parts), labels.tensor_split(parts), strict=True):
            with autocast(run.precision, run.device):
                logits = model(part)
            check_output(logits, part, learns=True)
            yield F.cross_entropy(
                logits.float(), targets, weight=class_weights, label_smoothing=label_smoothing, reduction="sum"
            ) / len(inputs)

    parts = -(-len(inputs) // micro_batch) if micro_batch else 1
    own = parts > 1 and run.compile == "reduce-overhead"
    return descend(losses(), optimizer=optimizer, scaler=scaler, clip_norm=clip_norm, own_gradients=own)


def descend(
    losses: Iterable[Tensor],
    *,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    clip_norm: float = 0.0,
    own_gradients: bool = False,
) -> Tensor:
    """Take one step on a loss that may come in parts; return the sum of the parts, a scalar on the device.

    Args:
        losses: the parts. Each is a scalar whose backward pass is done before the next is asked for.
        optimizer: its gradients are cleared first.
        scaler: of `grad_scaler`.
        clip_norm: the largest norm of all gradients together; 0: any.
        own_gradients: whether several parts come of CUDA graphs, in whose memory no gradients can be added up.
    """
    _clear_gradients(optimizer, own=own_gradients)
    found = []
    for loss in losses:
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        found.append(loss.detach())
    scaler.unscale_(optimizer)
    if clip_norm:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        nn.utils.clip_grad_norm_(parameters, clip_norm)
    scaler.step(optimizer)
    scaler.update()
    return torch.stack(found).sum()


def _clear_gradients(optimizer: torch.optim.Optimizer, *, own: bool) -> None:
    """Clear gradients. Where they are added to their `own` memory, each has it before: that of the first backward pass
    of a CUDA graph is written again by the second."""
    optimizer.zero_grad(set_to_none=not own)
    if own:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None and parameter.requires_grad:
                    parameter.grad = torch.zeros_like(parameter)


class MeanLoss:
    """The mean loss of each epoch, read from the device in few transfers; detects a loss that is not finite."""

    def __init__(self, first_step: int = 1, scaler: torch.amp.GradScaler | None = None) -> None:
        """Start with the number, counted from 1, of the step whose loss comes first.

        Args:
            first_step: the next one.
            scaler: of the training; where its gradients are not finite step after step, that is noticed, too.
        """
        self._first_unread = first_step
        self._scaler = scaler
        self._unread: list[Tensor] = []
        self._sum = 0.0
        self._count = 0

    def add(self, loss: Tensor) -> None:
        """Take the loss of the next step.

        Raises:
            DivergedError: a loss was not finite (noticed at once on the CPU, within 50 steps elsewhere), or the scaler
                has skipped the last steps, 30 or more.
        """
        self._unread.append(loss)
        if loss.device.type == "cpu" or len(self._unread) == _LOSSES_BETWEEN_READS:
            self._read()

    def mean(self) -> float:
        """Return the mean of the losses since the last call, one or more; raises DivergedError as `add` does."""
        self._read()
        mean = self._sum / self._count
        self._sum, self._count = 0.0, 0
        return mean

    def state_dict(self) -> dict[str, float]:
        """Return what is needed to resume within an epoch; raises DivergedError as `add` does."""
        self._read()
        return {"next_step": self._first_unread, "sum": self._sum, "count": self._count}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        self._first_unread, self._unread = state_dict["next_step"], []
        self._sum, self._count = state_dict["sum"], state_dict["count"]

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
        if self._scaler is not None and self._scaler.is_enabled() and self._scaler.get_scale() < _SMALLEST_SCALE:
            raise DivergedError(
                f"at step {self._first_unread - 1} gradients overflowed float16 once more, so that no step is taken; "
                "lower the recipe's option lr, or train in bfloat16"
            )


def with_progress(
    items: Iterable[T], run: FitRun, *, epoch: int, epochs: int, steps: int, start: int = 0
) -> Iterator[T]:
    """Yield the batches of an epoch, with a sign of life every five seconds.

    The sign is ``run.log(epoch=2.25, epochs=20)``; never a whole epoch, since the recipe writes that row.

    Args:
        items: the batches.
        run: its `log` is called.
        epoch: counted from 0.
        epochs: of how many.
        steps: how many batches the epoch has.
        start: how many of these are skipped, as by `shuffled`.
    """
    last = time.monotonic()
    for done, item in enumerate(items, start):
        if 0 < done < steps and time.monotonic() - last >= _SIGN_SECONDS:
            run.log(epoch=epoch + done / steps, epochs=epochs)
            last = time.monotonic()
        yield item


@torch.no_grad()
def evaluate_top1(model: nn.Module, data: TrainVal, split: Split | Resident, run: FitRun, *, batch_size: int) -> float:
    """Return the share of a split's images, 0 to 1, that the model classifies correctly; runs it in eval mode.

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
        shown = padded(images, min(batch_size, len(split))) if run.compile else images
        inputs = preprocess(shown, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
        with autocast(run.precision, run.device):
            logits = model(inputs)[: len(labels)]
        correct += (logits.argmax(1) == labels).sum()
        if time.monotonic() - last >= _SIGN_SECONDS:
            run.log()
            last = time.monotonic()
    model.train(was_training)
    return correct.item() / len(split)
