"""The memory format of a convolution's input: chosen by its size, for the time of a step, where nobody else chose."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toy_training import run

from vitbench.training.formats import convolution_formats


class Seen(nn.Conv2d):
    """A convolution that notes whether its input has its channels last."""

    def __init__(self, stride: int) -> None:
        super().__init__(2, 2, 3, stride, padding=1)
        self.last: list[bool] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.last.append(x.is_contiguous(memory_format=torch.channels_last))
        return super().forward(x)


def net() -> nn.Sequential:
    return nn.Sequential(Seen(2), nn.ReLU(), Seen(1), nn.Sequential(Seen(2)), nn.Flatten())


def test_large_inputs_have_their_channels_last_and_small_ones_do_not() -> None:
    torch.manual_seed(0)
    model, x = net(), torch.randn(3, 2, 16, 16)
    plain = model(x)
    with convolution_formats(model, run()):
        changed = model(x)
    assert torch.allclose(changed, plain, atol=1e-6)
    assert [model[0].last[1], model[2].last[1]] == [True, True]  # 16 x 16 and 8 x 8 pixels
    with convolution_formats(model, run()):
        model(torch.randn(3, 2, 8, 8))
    assert [model[0].last[2], model[2].last[2], model[3][0].last[2]] == [True, False, False]


@pytest.mark.parametrize("wish", [{"channels_last": True}, {"compile": True}, {"precision": "bfloat16"}])
def test_the_run_has_the_last_word(wish: dict[str, object]) -> None:
    model = net()
    with convolution_formats(model, run(**wish)):
        model(torch.randn(3, 2, 16, 16))
    assert model[0].last == [False]


def test_the_model_is_left_as_it_was() -> None:
    model = net()
    with pytest.raises(RuntimeError), convolution_formats(model, run()):
        model(torch.randn(3, 5, 16, 16))  # of other channels
    assert not any(module._forward_pre_hooks for module in model.modules())
