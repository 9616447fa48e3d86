"""Parts of images are hidden: cutout and random erasing, on normalised inputs, whose mean is 0.

Shapes: B images, C channels, h height and w width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vitbench.training.augmentation.cropping import random_boxes
from vitbench.training.draws import Draws
from vitbench.training.setup import sent

__all__ = ["box_mask", "central_boxes", "cutout", "erased"]

_ERASED_AREA = (0.02, 1 / 3)
"""Of the image; Zhong et al. erase up to 0.4, timm up to a third."""
_ERASED_SHAPE = (0.3, 1 / 0.3)


def box_mask(boxes: Tensor, size: tuple[int, int], device: torch.device) -> Tensor:
    """Return bool[B, 1, h, w]: what lies in a box int64[B, 4] of top, left, height and width; (h, w) = size."""
    top, left, height, width = sent(boxes, device).T[:, :, None]  # each [B, 1]
    y, x = (torch.arange(side, device=device) for side in size)
    rows = (y >= top) & (y < top + height)  # [B, h]
    columns = (x >= left) & (x < left + width)  # [B, w]
    return torch.logical_and(rows[:, None, :, None], columns[:, None, None, :])


def central_boxes(draws: Draws, purpose: str, size: tuple[int, int], sides: Tensor) -> Tensor:
    """Return boxes int64[B, 4] with random centres, cut where they leave the image.

    Args:
        draws: on the CPU, as the boxes are.
        purpose: what the boxes are for.
        size: (h, w) of the images.
        sides: height and width, int64[B, 2], before they are cut.
    """
    limits = torch.tensor(size)
    centres = (draws.uniform(f"{purpose} place", 2) * limits).long()
    start = centres - sides // 2
    end = torch.minimum(start + sides, limits)
    start = start.clamp_(min=0)
    return torch.cat([start, (end - start).clamp_(min=0)], 1)


def cutout(inputs: Tensor, draws: Draws, share: float) -> Tensor:
    """Return inputs float[B, C, h, w] with a box in each set to 0, whose sides are a share of the image's."""
    size = (inputs.shape[-2], inputs.shape[-1])
    sides = torch.tensor([round(share * side) for side in size]).expand(len(inputs), 2)
    boxes = central_boxes(draws, "cutout", size, sides)
    return inputs.masked_fill(box_mask(boxes, size, inputs.device), 0)


def erased(inputs: Tensor, draws: Draws, probability: float) -> Tensor:
    """Return inputs float[B, C, h, w], in some of which a box is filled with noise of mean 0 and deviation 1."""
    chosen = draws.chance("erase", probability).nonzero()[:, 0]
    if not len(chosen):
        return inputs
    draws, rows = draws.select(chosen), sent(chosen, inputs.device)
    size = (inputs.shape[-2], inputs.shape[-1])
    boxes = random_boxes(draws, "erase", size, scale=_ERASED_AREA, ratio=_ERASED_SHAPE)
    noise = draws.to(inputs.device).normal("noise", *inputs.shape[1:])
    changed = torch.where(box_mask(boxes, size, inputs.device), noise.to(inputs.dtype), inputs[rows])
    return inputs.index_copy(0, rows, changed)
