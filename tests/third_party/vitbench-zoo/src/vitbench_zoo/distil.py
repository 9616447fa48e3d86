"""Distillation (Hinton, Vinyals and Dean 2015, arXiv 1503.02531): a teacher's softened probabilities as targets.

The teacher sees the very inputs of the student; vitbench converts them where it wants others.
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
    """Return a step of the student, the teacher's forward pass included."""
    if not run.options["teacher"]:
        raise vitbench.UsageError("zoo/distil needs a teacher; name a model: --set distil.teacher=zoo/swin.")
    teacher = run.build(run.options["teacher"]).to(run.device).eval()
    optimizer = torch.optim.AdamW(decay_groups(model, run.options["weight_decay"]))
    scaler = grad_scaler(run)
    temperature, share = run.options["temperature"], run.options["share"]

    def take(inputs: Tensor, labels: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with autocast(run.precision, run.device):
            with torch.no_grad():
                taught = teacher(inputs)
            logits = model(inputs)
        logits = logits.float()
        soft = F.kl_div(
            F.log_softmax(logits / temperature, dim=1),
            F.log_softmax(taught.float() / temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        # By the square of the temperature, so that the gradient's size does not depend on it (section 2).
        loss = share * temperature**2 * soft + (1 - share) * F.cross_entropy(logits, labels)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

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
