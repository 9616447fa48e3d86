"""Which errors say that memory ran out, and whose: the device's, or that of the host beside a GPU."""

from __future__ import annotations

from typing import Literal

import torch

__all__ = ["lack_of_memory"]

_OF_HOST = (
    "defaultcpuallocator",
    "bad_alloc",
    "cannot allocate memory",
    "could not create a primitive",  # oneDNN, where it cannot have its scratch memory
)
_OF_DEVICE = (
    "out of memory",  # CUDA outside of torch's allocator, MPS
    "alloc_failed",  # cuBLAS, cuDNN
)


def lack_of_memory(error: BaseException) -> Literal["host", "device", ""]:
    """Return whose memory ran out; empty where an error says something else."""
    if isinstance(error, torch.OutOfMemoryError):
        return "device"
    if isinstance(error, MemoryError):
        return "host"
    # What is not torch's own allocator for CUDA raises a plain RuntimeError.
    words = str(error).lower() if isinstance(error, RuntimeError) else ""
    if any(sign in words for sign in _OF_HOST):
        return "host"
    return "device" if any(sign in words for sign in _OF_DEVICE) else ""
