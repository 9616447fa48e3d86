"""Mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899): each image with a share and a partner of its own.

The partner is another image of the batch: all images stand in one random cycle, and each takes the next.

Shapes: B images, C channels, h height and w width; K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vitbench.training.augmentation.hiding import box_mask, central_boxes
from vitbench.training.draws import Draws
from vitbench.training.setup import sent

__all__ = ["mixed", "partners", "smoothed"]


def mixed(
    inputs: Tensor,
    labels: Tensor,
    draws: Draws,
    *,
    mixup: float,
    cutmix: float,
    num_classes: int,
    label_smoothing: float,
) -> tuple[Tensor, Tensor]:
    """Return inputs float[B, C, h, w] and targets float32[B, K], mixed by the alphas of `mixup` and `cutmix`."""
    targets = smoothed(labels, num_classes, label_smoothing)
    if not (mixup or cutmix):
        return inputs, targets
    device = inputs.device
    partner = sent(partners(draws), device)
    other = inputs[partner]
    if not cutmix:
        share = 1 - draws.beta("mixup", mixup, mixup)  # of the partner
        weight = sent(share, device)[:, None, None, None]
        return torch.lerp(inputs, other, weight), _mixed_targets(targets, partner, share)
    boxes, share = _cut(draws, (inputs.shape[-2], inputs.shape[-1]), cutmix)
    mask = box_mask(boxes, (inputs.shape[-2], inputs.shape[-1]), device)
    if not mixup:
        return torch.where(mask, other, inputs), _mixed_targets(targets, partner, share)
    cut = draws.chance("cutmix or mixup", 0.5)
    whole = 1 - draws.beta("mixup", mixup, mixup)
    weight = torch.where(
        sent(cut, device)[:, None, None, None], mask.to(inputs.dtype), sent(whole, device)[:, None, None, None]
    )
    return torch.lerp(inputs, other, weight), _mixed_targets(targets, partner, torch.where(cut, share, whole))


def smoothed(labels: Tensor, num_classes: int, label_smoothing: float) -> Tensor:
    """Return labels int64[B] as targets float32[B, K], of which all classes have a share in equal parts."""
    off = label_smoothing / num_classes
    targets = torch.full((len(labels), num_classes), off, device=labels.device)
    return targets.scatter_(1, labels[:, None], 1 - label_smoothing + off)


def partners(draws: Draws) -> Tensor:
    """Return int64[B]: with which image each is mixed; with another one, where there are two or more."""
    order = draws.uniform("partner").argsort(stable=True)
    return torch.empty_like(order).scatter_(0, order, order.roll(-1))


def _cut(draws: Draws, size: tuple[int, int], alpha: float) -> tuple[Tensor, Tensor]:
    """Return boxes int64[B, 4] that the partner fills, and their shares of the area float32[B]."""
    side = torch.sqrt(1 - draws.beta("cutmix", alpha, alpha))
    sides = (side[:, None] * torch.tensor(size)).round().long()
    boxes = central_boxes(draws, "cutmix", size, sides)
    return boxes, (boxes[:, 2] * boxes[:, 3]) / (size[0] * size[1])


def _mixed_targets(targets: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    return torch.lerp(targets, targets[partner], sent(share, targets.device)[:, None])
