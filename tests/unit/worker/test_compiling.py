"""Nothing that was not compiled passes for a compiled model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vitbench.measuring.steps import InvalidOutput
from vitbench.worker.compiling import check_compiled, graphs_compiled

pytestmark = pytest.mark.compute


class Plain(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1).relu() + 1


class LeftAlone(Plain):
    @torch.compiler.disable
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) + 1


def test_a_graph_is_seen_and_a_model_that_is_left_alone_is_refused() -> None:
    before = graphs_compiled()
    torch.compile(LeftAlone(), backend="eager")(torch.ones(1, 1, 2, 2))
    with pytest.raises(InvalidOutput, match="nothing was compiled"):
        check_compiled(since=before)
    torch.compile(Plain(), backend="eager")(torch.ones(1, 1, 2, 2))
    check_compiled(since=before)
