"""Audits of a model that has just been evaluated: may its predictions be relied on?

Each runs the model again on a small part of the set and looks for something that a sound model does not do: predict
otherwise the second time, train, change its buffers, draw random numbers, or remember what it has seen.

Shapes: B images in a batch, N images in all, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitbench.measuring.numerics import centred, rounding
from vitbench.measuring.predictions import predict
from vitbench.measuring.steps import Autocast, forward_of
from vitbench.measuring.timing import FRESH_INPUTS, fresh_input_reasons

__all__ = ["AUDIT_IMAGES", "audit"]

AUDIT_IMAGES = 128
"""Images that are enough for an audit: a fault that touches one image in fifty is missed once in thirteen audits."""
AUDIT_BATCHES = 8 / 3
"""Batches of the second pass, the last one shorter. They are 48 images, which no first pass has, and fewer of a small
set, so that the images always have other neighbours."""
AUDIT_TOLERANCE = 0.02
"""Share of the largest logit, less what an image's logits have in common, by which two classes must differ before their
order counts; of the images the median. Kernels for other batch sizes add in another order, and in bfloat16, of eight
bits, classes nearer than this may swap by rounding alone."""
TIMED_IMAGES = 4
"""Batch size for the times of seen and of fresh inputs."""
FRESH_NOISE = 1e-3
"""Noise that makes an image one that was never seen, in standard deviations of the normalised pixels."""

Images = Callable[[NDArray[np.int64]], Tensor]


def audit(
    model: nn.Module,
    rows: NDArray[np.int64],
    logits: Tensor,
    images: Images,
    *,
    autocast: Autocast = nullcontext,
    precision: str = "float32",
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Look for what makes the predictions of a model unreliable.

    Args:
        model: as the first pass left it.
        rows: int64 ``[N]``, the images to run again, in another order than in the first pass or in one batch of it.
        logits: ``[N, K]``, what this very model, no variant of it, gave for these rows in the first pass; finite.
        images: gives the preprocessed images ``[B, C, H, W]`` of some rows, on the model's device.
        autocast: makes the context of each forward pass, as in the first.
        precision: what the model computes in: by so much may rounding change a logit.

    Returns:
        Faults, which make every figure of the predictions invalid, and warnings: one sentence each.

    Raises:
        InvalidOutput: another batch size gives something that is no logits.
    """
    size = max(1, int(len(rows) / AUDIT_BATCHES))

    def again() -> Tensor:
        starts = range(0, len(rows), size)
        return predict(model, (images(rows[start : start + size]) for start in starts), autocast=autocast)

    training = [name or type(module).__name__ for name, module in model.named_modules() if module.training]
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    second, drew = _watching_generators(again, images(rows[:1]).device)
    faults = [
        *(f"{name} was in training mode during evaluation" for name in training[:1]),
        *_second_pass(logits, second, again, precision),
        *_changed_buffers(model, buffers),
        *_remembers(model, images(rows[:TIMED_IMAGES]), autocast),
    ]
    return tuple(faults), ("evaluation used or reset torch's random number generator",) if drew else ()


def _second_pass(first: Tensor, second: Tensor, again: Callable[[], Tensor], precision: str) -> list[str]:
    """Compare with a pass in another order and batch size; two more, both alike, tell chance from dependence."""
    broken = int((~second.isfinite()).any(dim=1).sum())
    if broken:
        return [f"{broken} of {len(first)} images have a logit that is not finite in a second pass"]
    differ = _swapped(first, second, precision)
    if not differ:
        return []
    chance = _swapped(again(), again(), precision)
    cause = "not deterministic" if chance else "dependent on the order of the images or on the batch size"
    return [f"predictions are {cause}: {differ} of {len(first)} images got a different class in a second pass"]


def _swapped(first: Tensor, second: Tensor, precision: str) -> int:
    """Return how many rows have another top class, beyond what rounding explains."""
    top_first, top_second = first.argmax(dim=1), second.argmax(dim=1)
    margin = (first.gather(1, top_first[:, None]) - first.gather(1, top_second[:, None]))[:, 0]
    # An offset that all classes share tells none of them apart, and counts by its rounding alone.
    spread = float(centred(first).abs().amax(dim=1).median())
    return int((margin > AUDIT_TOLERANCE * spread + rounding(first, precision)).sum())


def _changed_buffers(model: nn.Module, before: dict[str, Tensor]) -> list[str]:
    changed = [name for name, buffer in model.named_buffers() if not torch.equal(buffer, before[name])]
    return [f"evaluation changed the buffer {name}" for name in changed[:1]]


def _watching_generators(run: Callable[[], Tensor], device: torch.device) -> tuple[Tensor, bool]:
    """Return what `run` gives, and whether it moved torch's generators, which are left as they were."""
    cuda = [device] if device.type == "cuda" else []

    def states() -> list[Tensor]:
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(one) for one in cuda)]

    with torch.random.fork_rng(devices=cuda):
        # One number on, so that a model which sets a seed at each call does not come upon the state that it left.
        for one in (torch.device("cpu"), *cuda):
            torch.rand(1, device=one)
        before = states()
        result = run()
        moved = any(not torch.equal(*pair) for pair in zip(before, states(), strict=True))
    return result, moved


def _remembers(model: nn.Module, images: Tensor, autocast: Autocast) -> list[str]:
    """Time the same images again and again, in turn with images that the model has never seen."""
    generator = torch.Generator(images.device).manual_seed(0)
    noise = (torch.empty_like(images).normal_(generator=generator) for _ in range(FRESH_INPUTS))
    fresh = (images + FRESH_NOISE * one for one in noise)
    with torch.inference_mode():
        return fresh_input_reasons(forward_of(model, autocast), [images], fresh, images.device)
