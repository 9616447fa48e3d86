"""What training does on a GPU: the same numbers as on the CPU, and no wait for the device within an epoch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from vitbench.measuring.reference import make_reference
from vitbench.protocols import Split
from vitbench.specs import Preprocess
from vitbench.training import preprocess
from vitbench.training.draws import Draws
from vitbench.training.loading import Batch, resident, shuffled
from vitbench.training.resizing import agrees

CPU = torch.device("cpu")
IMAGES = 37


@pytest.fixture
def split() -> Split:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2 * IMAGES, 3, 8, 8), dtype=np.uint8)
    return Split(images=images, index=random.permutation(2 * IMAGES)[:IMAGES], labels=np.arange(IMAGES))


@contextmanager
def no_waiting(device: torch.device) -> Iterator[None]:
    """Let everything fail that makes the host wait for the device (torch's own check)."""
    if device.type == "cuda":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is a prototype
            torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")


def of_batches(batches: Iterator[Batch]) -> list[list[list[float]]]:
    """Return what batches hold, as numbers of the host."""
    return [
        [part.flatten().tolist() for part in (one.images.float(), one.labels, one.draws.uniform("crop", 2))]
        for one in batches
    ]


def test_the_numbers_of_an_image_are_the_same_everywhere(device: torch.device) -> None:
    index = torch.tensor([0, 1, 7, 2**31, 2**39])
    copy = torch.tensor([0, 1, 2, 3, 4])
    ours, theirs = (Draws(12345, 7, index.to(place), copy.to(place)) for place in (device, CPU))
    assert torch.equal(ours.uniform("crop", 3, 2).cpu(), theirs.uniform("crop", 3, 2))
    assert torch.equal(ours.integers("angle", -5, 6, 4).cpu(), theirs.integers("angle", -5, 6, 4))
    assert torch.equal(ours.chance("flip", 0.5).cpu(), theirs.chance("flip", 0.5))


def test_batches_are_the_same_wherever_the_images_lie(device: torch.device, split: Split) -> None:
    def epoch(place: torch.device, *, lies_there: bool) -> list[list[list[float]]]:
        source = resident(split, place) if lies_there else split
        return of_batches(shuffled(source, batch_size=8, device=place, seed=3, epoch=2, repeats=2))

    expected = epoch(CPU, lies_there=False)
    assert epoch(device, lies_there=False) == expected
    assert epoch(device, lies_there=True) == expected


def test_an_epoch_of_resident_images_never_waits_for_the_device(device: torch.device, split: Split) -> None:
    batches = shuffled(resident(split, device), batch_size=8, device=device, seed=3, epoch=0)
    next(batches)  # the order of the epoch is copied once
    with no_waiting(device):
        for batch in batches:
            batch.draws.uniform("crop", 2)
            batch.draws.integers("angle", -5, 6)


def test_a_training_step_never_waits_for_the_device(device: torch.device) -> None:
    step = make_reference("training", device).step
    for _ in range(2):
        step()
    with no_waiting(device):
        step()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_images_are_resized_as_on_the_host(device: torch.device, interpolation: str) -> None:
    if device.type == "mps":
        pytest.skip("no float64")
    assert agrees((32, 32), (224, 224), interpolation, device)
    assert agrees((256, 256), (224, 224), interpolation, device)
    images = torch.randint(0, 256, (5, 3, 11, 14), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    how = Preprocess(mean=(0.5,), std=(0.25,), interpolation=interpolation)  # type: ignore[arg-type]
    expected = preprocess(images, how, image_size=(32, 32), in_channels=3)
    found = preprocess(images.to(device), how, image_size=(32, 32), in_channels=3)
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-6)
    there = images.to(device)
    with no_waiting(device):
        preprocess(there, how, image_size=(32, 32), in_channels=3)
