"""The recipes on a small model: they learn, repeat, report, stop in words, and fit each precision."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import toy_training
import vitbench_recipes
from torch import nn

from vitbench.errors import UsageError
from vitbench.protocols import Budget, FitRun, TrainStep
from vitbench.specs import RecipeSpec, load_target
from vitbench.training import DivergedError, evaluate_top1

pytestmark = pytest.mark.compute


SPECS: dict[str, RecipeSpec] = {spec.name: spec for spec in vitbench_recipes.vitbench_recipes()}
SHORT = {
    "supervised": {"epochs": 8, "batch_size": 16, "warmup_epochs": 1, "lr": 0.01},
    "finetune": {"steps": 48, "batch_size": 16, "warmup_steps": 5, "lr": 0.05},
}
BOTH = pytest.mark.parametrize("name", ["supervised", "finetune"])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 2))


def fit(name: str, model: nn.Module, *, rows: list[dict[str, float]] | None = None, **changes: Any) -> nn.Module:
    options = SPECS[name].defaults | SHORT[name] | changes.pop("options", {})
    data = changes.pop("data", None) or toy_training.bars_data()
    log = rows.append if rows is not None else (lambda row: None)
    run = toy_training.run(options, log=lambda **row: log(row), **changes)
    torch.manual_seed(run.seed)
    return load_target(SPECS[name].fit)(model, data, run)


def val_top1(model: nn.Module) -> float:
    data = toy_training.bars_data()
    return evaluate_top1(model, data, data.val, toy_training.run(), batch_size=32)


@BOTH
def test_it_learns(name: str) -> None:
    assert val_top1(fit(name, net())) == 1.0


@BOTH
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(name: str) -> None:
    first, again, other = (fit(name, net(), seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])


@BOTH
def test_each_epoch_is_reported_with_loss_rate_and_accuracy(name: str) -> None:
    rows: list[dict[str, float]] = []
    fit(name, net(), rows=rows)
    assert [row["epoch"] for row in rows] == list(range(1, 9))  # 48 steps of 6 a pass are 8 epochs, too
    assert all(set(row) == {"epoch", "epochs", "loss", "lr", "val_top1"} and row["epochs"] == 8 for row in rows)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["lr"] < 0.01 * SHORT[name]["lr"]
    assert rows[-1]["val_top1"] == 1.0


@BOTH
def test_the_users_epochs_shorten_the_run_and_its_warm_up(name: str) -> None:
    rows: list[dict[str, float]] = []
    fit(name, net(), rows=rows, budget=Budget(epochs=2))
    assert [row["epoch"] for row in rows] == [1, 2]
    assert max(row["lr"] for row in rows) > SHORT[name]["lr"] / 2


def test_a_step_is_what_its_recipe_says() -> None:
    """The steps of both recipes beside the same arithmetic written out, to the last bit."""
    torch.manual_seed(1)
    inputs, labels = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 1, 0])
    for name, smoothing in (("supervised", 0.1), ("finetune", 0.0)):
        model, twin = net(), net()
        options = SPECS[name].defaults
        assert SPECS[name].step is not None
        taken = load_target(SPECS[name].step)(model, toy_training.run(options))
        if name == "supervised":
            groups = [
                {"params": [twin[0].weight, twin[4].weight], "weight_decay": 0.05},
                {"params": [twin[0].bias, twin[1].weight, twin[1].bias, twin[4].bias], "weight_decay": 0.0},
            ]
            optimizer: torch.optim.Optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
        else:
            optimizer = torch.optim.SGD(twin.parameters(), lr=0.01, momentum=0.9)
        for _ in range(3):
            loss = nn.functional.cross_entropy(twin(inputs), labels, label_smoothing=smoothing)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([each for group in optimizer.param_groups for each in group["params"]], 1.0)
            optimizer.step()
            assert torch.equal(taken.take(inputs, labels), loss)
        state, other = model.state_dict(), twin.state_dict()
        assert all(torch.equal(state[key], other[key]) for key in state)


@BOTH
def test_a_fit_takes_its_own_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"vitbench_recipes.{name}")
    taken: list[float] = []

    def step(model: nn.Module, run: FitRun, of_recipe: Callable[..., TrainStep] = module.step) -> TrainStep:
        own = of_recipe(model, run)

        def take(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            taken.append(own.optimizer.param_groups[0]["lr"])
            return own.take(inputs, labels)

        return TrainStep(optimizer=own.optimizer, take=take)

    monkeypatch.setattr(module, "step", step)
    fit(name, net())
    assert len(taken) == 48
    assert max(taken) == SHORT[name]["lr"]


def test_steps_may_end_within_an_epoch() -> None:
    rows: list[dict[str, float]] = []
    taken = 0

    class Counting(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            nonlocal taken
            taken += self.training
            return super().forward(x)

    model = nn.Sequential(nn.Flatten(), Counting(64, 2))
    fit("finetune", model, rows=rows, options={"steps": 10})
    assert taken == 10
    assert [row["epoch"] for row in rows] == [1, 2]


@BOTH
def test_a_loss_that_is_no_number_stops_it_in_words(name: str) -> None:
    model = net()
    with torch.no_grad():
        model[-1].bias[0] = math.nan
    with pytest.raises(DivergedError, match="the loss became nan at step 1; lower the recipe's option lr"):
        fit(name, model)


@BOTH
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_it_learns_in_reduced_precision(name: str, precision: str) -> None:
    model = fit(name, net(), precision=precision)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert val_top1(model) > 0.9


@BOTH
def test_it_learns_in_channels_last(name: str) -> None:
    model = fit(name, net(), channels_last=True)
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert val_top1(model) == 1.0


@BOTH
def test_frozen_parameters_stay_as_they_are(name: str) -> None:
    model = net()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    assert torch.equal(fit(name, model)[0].weight, before)


@BOTH
def test_fewer_images_than_a_batch_still_train(name: str) -> None:
    data = toy_training.train_val(toy_training.split(*toy_training.bars(6)), toy_training.split(*toy_training.bars(2)))
    rows: list[dict[str, float]] = []
    fit(name, net(), data=data, rows=rows, budget=Budget(epochs=3))
    assert [row["epoch"] for row in rows] == [1, 2, 3]


@BOTH
def test_images_are_augmented_only_as_the_data_allow(name: str) -> None:
    """The model is shown one image, with a bright left half: only a flip brings light to the right edge."""
    images = np.zeros((1, 1, 8, 8), np.uint8)
    images[..., :4] = 255
    one = toy_training.split(images, np.zeros(1))
    for allowed, expected in (((), False), (("flip",), True)):
        lit = []

        class Watching(nn.Linear):
            def forward(self, x: torch.Tensor, lit: list[bool] = lit) -> torch.Tensor:
                lit.append(self.training and bool(x[0, 7] > 0))
                return super().forward(x)

        data = toy_training.train_val(one, one, augmentations=allowed)
        fit(name, nn.Sequential(nn.Flatten(), Watching(64, 2)), data=data, budget=Budget(epochs=20))
        assert any(lit) == expected


def test_augmentation_can_be_turned_off() -> None:
    plain, off, on = (
        fit("supervised", net(), data=toy_training.bars_data(augmentations=allowed), options={"augment": asked})
        for allowed, asked in (((), True), (("crop",), False), (("crop",), True))
    )
    assert torch.equal(off[0].weight, plain[0].weight)
    assert not torch.equal(on[0].weight, plain[0].weight)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"epochs": 0}, "epochs must be at least 1, not 0"), ({"batch_size": 0}, "batch_size must be at least 1, not 0")],
)
def test_impossible_options_are_refused_in_words(options: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fit("supervised", net(), options=options)


def test_evaluate_changes_nothing_and_asks_for_the_models_own_head() -> None:
    model = net()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    returned = load_target(SPECS["evaluate"].fit)(model, toy_training.bars_data(), toy_training.run())
    assert returned is model
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert SPECS["evaluate"].model_options == {"head": "own"}
