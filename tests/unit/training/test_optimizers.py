"""Optimisers by name: torch's, timm's, and what is not an optimiser here."""

from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vitbench.errors import UnusableError, UsageError
from vitbench.training import decay_groups, named_optimizer


def optimizer_of(name: str, model: nn.Module | None = None) -> torch.optim.Optimizer:
    return named_optimizer(name, decay_groups(model or nn.Linear(4, 3), 0.05), lr=0.01)


def test_adamw_and_sgd_are_torchs_fused_ones_and_need_no_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm.optim", None)
    adamw, sgd = optimizer_of("adamw"), optimizer_of("sgd")
    assert type(adamw) is torch.optim.AdamW
    assert adamw.defaults["fused"]
    assert type(sgd) is torch.optim.SGD
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"], sgd.defaults["fused"]) == (0.9, True, True)
    with pytest.raises(UnusableError, match='optimizer "muon" comes from timm, which is not installed'):
        optimizer_of("muon")


def test_timms_learn_and_keep_the_groups() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    optimizer = optimizer_of("muon", model)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.05, 0.0]
    inputs, labels = torch.randn(32, 1, 4, 4), torch.arange(32) % 3
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("adamv", UsageError, r'^there is no optimizer "adamv"; similar names: adam, \w+, \w+$'),
        ("???", UsageError, r'^there is no optimizer "\?\?\?"; see timm.optim.list_optimizers\(\)$'),
        ("adahessian", UsageError, r'^optimizer "adahessian" needs second derivatives, which no recipe takes$'),
        ("fusedadam", UnusableError, r'^optimizer "fusedadam" is not available here: '),
    ],
)
def test_what_is_no_optimiser_here_is_refused_in_a_line(name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        optimizer_of(name)


def test_momentum_begins_at_0_where_a_scaler_skips_the_first_step() -> None:
    weight = nn.Parameter(torch.zeros(1000))
    optimizer = named_optimizer("sgd", [{"params": [weight], "weight_decay": 0.0}], lr=0.1, precision="float16")
    scaler = torch.amp.GradScaler("cpu")
    for gradient in (float("inf"), 1e-3):
        _ = [torch.full((1000,), 1e9) for _ in range(50)]  # memory that is used again
        optimizer.zero_grad()
        scaler.scale((weight * gradient).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert torch.allclose(weight.detach(), torch.tensor(-0.1 * 1.9e-3), atol=1e-6)
