"""Train a model from scratch on labelled images.

The defaults follow aanna0701/SPT_LSA_ViT, the baseline of Lee et al. 2021 (arXiv 2112.13492), less its mixing of
images: AdamW 1e-3, weight decay 0.05, batch 128, 100 epochs, 10 of them warm-up, label smoothing 0.1. There, with
CutMix, Mixup, AutoAugment and random erasing on top, a ViT of 2.7 M parameters reaches 93.6 / 73.8 % on CIFAR-10 / 100.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from vitbench.protocols import FitRun, TrainStep, TrainVal
from vitbench.training import (
    MeanLoss,
    augment,
    batches,
    decay_groups,
    evaluate_top1,
    grad_scaler,
    on_device,
    preprocess,
    resident,
    set_lr,
    steps_per_epoch,
    total_steps,
    train_step,
    warmup_cosine,
    with_progress,
)


def step(model: nn.Module, run: FitRun) -> TrainStep:
    """Return what `fit` does at each step: AdamW on a smoothed loss, with clipped gradients."""
    options = run.options
    optimizer = torch.optim.AdamW(decay_groups(model, options["weight_decay"]), lr=options["lr"], fused=True)
    take = partial(
        train_step,
        model,
        optimizer=optimizer,
        scaler=grad_scaler(run),
        run=run,
        label_smoothing=options["label_smoothing"],
        clip_norm=options["clip_norm"],
    )
    return TrainStep(optimizer=optimizer, take=take)


def fit(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Train the model on ``data.train`` and return it as it is after the last step.

    Raises:
        UsageError: epochs or batch_size below 1.
        DivergedError: the loss is no longer finite.
    """
    options, batch_size = run.options, run.options["batch_size"]
    augmentations = data.augmentations if options["augment"] else ()
    steps = steps_per_epoch(len(data.train), batch_size)
    total = total_steps(run, len(data.train), batch_size)
    epochs = total // steps
    warmup = round(options["warmup"] * total)

    model, net = on_device(model, run)
    training = step(net, run)
    generator = torch.Generator(run.device).manual_seed(run.seed)
    train, val = resident(data.train, run.device), resident(data.val, run.device)

    for epoch in range(epochs):
        net.train()
        mean_loss = MeanLoss(first_step=epoch * steps + 1)
        shuffled = batches(train, batch_size=batch_size, device=run.device, generator=generator)
        watched = with_progress(shuffled, run, epoch=epoch, epochs=epochs, steps=steps)
        for number, (images, labels) in enumerate(watched, start=epoch * steps):
            images = augment(images, augmentations, generator)
            inputs = preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
            lr = options["lr"] * warmup_cosine(number, total_steps=total, warmup_steps=warmup)
            set_lr(training.optimizer, lr)
            mean_loss.add(training.take(inputs, labels))
        loss, val_top1 = mean_loss.mean(), evaluate_top1(net, data, val, run, batch_size=batch_size)
        run.log(epoch=epoch + 1, epochs=epochs, loss=loss, lr=lr, val_top1=val_top1)
    return model
