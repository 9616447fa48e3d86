"""Parameters and multiply-accumulates of a model, without its weights and without running it.

Operations are counted by `torch.utils.flop_counter` on meta tensors, on which attention takes the same code path for
every device; on the CPU, the counter misses the fused kernels (torchvision's ViT-B/16 would show 11.27 instead of
17.56 GMACs). Matrix products, convolutions and attention count; additions, norms and activations do not, as is usual.
FLOPs = 2 x MACs.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_macs", "count_params"]


def count_params(model: nn.Module) -> int:
    """Return the number of parameters, trained or frozen; one that is used in several places counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Return the multiply-accumulates of one forward pass on one image.

    Args:
        model: on the meta device, in eval mode.
        input_shape: channels, height, width.
    """
    # An input that asks for a gradient keeps `nn.TransformerEncoder` off its fused fast path, which counts as nothing.
    with torch.inference_mode(False), torch.enable_grad():
        image = torch.empty(1, *input_shape, device="meta", requires_grad=True)
        with FlopCounterMode(display=False) as counter:
            model(image)
    return int(counter.get_total_flops()) // 2
