"""The recipes on a small model: they learn, repeat, report, stop in words, and fit each precision."""

from __future__ import annotations

import dataclasses
import importlib
import io
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
from vitbench_recipes.supervised import augmentation_of

from vitbench.catalog import load_catalog
from vitbench.errors import UsageError
from vitbench.planning.expand import expand
from vitbench.planning.suite import ModelEntry, Selection, Suite
from vitbench.protocols import Budget, TrainStep
from vitbench.specs import OptionValue, RecipeSpec, load_target
from vitbench.training import DivergedError, clock, evaluate_top1
from vitbench.worker.runtime import seed_all

pytestmark = pytest.mark.compute


SPECS: dict[str, RecipeSpec] = {spec.name: spec for spec in vitbench_recipes.vitbench_recipes()}
PLAIN = {"policy": "none", "erase": 0.0, "mixup": 0.0, "cutmix": 0.0, "ema": 0.9}
"""For trainings of a few steps, which learn nothing of what is changed that much."""
SHORT: dict[str, dict[str, Any]] = {
    "supervised": {"epochs": 8, "batch_size": 16, "warmup": 0.125, "lr": 0.01, **PLAIN},
    "finetune": {"steps": 48, "batch_size": 16, "lr": 0.05},
    "study": {"epochs": 8, "batch_size": 16},
}
BOTH = pytest.mark.parametrize("name", ["supervised", "finetune"])
EACH = pytest.mark.parametrize("name", SHORT)
TIMES = {"images_per_second", "wait_seconds", "train_seconds"}


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


@EACH
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(name: str) -> None:
    first, again, other = (fit(name, net(), seed=seed, budget=Budget(epochs=2)).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])


@EACH
def test_each_epoch_is_reported_with_loss_rate_and_accuracy(name: str) -> None:
    rows: list[dict[str, float]] = []
    fit(name, net(), rows=rows)
    assert [row["epoch"] for row in rows] == list(range(1, 9))  # 48 steps of 6 a pass are 8 epochs, too
    assert all(set(row) == {"epoch", "epochs", "loss", "lr", "val_top1"} | TIMES for row in rows)
    assert {row["epochs"] for row in rows} == {8}
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["lr"] == 0.003 if name == "study" else rows[-1]["lr"] < 0.01 * SHORT[name]["lr"]
    assert rows[-1]["val_top1"] == 1.0


@EACH
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


def planned_options(name: str, **settings: OptionValue) -> dict[str, OptionValue]:
    """Return the options that a recipe gets of what the user sets."""
    entry = ModelEntry(name="scratch/vit", recipe=f"recipes/{name}")
    suite = Suite(name="mine", summary="x", models=(entry,), datasets=("datasets/digits",))
    return expand(suite, load_catalog(), Selection(settings={name: settings}))[0].recipe_options


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


@BOTH
def test_the_optimiser_has_its_whole_schedule_whatever_sets_the_length(name: str) -> None:
    for length, steps in LENGTHS[name]:
        options = planned_options(name, batch_size=16, **length)
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


@pytest.mark.parametrize("share", [-0.1, 1.0])
@BOTH
def test_a_warm_up_that_leaves_no_decay_is_refused(name: str, share: float) -> None:
    with pytest.raises(UsageError, match=r"option warmup must be at (least 0|most 0.9), not"):
        planned_options(name, warmup=share)


def test_a_step_is_what_its_recipe_says() -> None:
    """The steps of all recipes beside the same arithmetic written out, to the last bit."""
    torch.manual_seed(1)
    inputs, labels = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 1, 0])
    for name, smoothing, clip_norm in (("supervised", 0.1, 1.0), ("finetune", 0.0, 1.0), ("study", 0.0, math.inf)):
        model, twin = net(), net()
        options = SPECS[name].defaults
        assert SPECS[name].step is not None
        taken = load_target(SPECS[name].step)(model, toy_training.run(options))
        optimizer: torch.optim.Optimizer
        if name == "supervised":
            groups = [
                {"params": [twin[0].weight, twin[4].weight], "weight_decay": 0.05},
                {"params": [twin[0].bias, twin[1].weight, twin[1].bias, twin[4].bias], "weight_decay": 0.0},
            ]
            optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
        elif name == "finetune":
            optimizer = torch.optim.SGD(twin.parameters(), lr=0.01, momentum=0.9, fused=True)
        else:
            optimizer = torch.optim.Adam(twin.parameters(), lr=0.003, fused=True)
        for _ in range(3):
            logits = twin(inputs)
            loss = nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="sum") / 4
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([each for group in optimizer.param_groups for each in group["params"]], clip_norm)
            optimizer.step()
            assert torch.equal(taken.take(inputs, labels), loss)
        state, other = model.state_dict(), twin.state_dict()
        assert all(torch.equal(state[key], other[key]) for key in state)


@EACH
def test_a_fit_takes_its_own_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"vitbench_recipes.{name}")
    taken: list[float] = []

    of_recipe: Callable[..., TrainStep] = module.step

    def step(*args: Any) -> TrainStep:
        own = of_recipe(*args)

        def take(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            taken.append(own.optimizer.param_groups[0]["lr"])
            return own.take(inputs, labels)

        return dataclasses.replace(own, take=take)

    monkeypatch.setattr(module, "step", step)
    fit(name, net())
    assert len(taken) == 48
    assert max(taken) == SHORT[name].get("lr", 0.003)


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


@EACH
def test_a_loss_that_is_no_number_stops_it_in_words(name: str) -> None:
    model = net()
    with torch.no_grad():
        model[-1].bias[0] = math.nan
    with pytest.raises(DivergedError, match="the loss became nan at step 1; lower the recipe's option lr"):
        fit(name, model)


@pytest.mark.parametrize(
    ("name", "precision"), [("supervised", "float16"), ("finetune", "bfloat16"), ("study", "float16")]
)
def test_it_learns_in_reduced_precision(name: str, precision: str) -> None:
    model = fit(name, net(), precision=precision)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert val_top1(model) > 0.9


@EACH
def test_it_learns_in_channels_last(name: str) -> None:
    model = fit(name, net(), channels_last=True)
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert val_top1(model) == 1.0


@EACH
def test_frozen_parameters_stay_as_they_are(name: str) -> None:
    model = net()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    assert torch.equal(fit(name, model)[0].weight, before)


@EACH
def test_fewer_images_than_a_batch_still_train(name: str) -> None:
    data = toy_training.train_val(toy_training.split(*toy_training.bars(6)), toy_training.split(*toy_training.bars(2)))
    rows: list[dict[str, float]] = []
    fit(name, net(), data=data, rows=rows, budget=Budget(epochs=3))
    assert [row["epoch"] for row in rows] == [1, 2, 3]


@EACH
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
    strong = {"policy": "autoaugment", "erase": 0.25, "mixup": 0.8, "cutmix": 1.0, "jitter": 0.4, "cutout": 0.5}
    nothing = {"crop": "none", "flip": False}
    data = toy_training.bars_data(augmentations=("crop", "flip"))
    plain, off, on = (
        fit("supervised", net(), data=data, options=options, budget=Budget(epochs=1))
        for options in (nothing, strong | {"augment": False}, strong)
    )
    assert torch.equal(off[0].weight, plain[0].weight)
    assert not torch.equal(on[0].weight, plain[0].weight)


@pytest.mark.parametrize(("side", "crop"), [(32, "padded"), (64, "resized")])
def test_photographs_are_cropped_at_any_scale(side: int, crop: str) -> None:
    data = toy_training.bars_data(image_size=(side, side), augmentations=("crop",))
    assert augmentation_of(SPECS["supervised"].defaults, data).crop == crop


def priors(name: str, **options: Any) -> float:
    """Return the probability of the smaller class, of one image in six, where images say nothing of their class."""
    images, labels = np.zeros((96, 1, 8, 8), np.uint8), (np.arange(96) % 6 == 0).astype(np.int64)
    blank = toy_training.split(images, labels)
    longer = {"epochs": 30, "steps": 180, "label_smoothing": 0.0, "lr": 0.05, "weight_decay": 0.0, **options}
    chosen = {key: value for key, value in longer.items() if key in SPECS[name].defaults}
    model = fit(
        name, nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), data=toy_training.train_val(blank, blank), options=chosen
    )
    return model(torch.full((1, 1, 8, 8), -1.5)).detach().softmax(1)[0, 1].item()


def test_unbalanced_classes_can_be_made_to_count_alike() -> None:
    assert priors("supervised") == pytest.approx(1 / 6, abs=0.03)
    for name, balance in (("supervised", "loss"), ("supervised", "sampling"), ("finetune", "sampling")):
        assert priors(name, balance=balance) == pytest.approx(1 / 2, abs=0.12), (name, balance)


@BOTH
def test_the_best_epoch_is_returned_and_patience_ends_the_training(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.2, 0.9, 0.3, 0.4, 0.9])
    seen: list[torch.Tensor] = []

    def evaluated(model: nn.Module, *_: Any, **__: Any) -> float:
        seen.append(model[0].weight.detach().clone())
        return next(scores)

    monkeypatch.setattr(importlib.import_module(f"vitbench_recipes.{name}"), "evaluate_top1", evaluated)
    rows: list[dict[str, float]] = []
    model = fit(name, net(), rows=rows, options={"keep": "best", "patience": 2})
    assert [row["best_epoch"] for row in rows] == [1, 2, 2, 2]
    assert torch.equal(model[0].weight, seen[1])


@EACH
def test_the_times_of_an_epoch_leave_its_evaluation_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def read() -> float:
        nonlocal now
        now += 1
        return now

    def evaluated(*_: Any, **__: Any) -> float:
        nonlocal now
        now += 10_000
        return 0.5

    monkeypatch.setattr(clock, "perf_counter", read)
    monkeypatch.setattr(importlib.import_module(f"vitbench_recipes.{name}"), "evaluate_top1", evaluated)
    rows: list[dict[str, float]] = []
    fit(name, net(), rows=rows, budget=Budget(epochs=2))
    assert len(rows) == 2
    assert 0 < rows[-1]["train_seconds"] < 1000


def test_the_average_of_the_weights_is_returned() -> None:
    """The average changes no step, so that the weights of the last one are those of a training without it."""
    last, average = (fit("supervised", net(), options={"epochs": 1, "ema": ema})[0].weight for ema in (0.0, 0.9))
    assert not torch.equal(last, average)


def test_layer_decay_scales_the_rates_of_layers() -> None:
    class Layered(nn.Sequential):
        def group_matcher(self, coarse: bool) -> dict[str, Any]:
            return {"stem": "^0", "blocks": [(r"^(1)\.", None)]}

    rates: list[list[float]] = []
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, *_: rates.append([group["lr"] for group in optimizer.param_groups])
    )
    try:
        options = {"layer_decay": 0.5, "warmup": 0.0, "steps": 1}
        fit("finetune", Layered(*net()), options=options)
    finally:
        hook.remove()
    assert sorted(set(rates[0])) == pytest.approx([0.05 / 4, 0.05 / 2, 0.05])
    with pytest.raises(UsageError, match="needs a model that defines its layers"):
        fit("finetune", net(), options={"layer_decay": 0.5})


ALL_AT_ONCE = {
    "supervised": {
        "epochs": 3,
        "micro_batch": 5,
        "optimizer": "muon",
        "ema": 0.9,
        "balance": "sampling",
        "keep": "best",
        "patience": 9,
        "repeats": 2,
        "policy": "randaugment",
        "jitter": 0.2,
        "cutout": 0.2,
        "erase": 0.5,
        "mixup": 0.8,
        "cutmix": 1.0,
    },
    "finetune": {"steps": 15, "micro_batch": 7, "balance": "loss", "keep": "best"},
    "study": {"epochs": 3},
}


@EACH
def test_a_training_that_was_killed_ends_with_the_same_bits(name: str) -> None:
    """Every step is saved, and the training goes on from five: within epochs, at their ends, at the last one."""
    saved: dict[int, bytes] = {}

    def save(step: int, state: Mapping[str, Any]) -> None:
        torch.save(state, buffer := io.BytesIO())
        saved[step] = buffer.getvalue()

    def end_of(start: int) -> tuple[nn.Module, list[dict[str, float]]]:
        def resume() -> tuple[int, Mapping[str, Any]] | None:
            return (start, torch.load(io.BytesIO(saved[start]), weights_only=True)) if start else None

        rows: list[dict[str, float]] = []
        seed_all(3)
        model = nn.Sequential(*net(), nn.Dropout(0.2))
        data = toy_training.bars_data(augmentations=("crop", "flip"))
        hands = {"resume": resume, "save": (lambda *_: None) if start else save, "save_seconds": 0.0}
        return fit(name, model, data=data, rows=rows, options=ALL_AT_ONCE[name], seed=3, **hands), rows

    whole, rows = end_of(0)
    last = max(saved)
    assert last == (14 if name == "finetune" else 17)
    for start in (1, 5, 6, 11, last):
        again, rest = end_of(start)
        state, other = whole.state_dict(), again.state_dict()
        assert all(torch.equal(state[key], other[key]) for key in state), start
        untimed = [[{key: row[key] for key in row.keys() - TIMES} for row in each] for each in (rows, rest)]
        assert untimed[1] == untimed[0][start // 6 :], start


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"repeats": 17}, "repeats must be 1 to the batch size of 16, not 17"),
        ({"patience": 2}, "patience = 2 needs keep"),
        ({"optimizer": "muun"}, 'there is no optimizer "muun"; similar names: muon'),
        ({"scale": (0.5, 0.1)}, "scale must be two rising shares"),
    ],
)
def test_impossible_options_are_refused_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fit("supervised", net(), options=options)


def test_evaluate_changes_nothing_and_asks_for_the_models_own_head() -> None:
    model = net()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    returned = load_target(SPECS["evaluate"].fit)(model, toy_training.bars_data(), toy_training.run())
    assert returned is model
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert SPECS["evaluate"].model_options == {"head": "own"}
