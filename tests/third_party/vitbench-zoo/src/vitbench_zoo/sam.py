"""Sharpness-aware minimisation (Foret et al. 2020, arXiv 2010.01412, algorithm 1) around AdamW.

Each step takes two passes: the first finds the gradient, along which the weights climb by rho; the second finds the
gradient there, by which the weights, put back, go down.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vitbench
from vitbench.protocols import FitRun, TrainVal
from vitbench.training import (
    MeanLoss,
    augment,
    autocast,
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
    warmup_cosine,
    with_progress,
)


def step(model: nn.Module, run: FitRun) -> vitbench.TrainStep:
    """Return the two passes as one step."""
    optimizer = torch.optim.AdamW(decay_groups(model, run.options["weight_decay"]))
    scaler = grad_scaler(run)
    weights = [weight for weight in model.parameters() if weight.requires_grad]

    def backward(inputs: Tensor, labels: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with autocast(run.precision, run.device):
            logits = model(inputs)
        loss = F.cross_entropy(logits.float(), labels)
        scaler.scale(loss).backward()
        return loss.detach()

    def take(inputs: Tensor, labels: Tensor) -> Tensor:
        loss = backward(inputs, labels)
        reached = [weight for weight in weights if weight.grad is not None]
        with torch.no_grad():  # a scaled gradient points where the gradient does
            norm = torch.stack([weight.grad.norm() for weight in reached]).norm()
            climb = [(weight.grad * (run.options["rho"] / (norm + 1e-12))).nan_to_num(0, 0, 0) for weight in reached]
            before = [weight.clone() for weight in reached]
            torch._foreach_add_(reached, climb)
        backward(inputs, labels)
        with torch.no_grad():
            torch._foreach_copy_(reached, before)
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(weights, 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss

    return vitbench.TrainStep(optimizer=optimizer, take=take)


def fit(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Train with a tenth of the steps as warm-up, then a cosine."""
    batch_size = run.options["batch_size"]
    steps = steps_per_epoch(len(data.train), batch_size)
    total = total_steps(run, len(data.train), batch_size)
    model, net = on_device(model, run)
    training = step(net, run)
    generator = torch.Generator(run.device).manual_seed(run.seed)
    train, val = resident(data.train, run.device), resident(data.val, run.device)
    epochs = total // steps
    for epoch in range(epochs):
        net.train()
        mean_loss = MeanLoss(first_step=epoch * steps + 1)
        shuffled = batches(train, batch_size=batch_size, device=run.device, generator=generator)
        followed = with_progress(shuffled, run, epoch=epoch, epochs=epochs, steps=steps)
        for number, (images, labels) in enumerate(followed, start=epoch * steps):
            images = augment(images, data.augmentations, generator)
            inputs = preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
            share = warmup_cosine(number, total_steps=total, warmup_steps=total // 10)
            set_lr(training.optimizer, run.options["lr"] * share)
            mean_loss.add(training.take(inputs, labels))
        val_top1 = evaluate_top1(net, data, val, run, batch_size=batch_size)
        run.log(epoch=epoch + 1, epochs=epochs, loss=mean_loss.mean(), val_top1=val_top1)
    return model
