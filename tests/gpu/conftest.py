"""Tests that need an NVIDIA GPU: skipped where there is none, and run by `benchmarks/gpu_check.py` where there is one.

``VITBENCH_TEST_DEVICE=cpu`` rehearses those of them on the CPU that do not ask for the fixture `cuda`.
"""

from __future__ import annotations

import os

import pytest
import torch


@pytest.fixture
def device() -> torch.device:
    """Return the device that is tested."""
    name = os.environ.get("VITBENCH_TEST_DEVICE", "cuda")
    if name.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("no GPU")
    return torch.device(name)


@pytest.fixture
def cuda(device: torch.device) -> torch.device:
    """Return a CUDA device, by number, for what no other device does."""
    if device.type != "cuda":
        pytest.skip("no GPU")
    return torch.device("cuda", device.index or 0)
