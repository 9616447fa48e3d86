"""Batches of cached images, without a DataLoader: the images are decoded already, and one gather makes a batch.

The data live on the GPU where they fit, after cifar10-airbench; else each batch is gathered from the memory map, for a
GPU by a thread, into pinned memory, while the step before is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from vitbench.errors import UsageError
from vitbench.protocols import Split
from vitbench.training.draws import Draws, derived_seed
from vitbench.training.setup import sent

Made = TypeVar("Made")

__all__ = ["Batch", "Resident", "batches", "padded", "resident", "shuffled", "steps_per_epoch"]

_RESIDENT_BYTES = 2 << 30
"""All of CIFAR at its own size is 0.15 GB; 2 GiB leave room for the model on a small GPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resident:
    """A split whose images are in the device's memory."""

    images: Tensor
    """uint8[N, C, H, W]"""
    labels: Tensor
    """int64[N]"""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Images to train on."""

    images: Tensor
    """uint8[B, C, H, W], on the device."""
    labels: Tensor
    """int64[B], on the device."""
    draws: Draws
    """The random numbers of each image, for its augmentation; on the CPU, whatever the device, so that no GPU is waited
    for where they decide what is done."""


def resident(split: Split, device: torch.device) -> Split | Resident:
    """Copy a split onto an accelerator if it takes at most 2 GiB there; else return it as it is."""
    bytes_needed = len(split) * split.images[:1].nbytes
    if device.type == "cpu" or bytes_needed > _RESIDENT_BYTES:
        return split
    images = torch.from_numpy(split.images[split.index]).to(device)
    return Resident(images=images, labels=torch.from_numpy(split.labels).to(device))


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Return how many batches a shuffled pass has: all full, or a single short one if there are too few images.

    Raises:
        UsageError: batch_size is below 1.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, not {batch_size}")
    return max(1, num_images // batch_size)


def batches(
    split: Split | Resident,
    *,
    batch_size: int,
    device: torch.device,
    generator: torch.Generator | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images uint8[B, C, H, W] and labels int64[B] on the device, once through the split.

    Without a generator: in order, every image, the last batch may be short. With one: shuffled by it, in full
    batches only, so that shapes stay fixed and batch normalisation never meets a single image; the remainder is
    another one in each pass. See `steps_per_epoch` for their number.

    Args:
        split: such as ``data.train``, or `resident` of it.
        batch_size: B.
        device: where the batches are wanted.
        generator: decides the order; on the split's device if that is a `Resident`, else on any.

    Raises:
        UsageError: batch_size is below 1, and the pass is shuffled.
    """
    count = len(split)
    if generator is None:
        order, end = torch.arange(count), count
    else:
        order = torch.randperm(count, generator=generator, device=generator.device)
        end = min(count, steps_per_epoch(count, batch_size) * batch_size)
    order = order.to(device if isinstance(split, Resident) else "cpu")
    for start in range(0, end, batch_size):
        yield _gather(split, order[start : min(start + batch_size, end)], device)


def padded(images: Tensor, batch_size: int) -> Tensor:
    """Return a short batch with its images repeated until there are `batch_size`; a full one as it is.

    A compiled model is compiled again for a batch of another size, which takes longer than a pass over most splits. The
    caller drops what the model gives for the repeated ones.

    Args:
        images: ``[B, ...]``, with B from 1 on.
        batch_size: of the batch that is returned, where B is less.
    """
    if len(images) >= batch_size:
        return images
    return images[torch.arange(batch_size, device=images.device) % len(images)]


def shuffled(
    split: Split | Resident,
    *,
    batch_size: int,
    device: torch.device,
    seed: int,
    epoch: int,
    start: int = 0,
    repeats: int = 1,
    weights: Tensor | None = None,
) -> Iterator[Batch]:
    """Yield the full batches of an epoch, in an order that the seed and the epoch decide; see `steps_per_epoch`.

    There is no generator state to save: an interrupted training run can resume at any step of any epoch with the same
    images and random numbers as without the interruption.

    Args:
        split: such as ``data.train``, or `resident` of it.
        batch_size: B.
        device: where the batches are wanted.
        seed: of the training.
        epoch: counted from 0.
        start: number of batches to skip.
        repeats: how often an image occurs in its batch, each time with its own draws (Hoffer et al. 2020, arXiv
            1901.09335). An epoch keeps its length: with n repeats, each image is used in one of n epochs.
        weights: float[N], how likely each image is drawn, with replacement; None: each image once.

    Raises:
        UsageError: batch_size or repeats is below 1, or the batch is smaller than the repeats.
    """
    if not 1 <= repeats <= batch_size:
        raise UsageError(f"repeats must be 1 to the batch size of {batch_size}, not {repeats}")
    count = len(split)
    order = _order(count, seed=seed, epoch=epoch, repeats=repeats, weights=weights)
    numbers = range(start, steps_per_epoch(count, batch_size))
    chosen = (tuple(part[number * batch_size : (number + 1) * batch_size] for part in order) for number in numbers)
    gathered: Iterator[tuple[Tensor, ...]]
    if isinstance(split, Resident):
        gathered = ((*_gather(split, sent(rows, device), device), rows, copies) for rows, copies in chosen)
    elif device.type == "cuda":
        gathered = ahead((*_pinned(split, rows), rows, copies) for rows, copies in chosen)
    else:
        gathered = ((*_gather(split, rows, device), rows, copies) for rows, copies in chosen)
    for images, labels, rows, copies in gathered:
        draws = Draws(seed, epoch, rows, copies)
        yield Batch(images=sent(images, device), labels=sent(labels, device), draws=draws)


def ahead(items: Iterable[Made]) -> Iterator[Made]:
    """Yield items in their order, each made by a thread while the one before is in use; an error comes in its turn."""
    source = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, source, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, source, None)
            yield item


def _order(count: int, *, seed: int, epoch: int, repeats: int, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the images of an epoch as int64[count] rows, and which repetition of its image each one is."""
    cycle, part = divmod(epoch, repeats)
    generator = torch.Generator().manual_seed(derived_seed(seed, "order", cycle))
    if weights is None:
        order = torch.randperm(count, generator=generator)
    else:
        order = torch.multinomial(weights.double().cpu(), count, replacement=True, generator=generator)
    slots = torch.arange(count)
    seen = torch.zeros_like(slots)
    if weights is not None:  # an image that is drawn again has draws of its own each time
        drawn, by = order.sort(stable=True)
        seen[by] = slots - torch.searchsorted(drawn, drawn)
    # One order serves `repeats` epochs: each takes its share of the images, several times one after the other.
    place = (part * -(-count // repeats) + slots // repeats) % count
    return order[place], seen[place] * repeats + slots % repeats


def _pinned(split: Split, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return a batch in pinned memory, from which a GPU copies by itself."""
    images, labels = _gather(split, rows, torch.device("cpu"))
    return images.pin_memory(), labels.pin_memory()


def _gather(split: Split | Resident, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    if isinstance(split, Resident):
        return split.images[rows], split.labels[rows]
    chosen = rows.numpy()
    images = torch.from_numpy(split.images[split.index[chosen]])
    labels = torch.from_numpy(split.labels[chosen])
    return sent(images, device), sent(labels, device)
