"""Training as vitbench's recipes do it, and as a plain PyTorch loop does it; run by live workers in turn.

Both train the same model on the same random uint8 images of CIFAR's size, in batches that are shuffled, cropped with
padding, mirrored and normalised, with AdamW and cross-entropy in float32. The plain loop is what most people write:
torchvision's transforms on single images in a DataLoader, an eager model, torch's default AdamW. The other loop is
built from the pieces of `vitbench.training`: augmentation by batch, a fused AdamW, and channels-last for convolutional
networks, as with ``--channels-last``; it also clips gradients and watches the loss, as recipes do.

One call of a block is a pass over a small training set, so that the workers of a DataLoader do nothing between blocks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from vitbench.catalog import load_catalog
from vitbench.lockstep.process import Order, Ran, Side
from vitbench.protocols import Budget, FitRun, Split
from vitbench.records import SpeedCell
from vitbench.specs import Preprocess
from vitbench.training import (
    Augmentation,
    MeanLoss,
    decay_groups,
    grad_scaler,
    on_device,
    preprocess,
    shuffled,
    train_step,
)
from vitbench.worker.build import build_model
from vitbench.worker.runtime import steady_allocator

NUM_CLASSES = 10
SIDE = 32
MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)
LR, WEIGHT_DECAY = 1e-3, 0.01  # AdamW's defaults

Block = Callable[[int], Ran]


class Subject(NamedTuple):
    """A model, and how much of it a call is."""

    options: dict[str, object]
    batch_size: int
    batches: int
    """In a call."""
    channels_last: bool = False
    """Whether our side trains in this memory format."""


SUBJECTS = {
    "linear": Subject({}, 128, 32),
    "small-cnn": Subject({}, 128, 8, channels_last=True),
    "scratch/resnet18:width=16": Subject(
        {"width": 16, "drop_path": 0.0, "checkpoint": "", "head": "own"}, 64, 4, channels_last=True
    ),
    "scratch/resnet18": Subject(
        {"width": 64, "drop_path": 0.0, "checkpoint": "", "head": "own"}, 32, 2, channels_last=True
    ),
    "scratch/vit": Subject(
        {
            "patch_size": 4,
            "depth": 6,
            "width": 192,
            "heads": 6,
            "mlp_ratio": 2.0,
            "dropout": 0.0,
            "drop_path": 0.0,
            "checkpoint": "",
            "head": "own",
        },
        64,
        2,
    ),
}


def side(name: str, target: str, label: str, *, threads: int = 1) -> Side:
    """Return a side of a comparison: a subject, trained by a block maker of this file."""
    import factories

    subject = SUBJECTS[name]
    planned = factories.speed_cell(
        options=subject.options,
        batch_size=subject.batch_size * subject.batches,  # images of a call
        mode="training",
        in_channels=3,
        threads=threads,
    )
    cell = msgspec.structs.replace(planned.cell, model=name, input_shape=(3, SIDE, SIDE))
    folders = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return Side(
        planned=msgspec.structs.replace(planned, cell=cell, image_size=(SIDE, SIDE)),
        label=label,
        environment={"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(folders)},
        target=f"training_loops:{target}",
    )


@contextmanager
def plain(order: Order) -> Iterator[Block]:
    """Train in a plain loop that prepares its images itself."""
    yield _plain(order, workers=0)


@contextmanager
def plain_with_workers(order: Order) -> Iterator[Block]:
    """Train in a plain loop whose images two processes prepare."""
    yield _plain(order, workers=2)


@contextmanager
def by_batch(order: Order) -> Iterator[Block]:
    """Train as a recipe does."""
    model, subject, images, labels = _material(order)
    run = FitRun(
        device=torch.device("cpu"),
        precision="float32",
        seed=0,
        budget=Budget(),
        options={},
        log=lambda **_: None,
        channels_last=subject.channels_last,
    )
    _, net = on_device(model.train(), run)
    optimizer = torch.optim.AdamW(decay_groups(net, WEIGHT_DECAY), lr=LR, fused=True)
    split = Split(images=images, index=np.arange(len(images)), labels=labels)
    how, augmentation = Preprocess(mean=MEAN, std=STD), Augmentation(crop="padded", flip=True)
    epoch = 0

    def block(calls: int) -> Ran:
        nonlocal epoch
        start = time.perf_counter()
        for _ in range(calls):
            mean_loss = MeanLoss(first_step=1)
            batches = shuffled(split, batch_size=subject.batch_size, device=run.device, seed=0, epoch=epoch)
            for batch in augmentation.batches(batches, image_size=(SIDE, SIDE)):
                inputs = preprocess(batch.images, how, image_size=(SIDE, SIDE), in_channels=3)
                loss = train_step(
                    net, inputs, batch.labels, optimizer=optimizer, scaler=grad_scaler(run), run=run, clip_norm=1.0
                )
                mean_loss.add(loss)
            epoch += 1
        return Ran(seconds=time.perf_counter() - start)

    yield block


def _plain(order: Order, *, workers: int) -> Block:
    model, subject, images, labels = _material(order)
    transform = transforms.Compose(
        [
            transforms.RandomCrop(SIDE, padding=SIDE // 8, padding_mode="reflect"),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    loader = DataLoader(
        Images(images, labels, transform),
        batch_size=subject.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    for _ in loader:  # its processes start before there are threads
        pass
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)

    def block(calls: int) -> Ran:
        start = time.perf_counter()
        for _ in range(calls):
            total = 0.0
            for inputs, targets in loader:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(inputs), targets)
                loss.backward()
                optimizer.step()
                total += loss.item()
        return Ran(seconds=time.perf_counter() - start)

    return block


class Images(Dataset[tuple[torch.Tensor, int]]):
    """Decoded images as torchvision's datasets give them: from pictures, one by one."""

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, transform: Callable[[Image.Image], torch.Tensor]
    ) -> None:
        self.images, self.labels, self.transform = images.transpose(0, 2, 3, 1).copy(), labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def _material(order: Order) -> tuple[nn.Module, Subject, np.ndarray, np.ndarray]:
    """Return the model, what it is, and uint8 images with labels for one call."""
    cell = order.planned.cell
    assert isinstance(cell, SpeedCell)
    torch.set_num_threads(cell.threads)
    torch.manual_seed(0)
    steady_allocator()
    subject = SUBJECTS[cell.model]
    rng = np.random.default_rng(0)
    count = subject.batch_size * subject.batches
    images = rng.integers(0, 256, (count, 3, SIDE, SIDE), dtype=np.uint8)
    labels = rng.integers(0, NUM_CLASSES, count)
    if cell.model == "linear":
        model: nn.Module = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, NUM_CLASSES))
    elif cell.model == "small-cnn":
        model = _small_cnn()
    else:
        spec = load_catalog(order.plugins).member(cell.model.partition(":")[0])
        model = build_model(order.planned, spec, NUM_CLASSES)
    return model, subject, images, labels


def _small_cnn() -> nn.Module:
    """Three convolutions of 16 to 64 channels."""
    layers: list[nn.Module] = []
    for given, wanted in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(given, wanted, 3, padding=1), nn.BatchNorm2d(wanted), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, NUM_CLASSES))
