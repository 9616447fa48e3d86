"""What is timed and whose memory is measured: one forward pass or one training step on inputs that take turns.

A training step is the one that the model's recipe takes. Where none is known, it is forward, cross-entropy, backward
and AdamW, as in the common recipes for ViT (https://arxiv.org/abs/2106.10270); float16 also has its loss scaled
(https://arxiv.org/abs/1710.03740).

Shapes: B images in a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.errors import VitbenchError
from vitbench.protocols import TrainStep

__all__ = [
    "Autocast",
    "InvalidOutput",
    "Step",
    "check_finite",
    "check_loss",
    "check_output",
    "connect",
    "forward_of",
    "inference_step",
    "make_inputs",
    "make_labels",
    "plain_train_step",
    "seconds_of",
    "synchronise",
    "training_step",
]

INPUT_BUFFERS = 4
"""Batches that take turns, so that no call finds the very input of the call before in the cache."""
_DRAWN_BYTES = 1 << 26
"""Of inputs that are drawn at once."""
LEARNING_RATE = 1e-6
"""So small that a thousand steps on noise leave the weights, and thus the work, as they are."""
_FUSED = ("cpu", "cuda")
"""Where AdamW can do all of its work in one kernel."""

Step = Callable[[], Tensor]
"""Does its work once and returns the logits ``[B, K]``, or the loss where it trains; it checks its first output."""
Autocast = Callable[[], AbstractContextManager[object]]
"""Makes the context of a forward pass."""


class InvalidOutput(VitbenchError):  # noqa: N818 - as InvalidPredictions
    """What a model returned is no batch of logits, or a training step no loss; the message says what it is instead."""


def _kind_of(output: object) -> str:
    name = type(output).__name__
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _cure(output: object) -> str:
    """Return where the logits are in an output that is no tensor, as it is in libraries that return more."""
    if isinstance(getattr(output, "logits", None), Tensor):
        return ": return output.logits"
    if isinstance(output, Mapping) and isinstance(output.get("logits"), Tensor):
        return ': return output["logits"]'
    if isinstance(output, (tuple, list)) and output and isinstance(output[0], Tensor):
        return ": return its first item, if these are the logits"
    return ""


def check_output(output: object, images: Tensor, num_classes: int | None = None, *, learns: bool = False) -> None:
    """Check that a model's output may be a batch of logits; its values are not read, so a GPU need not be waited for.

    Args:
        output: what the model returned for `images`.
        images: ``[B, C, H, W]``.
        num_classes: K; None: any.
        learns: whether it needs a gradient.

    Raises:
        InvalidOutput: it is no tensor or one of a subclass, on another device than the images, not ``[B, K]``, not of a
            floating type or not dense; or it `learns` and there is no gradient.
    """
    # A subclass may put its work off until it is read, and of a timed block the last output alone is read.
    if type(output) is not Tensor:
        raise InvalidOutput(
            f"the model returned {_kind_of(output)}; it must return a plain tensor of logits{_cure(output)}"
        )
    if output.device != images.device:
        raise InvalidOutput(f"the model's output is on {output.device}, not on {images.device}")
    if output.ndim != 2 or len(output) != len(images) or num_classes not in (None, output.shape[1]):
        raise InvalidOutput(
            f"the model returned an output of shape {tuple(output.shape)} for {len(images)} images; "
            f"it must return logits of shape ({len(images)}, {'classes' if num_classes is None else num_classes})"
        )
    if not output.is_floating_point():
        dtype = str(output.dtype).removeprefix("torch.")
        raise InvalidOutput(f"the model's output is {dtype}; logits must be of a floating type")
    if output.layout != torch.strided:
        layout = str(output.layout).removeprefix("torch.")
        raise InvalidOutput(f"the model's output is a tensor with the layout {layout}; logits must be dense")
    if learns and not output.requires_grad:
        raise InvalidOutput(
            "the model's output has no gradient, so it cannot be trained: it is detached or computed under "
            "no_grad, or none of the model's parameters requires a gradient"
        )


def check_finite(logits: Tensor) -> None:
    """Raise InvalidOutput where some of the logits ``[B, K]`` are not finite; waits for a GPU."""
    bad = logits.detach()[~logits.isfinite()]
    if len(bad):
        raise InvalidOutput(f"the model returned a logit that is {bad[0].item()}; every logit must be finite")


def check_loss(loss: object, device: torch.device) -> None:
    """Check that what a training step returned may be its loss; its value is not read, as in `check_output`.

    Raises:
        InvalidOutput: it is no tensor or one of a subclass, on another device, not a scalar, or not of a floating type.
    """
    if type(loss) is not Tensor:
        raise InvalidOutput(
            f"the training step returned a {type(loss).__name__}; it must return the loss, a plain tensor"
        )
    if loss.device != device:
        raise InvalidOutput(f"the loss of the training step is on {loss.device}, not on {device}")
    if loss.ndim or not loss.is_floating_point():
        dtype = str(loss.dtype).removeprefix("torch.")
        raise InvalidOutput(
            f"the training step returned {dtype} of shape {tuple(loss.shape)}; it must return the loss, a "
            "floating scalar"
        )


def make_inputs(
    input_shape: tuple[int, int, int],
    *,
    batch_size: int,
    device: torch.device,
    channels_last: bool = False,
    count: int = INPUT_BUFFERS,
    seed: int = 0,
) -> tuple[Tensor, ...]:
    """Return `count` batches of noise, float32 ``[B, C, H, W]``, the same at each call with the same seed and device.

    They are drawn on the device, piece by piece: 65,536 images of 224 pixels take 37 GiB, which the host may not have
    where the device has them, and in the other memory format a copy of the whole would take them twice.
    """
    generator = torch.Generator(device).manual_seed(seed)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    rows = max(1, _DRAWN_BYTES // (4 * math.prod(input_shape)))

    def draw() -> Tensor:
        shape = (batch_size, *input_shape)
        batch = torch.empty(shape, dtype=torch.float32, device=device, memory_format=layout)
        for part in torch.split(batch, rows):  # float32, whatever the default is
            part.copy_(torch.randn(part.shape, generator=generator, dtype=torch.float32, device=device))
        return batch

    return tuple(draw() for _ in range(count))


def make_labels(
    num_classes: int | None, *, batch_size: int, device: torch.device, count: int = INPUT_BUFFERS, seed: int = 0
) -> tuple[Tensor, ...]:
    """Return `count` batches of random labels, int64 ``[B]``; where K is not known all are 0, a class of every K."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch_size,)
    batches = (torch.randint(num_classes or 1, shape, generator=generator) for _ in range(count))
    return tuple(batch.to(device) for batch in batches)


def forward_of(model: nn.Module, autocast: Autocast) -> Callable[[Tensor], Tensor]:
    """Return a function that runs one forward pass on a batch ``[B, C, H, W]``, in the mode that the model is in."""

    def forward(images: Tensor) -> Tensor:
        with autocast():
            logits: Tensor = model(images)
        return logits

    return forward


def inference_step(
    model: nn.Module, inputs: Sequence[Tensor], autocast: Autocast = nullcontext, *, num_classes: int | None = None
) -> Step:
    """Return a function that runs one forward pass on the next input and returns the logits ``[B, K]``.

    It puts the model in eval mode; call it under `torch.inference_mode`. Its first call raises InvalidOutput as
    `check_output` does.
    """
    model.eval()
    forward = forward_of(model, autocast)
    buffers = cycle(inputs)
    unchecked = True

    def step() -> Tensor:
        nonlocal unchecked
        images = next(buffers)
        logits = forward(images)
        if unchecked:
            check_output(logits, images, num_classes)
            unchecked = False
        return logits

    return step


def plain_train_step(
    model: nn.Module,
    autocast: Autocast = nullcontext,
    *,
    num_classes: int | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> TrainStep:
    """Return the step of a model that no recipe speaks for: forward, cross-entropy, backward and fused AdamW.

    Its first call raises InvalidOutput as `check_output` does.

    Args:
        model: maps ``[B, C, H, W]`` to logits ``[B, K]``; it is on its device.
        autocast: makes the context of the forward pass and the loss.
        num_classes: K, where it is to be checked.
        scaler: scales the loss, as float16 needs; None: the loss is taken as it is.

    Raises:
        VitbenchError: the model has nothing to train.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise VitbenchError("none of the model's parameters requires a gradient, so it cannot be trained")
    fused = all(parameter.device.type in _FUSED and parameter.is_floating_point() for parameter in trainable)
    optimizer = torch.optim.AdamW(trainable, lr=LEARNING_RATE, fused=fused)
    unchecked = True

    def take(inputs: Tensor, labels: Tensor) -> Tensor:
        nonlocal scaler, unchecked
        if scaler is None:
            scaler = torch.amp.GradScaler(inputs.device.type, enabled=False)
        optimizer.zero_grad()
        with autocast():
            logits: Tensor = model(inputs)
            if unchecked:
                check_output(logits, inputs, num_classes, learns=True)
                unchecked = False
            loss = F.cross_entropy(logits, labels)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    return TrainStep(optimizer=optimizer, take=take)


def training_step(
    train: TrainStep,
    model: nn.Module,
    inputs: Sequence[Tensor],
    labels: Sequence[Tensor],
    *,
    num_classes: int | None = None,
) -> Step:
    """Return a function that takes a training step on the next inputs and labels, and returns its loss.

    It puts the model in train mode, and trains it, at learning rates so small that its weights stay as they are. Its
    first call raises InvalidOutput as `check_loss` does; and as `check_output` does where the step fails because the
    model's output is not a batch of logits.

    Args:
        train: the step, optimiser included.
        model: what it trains.
        inputs: batches ``[B, C, H, W]`` of one shape and device, which take turns.
        labels: int64 ``[B]`` of each.
        num_classes: K, where it is to be checked.
    """
    model.train()
    for group in train.optimizer.param_groups:
        group["lr"] = LEARNING_RATE
    batches = cycle(zip(inputs, labels, strict=True))
    unchecked = True

    def step() -> Tensor:
        nonlocal unchecked
        images, classes = next(batches)
        try:
            loss = train.take(images, classes)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception:
            if unchecked:
                _check_forward(model, images, num_classes)
            raise
        if unchecked:
            check_loss(loss, images.device)
            unchecked = False
        return loss.detach()

    return step


def _check_forward(model: nn.Module, images: Tensor, num_classes: int | None) -> None:
    """Raise InvalidOutput where a forward pass gives what cannot be learned from; one that fails says nothing."""
    try:
        with torch.enable_grad():
            output = model(images)
    except Exception:
        return
    check_output(output, images, num_classes, learns=True)


def synchronise(device: torch.device) -> None:
    """Wait until a device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def connect(device: torch.device) -> float:
    """Begin to use a device, and return the wall seconds that it took: on CUDA its driver and its context are made.

    To be called before anything else of this process touches the device; on the CPU there is nothing to do.
    """
    if device.type == "cpu":
        return 0.0
    started = time.perf_counter_ns()
    torch.zeros(1, device=device)  # the first kernel, too, loads what all others need
    synchronise(device)
    return (time.perf_counter_ns() - started) / 1e9


def seconds_of(call: Callable[[], object], device: torch.device) -> float:
    """Return the wall seconds of a call, from an idle device until the device has done all that the call gave it."""
    synchronise(device)
    start = time.perf_counter_ns()
    call()
    synchronise(device)
    return (time.perf_counter_ns() - start) / 1e9
