"""Each convolution of a training on a CPU gets its input in the memory format in which it is faster.

oneDNN's convolutions in float32, forward and backward, one thread of a Xeon with AVX-512, 3 x 3 pixels: with channels
last they were 1.73 times as fast for 16 channels of 32 x 32 pixels, 1.16 times for 64 of 16 x 16, 1.13 times for 128 of
8 x 8, but 0.89 times for 256 of 8 x 8 and 0.57 times for 512 of 4 x 4. So one format for a whole network, which is what
torch offers, loses at one of its ends. Only the input's format is chosen: the weights stay as they are, and results
differ by rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vitbench.protocols import FitRun

__all__ = ["convolution_formats"]

_LEAST_PIXELS = 0.5
"""Pixels per channel from which channels last is the faster format."""


@contextmanager
def convolution_formats(model: nn.Module, run: FitRun) -> Iterator[None]:
    """Let the convolutions of a model choose the format of their inputs, where nothing else decides about it.

    That is in float32 on a CPU, uncompiled, and without the run's own wish for channels last.
    """
    if run.device.type != "cpu" or run.precision != "float32" or run.compile or run.channels_last:
        yield
        return
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    hooks = [module.register_forward_pre_hook(_formatted) for module in convolutions]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _formatted(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    if not args or args[0].ndim != 4:
        return None
    _, channels, height, width = args[0].shape
    wanted = torch.channels_last if height * width >= _LEAST_PIXELS * channels else torch.contiguous_format
    return (args[0].contiguous(memory_format=wanted), *args[1:])
