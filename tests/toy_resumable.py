"""A recipe that can go on after a kill, as small as one can be that has everything: a plugin file, and for unit tests.

Dropout, momentum, an average of the weights, a generator of its own, and draws of Python's and NumPy's generators.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import vitbench
from vitbench.protocols import FitRun, TrainVal
from vitbench.training import (
    MeanLoss,
    TrainingState,
    evaluate_top1,
    grad_scaler,
    preprocess,
    shuffled,
    steps_per_epoch,
    train_step,
)

EPOCHS, BATCH = 4, 16


class Average(nn.Module):
    """The exponential average of a model's weights."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        for own, new in zip(self.model.parameters(), model.parameters(), strict=True):
            own.lerp_(new, 0.1)


def fit(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Train all weights, and return their average."""
    net = model.to(run.device)
    run = dataclasses.replace(run, save_seconds=0.0)
    steps = steps_per_epoch(len(data.train), BATCH)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    scaler, average = grad_scaler(run), Average(net)
    own = torch.Generator().manual_seed(run.seed)
    losses = MeanLoss(scaler=scaler)
    state = TrainingState(
        run, model=net, optimizer=optimizer, scaler=scaler, average=average, own=own, losses=losses, absent=None
    )
    done = state.restore()
    for epoch in range(done // steps, EPOCHS):
        net.train()
        todo = shuffled(data.train, batch_size=BATCH, device=run.device, seed=run.seed, epoch=epoch, start=done % steps)
        for batch in todo:
            state.save(done)
            _fault(done)
            inputs = preprocess(batch.images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
            noise = torch.rand(inputs.shape, generator=own) + random.random() + np.random.rand()
            inputs = F.dropout(inputs + 0.1 * noise)
            losses.add(
                train_step(net, inputs, batch.labels, optimizer=optimizer, scaler=scaler, run=run, clip_norm=1.0)
            )
            average.update(net)
            done += 1
        loss, val_top1 = losses.mean(), evaluate_top1(net, data, data.val, run, batch_size=BATCH)
        run.log(epoch=epoch + 1, epochs=EPOCHS, loss=loss, val_top1=val_top1)
    return average.model


def _fault(step: int) -> None:
    """Where the environment says so, tell at a step how far it is, and wait to be killed."""
    if os.environ.get("TOY_WAITS_AT") == str(step):
        Path(os.environ["TOY_SIGN"]).write_text(str(os.getpid()))
        time.sleep(600)


@vitbench.hookimpl
def vitbench_recipes() -> Any:
    """Give the recipe."""
    return [vitbench.RecipeSpec(name="resumable", fit=fit, summary="For tests")]
