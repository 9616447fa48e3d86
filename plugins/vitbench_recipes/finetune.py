"""Fine-tune pretrained weights on labelled images, as the ViT paper does (arXiv 2010.11929, B.1.1).

SGD with momentum 0.9, cosine decay, no weight decay, gradients clipped to norm 1. The paper takes 10,000 steps of
512 images at 384 pixels (CIFAR-10 / 100 with ViT-B/16 from ImageNet-21k: 98.95 / 91.67 %); the defaults here are
the study's 500 steps of 64 images, which gave it 98.1 / 87.2 % at 224 pixels. Smaller rates for the layers near the
input (BEiT, arXiv 2106.08254) are an option.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vitbench.errors import UsageError
from vitbench.protocols import FitRun, TrainStep, TrainVal
from vitbench.training import (
    Augmentation,
    BestEpoch,
    EpochClock,
    MeanLoss,
    TrainingLength,
    TrainingState,
    class_weights,
    evaluate_top1,
    grad_scaler,
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


def step(model: nn.Module, run: FitRun, per_class: Tensor | None = None) -> TrainStep:
    """Return what `fit` does at each step: SGD with momentum, with clipped gradients.

    Args:
        model: as it is to be called.
        run: its options.
        per_class: float32[K], the weight of each class in the loss; None: all are equal.
    """
    options = run.options
    groups = _groups(model, options["layer_decay"])
    # Where a gradient scaler skips the first step, fused SGD takes over momentum that nobody has set.
    optimizer = torch.optim.SGD(groups, lr=options["lr"], momentum=0.9, fused=run.precision != "float16")
    scaler = grad_scaler(run)

    def take(inputs: Tensor, labels: Tensor) -> Tensor:
        return train_step(
            model,
            inputs,
            labels,
            optimizer=optimizer,
            scaler=scaler,
            run=run,
            class_weights=per_class,
            clip_norm=options["clip_norm"],
            micro_batch=options["micro_batch"],
        )

    return TrainStep(optimizer=optimizer, take=take, parts={"scaler": scaler})


def fit(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Fine-tune all trainable parameters on ``data.train`` and return the model as it is after the last step.

    Raises:
        UsageError: an option is out of its range, or does not go with another or with the model.
        DivergedError: the loss is no longer finite.
    """
    options, batch_size = run.options, run.options["batch_size"]
    steps = steps_per_epoch(len(data.train), batch_size)
    length = TrainingLength(run, len(data.train), batch_size)
    warmup = round(options["warmup"] * length.total)
    augmentation = Augmentation(crop="padded", flip=True).allowed(data.augmentations)
    augmented = partial(augmentation.batches, image_size=data.image_size)
    per_class = class_weights(data.train.labels, data.num_classes)

    model, net = on_device(model, run)
    training = step(net, run, per_class.to(run.device) if options["balance"] == "loss" else None)
    losses, clock = MeanLoss(scaler=training.parts["scaler"]), EpochClock(run.device)
    best = BestEpoch(model, keep=options["keep"], patience=options["patience"])
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
            weights=per_class[data.train.labels] if options["balance"] == "sampling" else None,
        )
        wanted = length.within(clock.watch(batches, augmented), done)
        for batch in with_progress(wanted, run, epoch=epoch, epochs=length.epochs, steps=steps, start=done % steps):
            state.save(done)
            inputs = preprocess(batch.images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
            lr = options["lr"] * warmup_cosine(length.at(done), total_steps=length.total, warmup_steps=warmup)
            set_lr(training.optimizer, lr)
            losses.add(training.take(inputs, batch.labels))
            done += 1
        loss, times = losses.mean(), clock.lap()
        val_top1 = evaluate_top1(net, data, val, run, batch_size=batch_size)
        chosen = best.add(epoch + 1, val_top1)
        run.log(epoch=epoch + 1, epochs=length.epochs, loss=loss, lr=lr, val_top1=val_top1, **times, **chosen)
    best.apply()
    return model


def _groups(model: nn.Module, layer_decay: float) -> list[dict[str, Any]]:
    """Return the trainable parameters for an optimiser; with layer decay in groups with a ``lr_scale`` each.

    Raises:
        UsageError: the model does not say what its layers are.
    """
    model = getattr(model, "_orig_mod", model)  # of a compiled one
    if layer_decay == 1:
        return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]
    if not hasattr(model, "group_matcher"):
        raise UsageError(
            f"layer_decay = {layer_decay} needs a model that says what its layers are, as timm's do by group_matcher; "
            "set layer_decay = 1"
        )
    from timm.optim import param_groups_layer_decay

    groups: list[dict[str, Any]] = param_groups_layer_decay(model, weight_decay=0.0, layer_decay=layer_decay)
    return groups
