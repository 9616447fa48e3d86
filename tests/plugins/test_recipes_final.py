"""What recipes learn from last (`final`), and VTAB's lightweight sweep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import toy_training
import vitbench_recipes
from torch import nn
from vitbench_recipes import finetune, linear_probe, probing
from vitbench_recipes.probing import Known

from vitbench.errors import UsageError
from vitbench.protocols import Budget, Split, TrainVal
from vitbench.specs import load_target
from vitbench.training import evaluate_top1

pytestmark = pytest.mark.compute
SPECS = {spec.name: spec for spec in vitbench_recipes.vitbench_recipes()}
SHORT: dict[str, dict[str, Any]] = {
    "supervised": {"epochs": 8, "batch_size": 16, "lr": 0.01, "augment": False, "ema": 0.9},
    "finetune": {"steps": 48, "batch_size": 16, "lr": 0.05},
}
BOTH = pytest.mark.parametrize("name", SHORT)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def net(classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, classes))


def a_class_for_validation_alone() -> TrainVal:
    """Bars of two classes to learn from; all validation images are black, and of a third class."""
    black = np.zeros((32, 1, 8, 8), np.uint8)
    val = toy_training.split(black, np.full(32, 2))
    return toy_training.train_val(toy_training.split(*toy_training.bars(96)), val, num_classes=3)


def fit(name: str, rows: list[dict[str, float]] | None = None, **changes: Any) -> nn.Module:
    options = SPECS[name].defaults | SHORT[name] | changes.pop("options", {})
    log = rows.append if rows is not None else (lambda row: None)
    run = toy_training.run(options, log=lambda **row: log(row) if row else None, **changes)
    torch.manual_seed(0)
    return load_target(SPECS[name].fit)(net(), a_class_for_validation_alone(), run)


def black_known(model: nn.Module) -> float:
    data = a_class_for_validation_alone()
    return evaluate_top1(model, data, data.val, toy_training.run(), batch_size=32)


@BOTH
def test_validation_images_are_learned_from_where_final_says_so_and_only_there(name: str) -> None:
    rows: list[dict[str, float]] = []
    assert black_known(fit(name)) == 0.0
    assert black_known(fit(name, rows, options={"final": "trainval"})) == 1.0
    # Eight batches of 16 are 96 + 32 images; no accuracy on images that are learned from is told.
    assert len(rows) == (6 if name == "finetune" else 8)
    assert all("val_top1" not in row for row in rows)


@BOTH
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"judged": "val"}, 'which --split val judges by; set final = "train"'),
        ({"options": {"final": "trainval", "keep": "best"}}, 'set keep = "last"'),
    ],
)
def test_what_is_learned_from_neither_judges_nor_chooses(name: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fit(name, **{"options": {"final": "trainval"}, **changes})


def test_a_probe_is_learned_anew_from_all_at_the_strength_that_validation_chose() -> None:
    random = torch.Generator().manual_seed(0)
    means = torch.randn(2, 6, generator=random)
    labels = torch.arange(60) % 2
    x = means[labels] + 2 * torch.randn(60, 6, generator=random)
    data = toy_training.bars_data()
    features = {96: x.repeat(2, 1)[:96].numpy(), 32: x[:32].flip(0).numpy()}
    made: list[nn.Module] = []

    def head_of(**changes: Any) -> nn.Module:
        def extract(model: nn.Module, split: Split) -> np.ndarray:
            return features[len(split)]

        options = {"labels": 1.0, "folds": 1, "final": "train", **changes}
        run = toy_training.run(options, features=extract)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Linear(6, 2))
        made.append(linear_probe.fit(model, data, run)[-1])
        return made[-1]

    train = Known(
        train=torch.from_numpy(features[96]),
        train_labels=torch.from_numpy(data.train.labels),
        val=torch.from_numpy(features[32]),
        val_labels=torch.from_numpy(data.val.labels),
        num_classes=2,
    )
    chosen = linear_probe.learned(train, toy_training.run()).chosen
    both = Known(
        train=torch.cat([train.train, train.val]),
        train_labels=torch.cat([train.train_labels, train.val_labels]),
        val=train.val,
        val_labels=train.val_labels,
        num_classes=2,
    )
    wanted = linear_probe.relearned(both, toy_training.run(), chosen)
    assert wanted.chosen == chosen
    assert torch.equal(head_of(final="trainval").weight, wanted.head.weight)
    assert not torch.equal(head_of().weight, wanted.head.weight)
    assert probing.FEW_IMAGES > 32


@pytest.mark.parametrize(("folds", "refused"), [(1, True), (2, False)])
def test_a_probe_that_is_judged_by_folds_may_learn_from_validation_images(folds: int, refused: bool) -> None:
    data = toy_training.bars_data()
    options = {"labels": 1.0, "folds": folds, "final": "trainval"}
    run = toy_training.run(
        options,
        judged="val",
        features=lambda _, split: split.images[split.index].reshape(len(split), -1) / np.float32(9),
    )
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 2))
    if refused:
        with pytest.raises(UsageError, match="--split val judges by"):
            linear_probe.fit(model, data, run)
    else:
        linear_probe.fit(model, data, run)


def test_the_sweep_trains_last_as_the_best_candidate_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "SWEEP_RATES", (1e-6, 0.05))
    monkeypatch.setattr(finetune, "SWEEP_STEPS", (6, 48))
    rows: list[dict[str, float]] = []
    options = SPECS["finetune"].defaults | {"batch_size": 16, "sweep": "lightweight"}
    run = toy_training.run(options, log=lambda **row: rows.append(row) if row else None)
    torch.manual_seed(0)
    swept = finetune.fit(net(2), toy_training.bars_data(), run)
    assert {row["chosen_lr"] for row in rows} == {0.05}
    assert len(rows) in (1, 8), "the candidates have no rows"
    best = {"lr": 0.05, "steps": int(rows[0]["chosen_steps"]), "sweep": "none"}
    direct = finetune.fit(net(2), toy_training.bars_data(), toy_training.run(options | best))
    assert all(torch.equal(one, other) for one, other in zip(swept.parameters(), direct.parameters(), strict=True))
    assert rows[-1]["val_top1"] == rows[-1]["chosen_val_top1"] == 1.0


@pytest.mark.parametrize("budget", [Budget(steps=100), Budget(seconds=10.0)])
def test_no_budget_bounds_a_sweep(budget: Budget) -> None:
    with pytest.raises(UsageError, match='sweep = "lightweight" has its own lengths'):
        fit("finetune", options={"sweep": "lightweight"}, budget=budget)


def test_a_sweep_chooses_by_validation_images_and_learning_from_them_does_not() -> None:
    spec = SPECS["finetune"]
    assert spec.chooses_under(spec.defaults | {"final": "trainval"}) == ""
    assert spec.chooses_under(spec.defaults | {"sweep": "lightweight"}) == "sweep=lightweight"
    assert spec.chooses_under(spec.defaults | {"keep": "best"}) == "keep=best"


def test_finetune_takes_adamw_with_weight_decay_for_whole_epochs() -> None:
    rows: list[dict[str, float]] = []
    options = {"steps": 0, "epochs": 3, "optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1}
    fit("finetune", rows, options=options)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    run = toy_training.run(SPECS["finetune"].defaults | SHORT["finetune"] | options)
    optimizer = finetune.step(net(), run).optimizer
    assert isinstance(optimizer, torch.optim.AdamW)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]


class Counting(nn.Module):
    """Counts its training steps in a buffer that no state dict has, and notes where each candidate starts."""

    def __init__(self) -> None:
        super().__init__()
        self.body = net(2)
        self.register_buffer("steps", torch.zeros(()), persistent=False)
        self.began: list[float] = []

    def train(self, mode: bool = True) -> Counting:
        if mode:
            self.began.append(float(self.steps))
        return super().train(mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.steps += 1
        return self.body(x)


def test_each_candidate_of_a_sweep_starts_from_the_same_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "SWEEP_STEPS", (6,))
    model = Counting()
    options = SPECS["finetune"].defaults | {"batch_size": 16, "sweep": "lightweight"}
    finetune.fit(model, toy_training.bars_data(), toy_training.run(options))
    assert model.began[::2] == [0.0, 0.0, 0.0]  # before its epoch; the others come after its evaluation


def test_no_length_is_chosen_where_the_users_epochs_replace_it() -> None:
    rows: list[dict[str, float]] = []
    fit("finetune", rows, options={"sweep": "lightweight"}, budget=Budget(epochs=1))
    assert len(rows) == 1
    assert "chosen_lr" in rows[0]
    assert "chosen_steps" not in rows[0]
