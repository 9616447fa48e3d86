"""The recipes on a small model: they learn, repeat, report, stop in words, and fit each precision."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import toy_training
import vitbench_recipes
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from vitbench.catalog import load_catalog
from vitbench.errors import UsageError
from vitbench.planning.expand import expand
from vitbench.planning.suite import ModelEntry, Selection, Suite
from vitbench.protocols import Budget, FitRun, TrainStep
from vitbench.specs import OptionValue, RecipeSpec, load_target
from vitbench.training import DivergedError, evaluate_top1

pytestmark = pytest.mark.compute


SPECS: dict[str, RecipeSpec] = {spec.name: spec for spec in vitbench_recipes.vitbench_recipes()}
SHORT = {
    "supervised": {"epochs": 8, "batch_size": 16, "warmup": 0.125, "lr": 0.01},
    "finetune": {"steps": 48, "batch_size": 16, "lr": 0.05},
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
def test_the_users_epochs_shorten_the_run(name: str) -> None:
    rows: list[dict[str, float]] = []
    fit(name, net(), rows=rows, budget=Budget(epochs=2))
    assert [row["epoch"] for row in rows] == [1, 2]


def rates_of(name: str, options: Mapping[str, OptionValue], budget: Budget | None = None) -> list[float]:
    """Return the rate that each step of the optimiser takes in a training, the same in all of its groups."""
    found: list[float] = []

    def before_a_step(optimizer: torch.optim.Optimizer, *_: object) -> None:
        [rate] = {group["lr"] for group in optimizer.param_groups}
        found.append(rate)

    run = toy_training.run(options, budget=budget or Budget())
    hook = register_optimizer_step_pre_hook(before_a_step)
    try:
        load_target(SPECS[name].fit)(net(), toy_training.bars_data(), run)
    finally:
        hook.remove()
    return found


def planned_options(name: str, suite: Suite, **selection: Any) -> dict[str, OptionValue]:
    """Return the options that a recipe gets of a suite and what the user selects."""
    return expand(suite, load_catalog(), Selection(**selection))[0].recipe_options


def suite_of(name: str, *, of_recipe: dict[str, OptionValue], of_model: dict[str, OptionValue]) -> Suite:
    entry = ModelEntry(name="scratch/vit", recipe=f"recipes/{name}", recipe_options=of_model)
    return Suite(name="mine", summary="x", models=(entry,), datasets=("datasets/digits",), recipes={name: of_recipe})


ROADS = {
    "option": lambda name, length: SPECS[name].defaults | {"batch_size": 16} | length,
    "suite": lambda name, length: planned_options(
        name, suite_of(name, of_recipe={"batch_size": 16, **length}, of_model={})
    ),
    "model": lambda name, length: planned_options(
        name, suite_of(name, of_recipe={"batch_size": 16}, of_model=dict(length))
    ),
    "--set": lambda name, length: planned_options(
        name, suite_of(name, of_recipe={}, of_model={}), settings={name: {"batch_size": 16, **length}}
    ),
}
"""What sets a training's length but --epochs: gives a recipe's options."""
LENGTHS: dict[str, list[tuple[dict[str, OptionValue], int]]] = {
    # 96 images are 6 steps of 16.
    "supervised": [({"epochs": 10}, 60), ({"epochs": 5}, 30), ({"epochs": 1}, 6)],
    "finetune": [({"steps": 20}, 20), ({"steps": 50}, 50), ({"steps": 2}, 2), ({"steps": 1}, 1)],
}


def check_schedule(rates: Sequence[float], peak: float, *, steps: int, warmup: int) -> None:
    """Hold rates against the whole schedule: equal steps up, the peak once, and half a cosine down towards 0."""
    assert len(rates) == steps
    up, down = rates[: warmup + 1], rates[warmup:]
    assert up == pytest.approx([peak * (step + 1) / (warmup + 1) for step in range(warmup + 1)])
    assert (max(rates), rates.count(peak)) == (peak, 1)
    assert down == pytest.approx([peak * math.cos(math.pi / 2 * i / len(down)) ** 2 for i in range(len(down))])
    assert rates[-1] <= peak * (math.pi / 2 / len(down)) ** 2 or steps == 1


@pytest.mark.parametrize("road", ROADS)
@BOTH
def test_the_optimiser_has_its_whole_schedule_whatever_sets_the_length(name: str, road: str) -> None:
    for length, steps in LENGTHS[name] if road == "option" else LENGTHS[name][:1]:
        options = ROADS[road](name, length)
        check_schedule(rates_of(name, options), options["lr"], steps=steps, warmup=round(0.1 * steps))


@pytest.mark.parametrize(("epochs", "warmup"), [(5, 3), (1, 1)])
@BOTH
def test_a_budget_has_the_whole_schedule_too(name: str, epochs: int, warmup: int) -> None:
    options = SPECS[name].defaults | {"batch_size": 16}
    rates = rates_of(name, options, Budget(epochs=epochs))
    check_schedule(rates, options["lr"], steps=6 * epochs, warmup=warmup)


@BOTH
def test_warm_up_is_a_share_that_may_be_nothing(name: str) -> None:
    options = SPECS[name].defaults | {"batch_size": 16}
    for share, warmup in ((0.0, 0), (0.5, 6)):
        rates = rates_of(name, options | {"warmup": share}, Budget(epochs=2))
        check_schedule(rates, options["lr"], steps=12, warmup=warmup)


@pytest.mark.parametrize("share", [-0.1, 1.0, 30])
@BOTH
def test_a_warm_up_that_leaves_no_decay_is_refused(name: str, share: float) -> None:
    with pytest.raises(UsageError, match=r"option warmup must be at (least 0|most 0.9), not"):
        planned_options(name, suite_of(name, of_recipe={}, of_model={}), settings={name: {"warmup": share}})


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
