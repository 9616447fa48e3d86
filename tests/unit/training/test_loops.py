"""Steps, losses, progress and validation accuracy."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import toy_training
from torch import nn

from vitbench.measuring.steps import InvalidOutput
from vitbench.training import (
    DivergedError,
    MeanLoss,
    evaluate_top1,
    grad_scaler,
    train_step,
    with_progress,
)


def step(model: nn.Module, x: torch.Tensor, y: torch.Tensor, *, lr: float = 0.1, **changes: Any) -> torch.Tensor:
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
    model.weight.grad = torch.ones_like(model.weight)  # of an earlier step
    loss = step(model, x, y, label_smoothing=0.1)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(model.weight.detach(), weight.detach() - 0.1 * gradient)


def test_an_output_that_is_no_tensor_is_told_as_everywhere() -> None:
    class Wraps(nn.Linear):
        def forward(self, images: torch.Tensor) -> Any:
            return SimpleNamespace(logits=super().forward(images))

    words = "the model returned a SimpleNamespace; it must return a plain tensor of logits: return output.logits"
    with pytest.raises(InvalidOutput, match=words):
        step(Wraps(3, 4), torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 0]))


class _InOnePlace(torch.autograd.Function):
    """Gives the gradient of each backward pass in the same memory, as CUDA graphs do."""

    place = torch.empty(4, 3)

    @staticmethod
    def forward(context: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(x)
        return x @ weight.T

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> Any:
        _InOnePlace.place.copy_(gradients[0].T @ context.saved_tensors[0])
        return None, _InOnePlace.place.detach()


@pytest.mark.parametrize("parts", [1, 4])
def test_gradients_of_a_cuda_graph_add_up_though_each_is_written_over_the_last(parts: int) -> None:
    torch.manual_seed(0)
    plain, graph = nn.Linear(3, 4, bias=False), nn.Linear(3, 4, bias=False)
    graph.load_state_dict(plain.state_dict())
    graph.forward = lambda x: _InOnePlace.apply(x, graph.weight)  # type: ignore[method-assign]
    x, y, run = torch.randn(8, 3), torch.arange(8) % 4, toy_training.run(compile="reduce-overhead")
    for model in (plain, graph):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            train_step(model, x, y, optimizer=optimizer, scaler=grad_scaler(run), run=run, micro_batch=8 // parts)
    torch.testing.assert_close(graph.weight, plain.weight)


def test_gradients_are_clipped_to_the_norm() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    step(model, 100 * torch.randn(8, 3), torch.zeros(8, dtype=torch.int64), lr=1.0, clip_norm=0.01)
    moved = nn.utils.parameters_to_vector(model.parameters()).detach() - before
    assert moved.norm() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("micro_batch", [3, 99])
def test_a_batch_in_parts_has_the_gradients_of_the_whole(micro_batch: int) -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(8, 6), torch.rand(8, 4).softmax(1)
    weights, weighted = [], {"label_smoothing": 0.1, "class_weights": torch.tensor([0.5, 2.0, 1.0, 0.7])}
    for size in (0, micro_batch):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 4))
        seen: list[int] = []
        model.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(len(args[0])))
        loss = step(model, inputs, targets, micro_batch=size, **weighted)
        weights.append((loss, *(parameter.detach() for parameter in model.parameters())))
        assert sum(seen) == 8
        assert max(seen) <= (size or 8)
    for whole, parts in zip(*weights, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)


def test_class_weights_are_those_of_the_cross_entropy() -> None:
    torch.manual_seed(0)
    model, class_weights = nn.Linear(3, 4), torch.tensor([1.0, 2.0, 3.0, 4.0])
    inputs, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 0])
    expected = F.cross_entropy(model(inputs), labels, weight=class_weights, reduction="none").mean()
    torch.testing.assert_close(step(model, inputs, labels, class_weights=class_weights), expected.detach())


def test_the_mean_is_that_of_the_losses_since_the_last_one_also_of_one_that_goes_on() -> None:
    first, second = MeanLoss(), MeanLoss()
    for value in (1.0, 2.0):
        first.add(torch.tensor(value))
    first.mean()
    first.add(torch.tensor(4.0))
    second.load_state_dict(first.state_dict())
    second.add(torch.tensor(8.0))
    assert second.mean() == 6.0
    with pytest.raises(DivergedError, match="at step 5;"):
        second.add(torch.tensor(math.nan))


def test_float16_that_only_overflows_ends_in_words() -> None:
    """The weights would stay as they are, and the loss would look like one."""
    scaler = torch.amp.GradScaler("cpu")
    model, x, y = nn.Linear(3, 2), torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
    model.weight.register_hook(lambda gradient: gradient * torch.inf)
    run, optimizer = toy_training.run(precision="float16"), torch.optim.SGD(model.parameters(), lr=0.1)
    losses = MeanLoss(scaler=scaler)

    def take_steps(count: int) -> None:
        for _ in range(count):
            losses.add(train_step(model, x, y, optimizer=optimizer, scaler=scaler, run=run, clip_norm=1.0))

    take_steps(30)
    with pytest.raises(DivergedError, match=r"^at step 31 gradients overflowed float16 once more, so that no step is "):
        take_steps(1)


def test_a_loss_that_is_not_finite_names_its_step_and_the_way_out() -> None:
    mean_loss = MeanLoss(first_step=11)
    mean_loss.add(torch.tensor(1.0))
    with pytest.raises(DivergedError, match=r"^the loss became inf at step 12; lower the recipe's option lr$"):
        mean_loss.add(torch.tensor(math.inf))


def test_progress_within_an_epoch_is_a_fraction_and_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=2.0)  # each look at the clock is two seconds later
    monkeypatch.setattr("vitbench.training.loops.time.monotonic", lambda: next(clock))
    rows: list[dict[str, float]] = []
    run = toy_training.run(log=lambda **row: rows.append(row))
    assert list(with_progress("abcdefgh", run, epoch=3, epochs=10, steps=8)) == list("abcdefgh")
    assert rows
    assert len(rows) < 4
    assert all(3 < row["epoch"] < 4 and row["epochs"] == 10 for row in rows)
    rows.clear()
    list(with_progress("gh", run, epoch=3, epochs=10, steps=8, start=6))
    assert {row["epoch"] for row in rows} <= {3.75, 3.875}


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


@pytest.mark.parametrize(("batch_size", "shapes"), [(3, [3, 3, 3]), (50, [7])])
def test_a_compiled_model_sees_batches_of_one_size(batch_size: int, shapes: list[int]) -> None:
    """For the short one at the end it would be compiled again."""
    images, seen = np.arange(7 * 4, dtype=np.uint8).reshape(7, 1, 2, 2), list[int]()
    val = toy_training.split(images, np.array([0, 0, 0, 0, 0, 1, 0]))
    model = _Brightest().eval()
    model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    data, plain = toy_training.train_val(val, val), toy_training.run()
    expected = evaluate_top1(model, data, val, plain, batch_size=batch_size)
    seen.clear()
    assert evaluate_top1(model, data, val, toy_training.run(compile="default"), batch_size=batch_size) == expected
    assert seen == shapes
