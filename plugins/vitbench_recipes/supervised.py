"""Train a model from scratch on labelled images, strongly.

The defaults follow aanna0701/SPT_LSA_ViT, the baseline of Lee et al. 2021 (arXiv 2112.13492): AdamW 1e-3, weight decay
0.05, batch 128, 100 epochs, 10 of them warm-up, label smoothing 0.1, Mixup, CutMix, AutoAugment and random erasing;
with them a ViT of 2.7 M parameters reaches 93.6 / 73.8 % on CIFAR-10 / 100. The average of the weights comes on top.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitbench.protocols import FitRun, TrainStep, TrainVal
from vitbench.training import (
    BestEpoch,
    EpochClock,
    MeanLoss,
    TrainingState,
    WeightAverage,
    class_weights,
    decay_groups,
    evaluate_top1,
    grad_scaler,
    named_optimizer,
    on_device,
    preprocess,
    resident,
    set_lr,
    shuffled,
    steps_per_epoch,
    total_steps,
    train_step,
    warmup_cosine,
    with_progress,
)


def step(model: nn.Module, run: FitRun, weights: Tensor | None = None) -> TrainStep:
    """Return what `fit` does at each step: the optimiser on a smoothed loss, and the average of the weights.

    Args:
        model: as it is to be called.
        run: its options.
        weights: float32[K], of each class in the loss.
    """
    options = run.options
    groups = decay_groups(model, options["weight_decay"])
    optimizer = named_optimizer(options["optimizer"], groups, lr=options["lr"])
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
            class_weights=weights,
            clip_norm=options["clip_norm"],
            micro_batch=options["micro_batch"],
        )
        average.update()
        return loss

    return TrainStep(optimizer=optimizer, take=take, parts={"scaler": scaler, "average": average})
