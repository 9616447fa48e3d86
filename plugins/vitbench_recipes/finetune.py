"""Fine-tune pretrained weights on labelled images, as the ViT paper does (arXiv 2010.11929, B.1.1).

SGD with momentum 0.9, cosine decay, no weight decay, gradients clipped to norm 1. The paper takes 10,000 steps of
512 images at 384 pixels (CIFAR-10 / 100 with ViT-B/16 from ImageNet-21k: 98.95 / 91.67 %); the defaults here are
the study's 500 steps of 64 images, which gave it 98.1 / 87.2 % at 224 pixels. Smaller rates for the layers near the
input (BEiT, arXiv 2106.08254) are an option, and so are AdamW with weight decay, as the recipes of VTAB-1k have them
(Adapter+, arXiv 2406.06820), and VTAB's lightweight sweep (arXiv 1910.04867): each of two rates and two lengths is
tried from the same weights, and what is best on the validation images is trained last.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import product
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
    decay_groups,
    evaluate_top1,
    grad_scaler,
    load_whole_state,
    named_optimizer,
    on_device,
    preprocess,
    resident,
    set_lr,
    shuffled,
    steps_per_epoch,
    train_step,
    warmup_cosine,
    whole_state,
    with_progress,
)

from .final import final_data

SWEEP_RATES = (0.1, 0.01)
SWEEP_STEPS = (500, 2500)
"""VTAB's lightweight sweep."""


def step(model: nn.Module, run: FitRun, per_class: Tensor | None = None) -> TrainStep:
    """Return what `fit` does at each step: the optimiser, with clipped gradients.

    Args:
        model: as it is to be called.
        run: its options.
        per_class: float32[K], the weight of each class in the loss; None: all are equal.
    """
    options = run.options
    groups = _groups(model, options["layer_decay"], options["weight_decay"])
    optimizer: torch.optim.Optimizer
    if options["optimizer"] == "sgd":
        # Where a gradient scaler skips the first step, fused SGD takes over momentum that nobody has set.
        optimizer = torch.optim.SGD(groups, lr=options["lr"], momentum=0.9, fused=run.precision != "float16")
    else:
        optimizer = named_optimizer(options["optimizer"], groups, lr=options["lr"])
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
    """Fine-tune all trainable parameters and return the model as it is after the last step.

    They learn from ``data.train``, or with ``final = "trainval"`` from the validation images, too.

    Raises:
        UsageError: an option is out of its range, or does not go with another or with the model.
        DivergedError: the loss is no longer finite.
    """
    last = final_data(data, run)
    model, net = on_device(model, run)
    if run.options["sweep"] != "none":
        chosen = _swept(model, net, data, run)
        found = {name: chosen[f"chosen_{name}"] for name in ("lr", "steps") if f"chosen_{name}" in chosen}
        run = replace(run, options={**run.options, **found})
    else:
        chosen = {}
    _train(model, net, last, run, chosen)
    return model


def _swept(model: nn.Module, net: nn.Module, data: TrainVal, run: FitRun) -> dict[str, Any]:
    """Return the rate and the length that are best on the validation images, with the accuracy; the model is as before.

    Of equal ones the first counts. Where the user's epochs replace all lengths, none is chosen. A sweep that was killed
    is made again; it takes the same steps.

    Raises:
        UsageError: a budget would cut it.
    """
    if run.budget.seconds is not None or run.budget.steps is not None:
        raise UsageError(
            f'sweep = "{run.options["sweep"]}" has its own lengths, which no budget can limit; '
            'leave --budget out, or set sweep = "none"'
        )
    start, best = deepcopy(whole_state(model)), dict[str, Any]()
    lengths = SWEEP_STEPS if run.budget.epochs is None else SWEEP_STEPS[:1]  # the user's epochs replace both
    for lr, steps in product(SWEEP_RATES, lengths):
        quiet: dict[str, Any] = {"log": lambda **_: run.log(), "resume": lambda: None, "save": lambda *_: None}
        candidate = replace(run, options={**run.options, "lr": lr, "steps": steps}, **quiet)
        top1 = _train(model, net, data, candidate, {})
        if not best or top1 > best["chosen_val_top1"]:
            best = {"chosen_lr": lr, "chosen_steps": steps, "chosen_val_top1": top1}
        load_whole_state(model, start)
    if run.budget.epochs is not None:
        del best["chosen_steps"]
    return best


def _train(model: nn.Module, net: nn.Module, data: TrainVal, run: FitRun, chosen: dict[str, float]) -> float:
    """Train a model by the options as they are, and return its accuracy on the validation images; nan without any.

    Args:
        model: on its device.
        net: the same, as it is to be called.
        data: what it learns from, and chooses an epoch by.
        run: its options.
        chosen: for each row of the curve.
    """
    options, batch_size = run.options, run.options["batch_size"]
    steps = steps_per_epoch(len(data.train), batch_size)
    length = TrainingLength(run, len(data.train), batch_size)
    warmup = round(options["warmup"] * length.total)
    augmentation = Augmentation(crop="padded", flip=True).allowed(data.augmentations)
    augmented = partial(augmentation.batches, image_size=data.image_size)
    per_class = class_weights(data.train.labels, data.num_classes)

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

    done, top1 = state.restore(), float("nan")
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
        scores: dict[str, float] = {}
        if len(val):
            val_top1 = evaluate_top1(net, data, val, run, batch_size=batch_size)
            scores = {"val_top1": val_top1, **best.add(epoch + 1, val_top1)}
            top1 = max(top1, val_top1) if options["keep"] == "best" else val_top1
        run.log(epoch=epoch + 1, epochs=length.epochs, loss=loss, lr=lr, **times, **scores, **chosen)
    best.apply()
    return top1


def _groups(model: nn.Module, layer_decay: float, weight_decay: float) -> list[dict[str, Any]]:
    """Return the trainable parameters for an optimiser; with layer decay in groups with a ``lr_scale`` each.

    Raises:
        UsageError: the model does not say what its layers are.
    """
    model = getattr(model, "_orig_mod", model)  # of a compiled one
    if layer_decay == 1:
        if weight_decay:
            return decay_groups(model, weight_decay)
        return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]
    if not hasattr(model, "group_matcher"):
        raise UsageError(
            f"layer_decay = {layer_decay} needs a model that defines its layers, as timm models do with group_matcher; "
            "set layer_decay = 1"
        )
    from timm.optim import param_groups_layer_decay

    groups: list[dict[str, Any]] = param_groups_layer_decay(model, weight_decay=weight_decay, layer_decay=layer_decay)
    return groups
