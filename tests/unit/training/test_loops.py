"""Steps, losses, progress, validation accuracy, and what a recipe sets up before its loop."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import toy_training
from torch import nn

from vitbench.training import (
    DivergedError,
    MeanLoss,
    autocast,
    decay_groups,
    evaluate_top1,
    grad_scaler,
    on_device,
    train_step,
    with_progress,
)


def step(model: nn.Module, x: torch.Tensor, y: torch.Tensor, *, lr: float = 0.1, **changes: float) -> torch.Tensor:
    run = toy_training.run()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    settings = {"clip_norm": 1e9} | changes
    return train_step(model, x, y, optimizer=optimizer, scaler=grad_scaler(run), run=run, **settings)


def test_a_step_is_gradient_descent_on_the_cross_entropy() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 4)
    x, y = torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 0])
    weight = model.weight.detach().clone().requires_grad_()
    expected = F.cross_entropy(x @ weight.T + model.bias, y, label_smoothing=0.1)
    (gradient,) = torch.autograd.grad(expected, weight)
    loss = step(model, x, y, label_smoothing=0.1)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(model.weight.detach(), weight.detach() - 0.1 * gradient)


def test_gradients_are_clipped_to_the_norm() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    step(model, 100 * torch.randn(8, 3), torch.zeros(8, dtype=torch.int64), lr=1.0, clip_norm=0.01)
    moved = nn.utils.parameters_to_vector(model.parameters()).detach() - before
    assert moved.norm() == pytest.approx(0.01, rel=1e-3)


def test_losses_are_averaged_over_the_steps() -> None:
    mean_loss = MeanLoss(first_step=1)
    for value in (1.0, 2.0, 6.0):
        mean_loss.add(torch.tensor(value))
    assert mean_loss.mean() == pytest.approx(3.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_its_step_and_the_way_out(bad: float) -> None:
    mean_loss = MeanLoss(first_step=11)
    mean_loss.add(torch.tensor(1.0))
    with pytest.raises(DivergedError, match=rf"^the loss became {bad} at step 12; lower the recipe's option lr$"):
        mean_loss.add(torch.tensor(bad))


def test_progress_within_an_epoch_is_a_fraction_and_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=2.0)  # each look at the clock is two seconds later
    monkeypatch.setattr("vitbench.training.loops.time.monotonic", lambda: next(clock))
    rows: list[dict[str, float]] = []
    run = toy_training.run(log=lambda **row: rows.append(row))
    assert list(with_progress("abcdefgh", run, epoch=3, epochs=10, steps=8)) == list("abcdefgh")
    assert rows
    assert len(rows) < 4
    assert all(3 < row["epoch"] < 4 and row["epochs"] == 10 for row in rows)


class _Brightest(nn.Module):
    """Says which of the first two pixels is brighter; 1 in training mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = x[:, 0, 0, :2]
        return logits if not self.training else torch.tensor([[0.0, 1.0]]).expand(len(x), -1)


def test_accuracy_is_counted_over_the_whole_split_and_leaves_the_mode_as_it_was() -> None:
    images = np.zeros((7, 1, 2, 2), np.uint8)
    images[:, 0, 0, 0] = 200
    labels = np.array([0, 0, 0, 0, 0, 1, 1])
    val = toy_training.split(images, labels)
    data = toy_training.train_val(val, val)
    model = _Brightest().train()
    assert evaluate_top1(model, data, val, toy_training.run(), batch_size=3) == pytest.approx(5 / 7)
    assert model.training
    model.eval()
    evaluate_top1(model, data, val, toy_training.run(), batch_size=3)
    assert not model.training


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


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("tf32", torch.float32), ("bfloat16", torch.bfloat16)]
)
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


def test_a_compiled_model_shares_its_parameters_and_the_plain_one_keeps_its_names() -> None:
    model, net = on_device(nn.Linear(2, 2), toy_training.run(compile=True))
    assert net is not model
    assert next(net.parameters()) is next(model.parameters())
    assert set(model.state_dict()) == {"weight", "bias"}
