"""Predict masked patches without labels, then learn the labels: the ViT paper's self-supervision, and its successor.

`target = "colours"` with `encoder = "all"` is masked patch prediction as in the ViT paper (arXiv 2010.11929, appendix
B.1.2): +2 points over training from scratch there, on ImageNet after pretraining on 300 M images; no figure for CIFAR.
`target = "pixels"` with `encoder = "visible"` and `mask = 0.75` is the masked autoencoder (He et al. 2021, arXiv
2111.06377): a ViT 192x12 with patch 2 is said to go from 73.8 to 84.4 % on CIFAR-10 by 300 passes of it, from a start
that was trained without augmentation and chosen on the test set.

Pretraining sees all training images and no label. Fine-tuning is the recipe `supervised` on the images that have one,
to the letter: it gets the pretrained model for its initial values.

Shapes: B images, n patches, m of them masked, P outputs for each.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from vitbench.protocols import FitRun, Split, TrainVal
from vitbench.training import (
    BestEpoch,
    EpochClock,
    MeanLoss,
    TrainingLength,
    TrainingState,
    decay_groups,
    derived_seed,
    descend,
    grad_scaler,
    labelled,
    named_optimizer,
    on_device,
    preprocess,
    pretraining_steps,
    resident,
    set_lr,
    shuffled,
    steps_per_epoch,
    total_steps,
    warmup_cosine,
    with_progress,
)

from . import supervised
from .masked_task import Task
from .reconstruction import COLOURS, COUNT, ENCODER, KEPT, Reconstruction


def fit(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Pretrain the model on ``data.train`` without labels, fine-tune it, and return what `supervised` returns.

    Raises:
        UsageError: an option is out of its range, does not go with another, or leaves a class without a label; or the
            model has no tokens of patches.
        UnusableError: the optimiser is not installed.
        DivergedError: the loss is no longer finite.
    """
    BestEpoch(model, keep=run.options["keep"], patience=run.options["patience"])  # refuses them now, not an hour later
    first, second = phases(data, run)
    found = run.resume()
    if found is None or found[0] < first:
        pretraining_run = replace(run, budget=replace(run.budget, steps=first), resume=lambda: found)
        seconds = pretrain(model, data, pretraining_run) if first else 0.0
        found = None
    else:
        seconds = found[1]["pretraining_seconds"]

    def save(step: int, state: Any) -> None:
        run.save(first + step, {**state, "pretraining_seconds": seconds})

    def log(*, train_seconds: float | None = None, **row: Any) -> None:
        run.log(**row, **({} if train_seconds is None else {"train_seconds": seconds + train_seconds}))

    resumed = None if found is None else (found[0] - first, found[1])
    budget = replace(run.budget, steps=second)
    return supervised.fit(model, data, replace(run, budget=budget, resume=lambda: resumed, save=save, log=log))


def phases(data: TrainVal, run: FitRun) -> tuple[int, int]:
    """Return the steps of pretraining and of fine-tuning; a budget below their sum shortens both alike.

    Raises:
        UsageError: a length is below one, or a class of the training images has no label.
    """
    batch_size = run.options["batch_size"]
    with_labels = labelled(data.train, run.options["labels"])
    first = pretraining_steps(run, len(data.train), batch_size)
    own = total_steps(replace(run, budget=replace(run.budget, steps=None)), len(with_labels), batch_size)
    most = first + own if run.budget.steps is None else min(first + own, run.budget.steps)
    first = first * most // (first + own)
    return first, most - first


def pretrain(model: nn.Module, data: TrainVal, run: FitRun) -> float:
    """Train the model to predict masked patches of ``data.train``; return the seconds that its steps took.

    Args:
        model: changed in place, and moved to the run's device.
        data: its labels are not read.
        run: its budget has the steps of this phase.

    Raises:
        UsageError, UnusableError, DivergedError: as `fit`.
    """
    options, batch_size = run.options, run.options["batch_size"]
    ours = {**options, "epochs": options["pretrain_epochs"], "steps": options["pretrain_steps"]}
    length = TrainingLength(replace(run, options=ours), len(data.train), batch_size)
    steps, warmup = steps_per_epoch(len(data.train), batch_size), round(options["warmup"] * length.total)
    seed = derived_seed(run.seed, "pretraining")
    augmented = partial(supervised.augmentation_of(options, data).batches, image_size=data.image_size)

    model = model.to(run.device)
    task = Task.of(model, data, run)
    whole, net = on_device(
        Reconstruction(
            model,
            task.layout,
            outputs=task.outputs,
            visible=options["encoder"] == "visible",
            decoder_width=options["decoder_width"],
            decoder_depth=options["decoder_depth"],
        ),
        run,
    )
    optimizer = named_optimizer(
        options["optimizer"],
        decay_groups(whole, options["weight_decay"]),
        lr=options["pretrain_lr"],
        precision=run.precision,
    )
    macs, scaler, clock = task.macs(whole), grad_scaler(run), EpochClock(run.device)
    losses = MeanLoss(scaler=scaler)
    train, val = (resident(unlabelled(split), run.device) for split in (data.train, data.val))
    state = TrainingState(run, model=whole, optimizer=optimizer, losses=losses, clock=clock, scaler=scaler)

    done = state.restore()
    for epoch in range(done // steps, length.epochs):
        net.train()
        start = done % steps
        shown = shuffled(train, batch_size=batch_size, device=run.device, seed=seed, epoch=epoch, start=start)
        wanted = length.within(clock.watch(shown, augmented), done)
        for batch in with_progress(wanted, run, epoch=epoch, epochs=length.epochs, steps=steps, start=start):
            state.save(done)
            inputs = preprocess(batch.images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
            hidden = task.corruption(batch.draws.to(run.device))
            goals = task.goals(inputs, hidden)
            lr = options["pretrain_lr"] * warmup_cosine(done, total_steps=length.total, warmup_steps=warmup)
            set_lr(optimizer, lr)
            parts = -(-len(inputs) // options["micro_batch"]) if options["micro_batch"] else 1
            loss = descend(
                task.losses(net, inputs, hidden, goals, run, parts=parts),
                optimizer=optimizer,
                scaler=scaler,
                clip_norm=options["clip_norm"],
                own_gradients=parts > 1 and run.compile == "reduce-overhead",
            )
            losses.add(loss)
            done += 1
        times = clock.lap()
        seconds = times.pop("train_seconds")
        row = {"loss": losses.mean(), "lr": lr, "macs_per_image": macs, **times}
        row |= task.judged(whole, val, run, batch_size=batch_size)
        named = {f"pretrain_{name}": value for name, value in row.items()}
        run.log(epoch=epoch + 1, epochs=length.epochs, train_seconds=seconds, **named)
    about = {COUNT: torch.tensor(task.count), COLOURS: torch.tensor(task.colours)}
    run.keep(KEPT, {**whole.beside(), **about})
    run.keep(ENCODER, model.state_dict())  # fine-tuning changes it, and the head and the decoder fit this one
    return seconds


def unlabelled(split: Split) -> Split:
    """Return the images of a split without its labels: zeros stand for them."""
    return replace(split, labels=np.zeros(len(split), np.int64))
