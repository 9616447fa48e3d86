"""Mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899): each image with a share and a partner of its own.

The partner is another image of the batch: all images stand in one random cycle, and each takes the next.

Shapes: B images, C channels, h height and w width; K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vitbench.training.augmentation.hiding import box_mask, central_boxes
from vitbench.training.draws import Draws
from vitbench.training.setup import sent

__all__ = ["mixed", "partners"]


def mixed(
    inputs: Tensor,
    labels: Tensor,
    draws: Draws,
    *,
    mixup: float,
    cutmix: float,
    num_classes: int,
) -> tuple[Tensor, Tensor]:
    """Return inputs float[B, C, h, w] and targets float32[B, K], mixed by the alphas of `mixup` and `cutmix`."""
    targets = F.one_hot(labels, num_classes).float()
    if not (mixup or cutmix):
        return inputs, targets
    size = (inputs.shape[-2], inputs.shape[-1])
    device = inputs.device
    # How much of each image is its partner, in all of it or in each pixel: [B, 1, 1, 1] or [B, 1, h, w].
    weight = share = 1 - draws.beta("mixup", mixup, mixup) if mixup else torch.zeros(len(draws))
    weight = sent(weight, device)[:, None, None, None]
    if cutmix:
        boxes, area = _cut(draws, size, cutmix)
        cut = draws.chance("cutmix or mixup", 0.5 if mixup else 1.0)
        share = torch.where(cut, area, share)
        weight = torch.where(sent(cut, device)[:, None, None, None], box_mask(boxes, size, device).float(), weight)
    partner = sent(partners(draws), device)
    return (
        torch.lerp(inputs, inputs.index_select(0, partner), weight),  # exact where the weight is 0 or 1
        torch.lerp(targets, targets[partner], sent(share, device)[:, None]),
    )


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
