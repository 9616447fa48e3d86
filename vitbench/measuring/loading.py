"""How fast images come, without a model and through one: a fast model is of no use behind a slow road.

The road is that of an evaluation: gather from the cache, copy to the device, preprocess. It runs in the calling thread,
so the second figure shows what loading costs on top of the forward pass.

Shapes: B images in a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitbench.measuring.evidence import disturbances, observe
from vitbench.measuring.noise import noise_reasons
from vitbench.measuring.steps import seconds_of
from vitbench.protocols import Loading

__all__ = ["measure_loading"]

ENOUGH_SECONDS = 0.4
"""So little that the evaluation of a small set takes no longer for it."""
FEW_BATCHES = 3
"""A slow model ends with this many batches of each kind."""
MOST_BATCHES = 50
PARTS = 5
"""Single batches of a few milliseconds scatter; the means of this many parts of them are judged, as blocks are."""


def measure_loading(
    load: Callable[[NDArray[np.int64]], Tensor],
    forward: Callable[[Tensor], Tensor],
    *,
    count: int,
    batch_size: int,
    device: torch.device,
) -> Loading:
    """Time full batches from the cache on, in turn without and with the forward pass; the first of each is dropped.

    Args:
        load: gives the preprocessed images float32 ``[B, C, H, W]`` of some rows, on the device. The rows have been
            read before, so that they come from the system's page cache and not from a disk.
        forward: maps them to logits ``[B, K]``; the caller sets eval mode and inference mode.
        count: rows that there are; fewer than are timed are gone through again.
        batch_size: B.
        device: of the images and of the model.
    """

    works = {"without the model": load, "through the model": lambda rows: forward(load(rows))}

    def seconds(number: int) -> tuple[float, ...]:
        rows = np.arange(number * batch_size, (number + 1) * batch_size) % count
        return tuple(seconds_of(partial(work, rows), device) for work in works.values())

    seconds(0)
    times: list[tuple[float, ...]] = []
    start = observe(device)
    end_at = time.perf_counter() + ENOUGH_SECONDS
    while len(times) < FEW_BATCHES or (len(times) < MOST_BATCHES and time.perf_counter() < end_at):
        times.append(seconds(1 + len(times)))
    end = observe(device)
    data, end_to_end = zip(*times, strict=True)
    warnings, errors = disturbances(start, end, threads=torch.get_num_threads(), on_cpu=device.type == "cpu")
    for name, batch_seconds in zip(works, (data, end_to_end), strict=True):
        noisy, useless = noise_reasons(_parts(batch_seconds))
        warnings += [f"{name}: {reason}" for reason in noisy]
        errors += [f"{name}: {reason}" for reason in useless]
    return Loading(
        batch_size=batch_size,
        data_seconds=data,
        end_to_end_seconds=end_to_end,
        warnings=tuple(warnings),
        errors=tuple(errors),
    )


def _parts(seconds: Sequence[float]) -> list[float]:
    return [float(np.mean(part)) for part in np.array_split(seconds, min(PARTS, len(seconds)))]
