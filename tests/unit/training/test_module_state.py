"""The whole state of a module: what its state dict leaves out comes back too."""

from __future__ import annotations

import torch
from torch import nn

from vitbench.training.module_state import load_whole_state, unsaved_buffers, whole_state


class Counting(nn.Module):
    """Scales by how often it was called, which its state dict does not say."""

    calls: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.linear(x) * self.calls


def test_a_module_comes_back_whole() -> None:
    first, second = Counting(), Counting()
    for _ in range(3):
        first(torch.zeros(1, 2))
    assert list(unsaved_buffers(first)) == ["calls"]
    load_whole_state(second, whole_state(first))
    x = torch.rand(1, 2)
    assert torch.equal(first(x), second(x))
