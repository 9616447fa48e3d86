"""What a recipe sets up before its loop: the model on its device, parameter groups, reduced precision."""

from __future__ import annotations

from typing import cast

import pytest
import torch
import toy_training
from torch import nn

from vitbench.training import autocast, decay_groups, grad_scaler, on_device


def test_norms_biases_positions_and_tokens_are_not_decayed() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    model.pos_embed = nn.Parameter(torch.zeros(1, 5, 4))
    model.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
    model.table = nn.Parameter(torch.zeros(3, 3))
    model.no_weight_decay = lambda: {"table"}  # as timm's models say it
    model[2].bias.requires_grad_(False)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, exempt = ({names[id(p)] for p in group["params"]} for group in decay_groups(model, 0.05))
    assert decayed == {"0.weight", "2.weight"}
    assert exempt == {"0.bias", "1.weight", "1.bias", "pos_embed", "cls_token", "table"}
    assert [group["weight_decay"] for group in decay_groups(model, 0.05)] == [0.05, 0.0]
    compiled = decay_groups(cast(nn.Module, torch.compile(model)), 0.05)
    assert {names[id(p)] for p in compiled[1]["params"]} == exempt


@pytest.mark.parametrize(("precision", "dtype"), [("tf32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_autocast_follows_the_precision(precision: str, dtype: torch.dtype) -> None:
    with autocast(precision, torch.device("cpu")):
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == dtype


def test_gradients_are_scaled_in_float16_only() -> None:
    assert not grad_scaler(toy_training.run(precision="bfloat16")).is_enabled()
    assert grad_scaler(toy_training.run(precision="float16")).is_enabled()


def test_channels_last_changes_the_memory_format_only_when_asked() -> None:
    for asked in (False, True):
        model, net = on_device(nn.Conv2d(3, 4, 3), toy_training.run(channels_last=asked))
        assert net is model
        assert model.weight.is_contiguous(memory_format=torch.channels_last) == asked


@pytest.mark.compute
def test_a_compiled_model_shares_its_parameters_and_the_plain_one_keeps_its_names() -> None:
    model, net = on_device(nn.Linear(2, 2), toy_training.run(compile="default"))
    assert net is not model
    assert next(net.parameters()) is next(model.parameters())
    assert set(model.state_dict()) == {"weight", "bias"}


def test_an_output_of_a_cuda_graph_is_kept_when_the_next_call_writes_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Graphs(nn.Module):
        """Gives all outputs in one place, as CUDA graphs do."""

        place = torch.empty(1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.place.copy_(x)

    begun: list[str] = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append("step"))
    monkeypatch.setattr(torch, "compile", lambda model, mode: Graphs())
    _, net = on_device(nn.Linear(1, 1), toy_training.run(compile="reduce-overhead"))
    first, second = net(torch.ones(1)), net(torch.zeros(1))
    assert (first.item(), second.item(), len(begun)) == (1, 0, 2)
