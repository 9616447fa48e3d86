"""The memory format of a convolution's input: chosen by its size, for the time of a step, where nobody else chose."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toy_training import run

from vitbench.training.formats import convolution_formats


class Seen(nn.Conv2d):
    """A convolution that notes whether its input has its channels last."""

    def __init__(self, given: int, wanted: int, stride: int) -> None:
        super().__init__(given, wanted, 3, stride, padding=1)
        self.last: list[bool] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.last.append(x.is_contiguous(memory_format=torch.channels_last))
        return super().forward(x)


def net() -> nn.Sequential:
    return nn.Sequential(Seen(2, 32, 2), nn.ReLU(), Seen(32, 33, 1), nn.Sequential(Seen(33, 2, 1)), nn.Flatten())


def test_inputs_of_many_pixels_per_channel_have_their_channels_last() -> None:
    torch.manual_seed(0)
    model, x = net(), torch.randn(3, 2, 8, 8)
    plain = model(x)
    with convolution_formats(model, run()):
        changed = model(x)
    assert torch.allclose(changed, plain, atol=1e-6)
    # 2 channels of 8 x 8 pixels, 32 of 4 x 4, 33 of 4 x 4
    assert [layer.last[1] for layer in (model[0], model[2], model[3][0])] == [True, True, False]


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
