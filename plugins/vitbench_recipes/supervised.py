"""Train a model from scratch on labelled images, strongly.

The defaults follow aanna0701/SPT_LSA_ViT, the baseline of Lee et al. 2021 (arXiv 2112.13492): AdamW 1e-3, weight decay
0.05, batch 128, 100 epochs, 10 of them warm-up, label smoothing 0.1, Mixup, CutMix, AutoAugment and random erasing.
With these and stochastic depth, which is an option of the model, a ViT of 2.7 M parameters reaches 93.6 / 73.8 % on
CIFAR-10 / 100. The average of the weights comes on top.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from vitbench.protocols import FitRun, TrainStep, TrainVal
from vitbench.training import (
    Augmentation,
    BestEpoch,
    EpochClock,
    MeanLoss,
    TrainingLength,
    TrainingState,
    WeightAverage,
    class_weights,
    decay_groups,
    evaluate_top1,
    grad_scaler,
    labelled,
    named_optimizer,
    on_device,
    preprocess,
    resident,
    set_lr,
    shuffled,
    steps_per_epoch,
    train_step,
    warmup_cosine,
    with_progress,
)

from .final import final_data

RESIZED_FROM = 64
"""Shorter side of the input in pixels from which ``crop = "auto"`` means crops of any scale, as for photographs."""


def step(model: nn.Module, run: FitRun, per_class: Tensor | None = None) -> TrainStep:
    """Return what `fit` does at each step: the optimiser on a smoothed loss, and the average of the weights.

    Args:
        model: as it is to be called.
        run: its options.
        per_class: float32[K], the weight of each class in the loss; None: all are equal.
    """
    options = run.options
    groups = decay_groups(model, options["weight_decay"])
    optimizer = named_optimizer(options["optimizer"], groups, lr=options["lr"], precision=run.precision)
    scaler, average = grad_scaler(run), WeightAverage(model, options["ema"])

    def take(inputs: Tensor, targets: Tensor) -> Tensor:
        loss = train_step(
            model,
            inputs,
            targets,
            optimizer=optimizer,
            scaler=scaler,
            run=run,
            label_smoothing=options["label_smoothing"],
            class_weights=per_class,
            clip_norm=options["clip_norm"],
            micro_batch=options["micro_batch"],
        )
        average.update()
        return loss

    return TrainStep(optimizer=optimizer, take=take, parts={"scaler": scaler, "average": average})


def fit(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Train the model on the labelled images of ``data.train`` and return it with the average of its weights.

    Raises:
        UsageError: an option is out of its range, does not go with another, or leaves a class without a label.
        UnusableError: the optimiser is not installed.
        DivergedError: the loss is no longer finite.
    """
    options, batch_size = run.options, run.options["batch_size"]
    data = final_data(data, run)
    data = replace(data, train=labelled(data.train, options["labels"]))
    steps = steps_per_epoch(len(data.train), batch_size)
    length = TrainingLength(run, len(data.train), batch_size)
    warmup = round(options["warmup"] * length.total)
    augmentation = augmentation_of(options, data)
    augmented = partial(augmentation.batches, image_size=data.image_size)
    per_class = class_weights(data.train.labels, data.num_classes)

    model, net = on_device(model, run)
    training = step(net, run, per_class.to(run.device) if options["balance"] == "loss" else None)
    average, losses = training.parts["average"], MeanLoss(scaler=training.parts["scaler"])
    best = BestEpoch(model, keep=options["keep"], patience=options["patience"])
    clock = EpochClock(run.device)
    train, val = resident(data.train, run.device), resident(data.val, run.device)
    state = TrainingState(
        run,
        model=model,
        optimizer=training.optimizer,
        losses=losses,
        best=best,
        clock=clock,
        length=length,
        **training.parts,
    )

    done = state.restore()
    for epoch in range(done // steps, length.epochs):
        if best.is_over or length.is_over(done):
            break
        net.train()
        batches = shuffled(
            train,
            batch_size=batch_size,
            device=run.device,
            seed=run.seed,
            epoch=epoch,
            start=done % steps,
            repeats=options["repeats"],
            weights=per_class[data.train.labels] if options["balance"] == "sampling" else None,
        )
        wanted = length.within(clock.watch(batches, augmented), done)
        for batch in with_progress(wanted, run, epoch=epoch, epochs=length.epochs, steps=steps, start=done % steps):
            state.save(done)
            inputs = preprocess(batch.images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
            inputs, targets = augmentation.mix(inputs, batch.labels, batch.draws, num_classes=data.num_classes)
            lr = options["lr"] * warmup_cosine(length.at(done), total_steps=length.total, warmup_steps=warmup)
            set_lr(training.optimizer, lr)
            losses.add(training.take(inputs, targets))
            done += 1
        loss, times = losses.mean(), clock.lap()
        scores: dict[str, float] = {}
        if len(val):
            with average.applied():
                val_top1 = evaluate_top1(net, data, val, run, batch_size=batch_size)
                scores = {"val_top1": val_top1, **best.add(epoch + 1, val_top1)}
        run.log(epoch=epoch + 1, epochs=length.epochs, loss=loss, lr=lr, **times, **scores)
    average.apply()
    best.apply()
    return model


def augmentation_of(options: Mapping[str, Any], data: TrainVal) -> Augmentation:
    """Return what the options ask for, as far as the data allow it."""
    if not options["augment"]:
        return Augmentation()
    crop = options["crop"]
    if crop == "auto":
        crop = "resized" if min(data.image_size) >= RESIZED_FROM else "padded"
    names = ("flip", "policy", "operations", "magnitude", "jitter", "cutout", "erase", "mixup", "cutmix")
    wanted = Augmentation(crop=crop, scale=options["scale"], **{name: options[name] for name in names})
    return wanted.allowed(data.augmentations)
