"""Checks of recipes: a good one passes them all, and each bad one is caught by the check that names its fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vitbench.errors import UsageError
from vitbench.protocols import FitRun, TrainVal
from vitbench.specs import ModelSpec, RecipeSpec
from vitbench.testing import Outcome, RecipeCase, checks_for, run_checks
from vitbench.training import batches, preprocess

Fit = Callable[[nn.Module, TrainVal, FitRun], Any]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def run(fit: Fit, *, only: str = "", model: ModelSpec | None = None, **fields: Any) -> dict[str, Outcome]:
    spec = RecipeSpec(name="fit", fit=fit, summary="A recipe", options={"epochs": 5, "lr": 0.1}, **fields)
    checks = checks_for("mine/fit", RecipeCase(spec=spec, model=model))
    return {one.check: one for one in run_checks([check for check in checks if only in ("", check.name)])}


def failed(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.reason for name, outcome in outcomes.items() if outcome.status == "failed"}


def sgd(
    model: nn.Module,
    data: TrainVal,
    run: FitRun,
    *,
    seed: int | None = None,
    generator: torch.Generator | None = None,
    epochs: int | None = None,
    uphill: bool = False,
    shift: float = 0.0,
) -> nn.Module:
    """Train by plain SGD; the keywords are the faults."""
    model = model.to(run.device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, maximize=uphill)
    generator = generator or torch.Generator().manual_seed(run.seed if seed is None else seed)
    for _ in range(epochs or run.budget.epochs or run.options["epochs"]):
        for images, labels in batches(data.train, batch_size=32, device=run.device, generator=generator):
            inputs = preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
            loss = F.cross_entropy(model(inputs + shift), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


def test_a_good_recipe_passes_all() -> None:
    assert {outcome.status for outcome in run(sgd).values()} == {"passed"}


def test_a_recipe_that_trains_nothing_and_says_so_passes_what_applies() -> None:
    outcomes = run(lambda model, data, run: model, trains=False)
    assert failed(outcomes) == {}
    assert {name for name, one in outcomes.items() if one.status == "passed"} == {
        *("check_recipe_returns_model", "check_recipe_trains", "check_recipe_sees_its_split"),
        "check_recipe_leaves_flags",
    }


# Bad recipes, each by the check that must catch it --------------------------------------------------------------------

FRESH = torch.Generator()


def breaks(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    raise IndexError("no batch 6")


def not_finite(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    with torch.no_grad():
        model.head.bias.fill_(torch.nan)
    return model


def other_head(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    model.head = nn.Linear(model.head.in_features, 7)
    return model


def statistics_of_all(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    return sgd(model, data, run, shift=float(np.asarray(data.train.images).mean()) / 255)


def peeks_at_the_test_split(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    shift = 0.0
    if isinstance(data.train.images, np.memmap):
        shift = float(np.load(Path(data.train.images.filename).with_name("test-images.npy")).mean()) / 255
    return sgd(model, data, run, shift=shift)


def goes_away(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    return sgd(model, data, run).to("meta")


def sets_a_flag(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    torch.backends.cudnn.benchmark = True
    return sgd(model, data, run)


def turns_gradients_off(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    model = sgd(model, data, run)
    torch.set_grad_enabled(False)
    return model


BAD: dict[str, tuple[str, str, Fit, dict[str, Any]]] = {
    "an error": ("check_recipe_returns_model", "fit raised IndexError: no batch 6 (test_testing_re", breaks, {}),
    "no return": ("check_recipe_returns_model", "fit gave NoneType", lambda model, data, run: None, {}),
    "not finite": ("check_recipe_returns_model", "logits are not finite", not_finite, {}),
    "another head": ("check_recipe_returns_model", "after fit the model gave an output of shape", other_head, {}),
    "no training": (
        "check_recipe_trains",
        "fit does not change the model, and the spec says trains=True",
        lambda model, data, run: model,
        {},
    ),
    "secret training": (
        "check_recipe_trains",
        "fit changes the model, and the spec says trains=False",
        sgd,
        {"trains": False},
    ),
    "uphill": (
        "check_recipe_loss_falls",
        "no better than that of a guess, 1.099",
        lambda model, data, run: sgd(model, data, run, uphill=True),
        {},
    ),
    "chance of its own": (
        "check_recipe_seed",
        "the same seed gives other weights",
        lambda model, data, run: sgd(model, data, run, generator=FRESH),
        {},
    ),
    "a fixed seed": (
        "check_recipe_seed",
        "another seed gives the same weights",
        lambda model, data, run: sgd(model, data, run, seed=0),
        {},
    ),
    "a budget of its own": (
        "check_recipe_budget",
        "1 epoch of 192 images shows the model 384 images, 3 epochs 384",
        lambda model, data, run: sgd(model, data, run, epochs=2),
        {},
    ),
    "another device": ("check_recipe_device", "with run.device cpu, convolution.weight", goes_away, {}),
    "statistics of all images": ("check_recipe_sees_its_split", "change the weights", statistics_of_all, {}),
    "a look at the test split": ("check_recipe_sees_its_split", "change the weights", peeks_at_the_test_split, {}),
    "a flag": ("check_recipe_leaves_flags", "fit changes torch's cudnn.benchmark", sets_a_flag, {}),
    "grad mode": ("check_recipe_leaves_flags", "fit changes torch's grad_enabled", turns_gradients_off, {}),
}


@pytest.mark.parametrize("case", BAD)
def test_each_bad_recipe_is_caught_by_name(case: str) -> None:
    check, words, fit, fields = BAD[case]
    (outcome,) = run(fit, only=check, **fields).values()
    assert (outcome.check, outcome.status) == (check, "failed")
    assert words in outcome.reason


@pytest.mark.parametrize(
    "case", ["secret training", "uphill", "a fixed seed", "a budget of its own", "a look at the test split", "a flag"]
)
def test_a_fault_fails_no_other_check(case: str) -> None:
    check, _, fit, fields = BAD[case]
    assert list(failed(run(fit, **fields))) == [check]


def test_every_check_has_a_bad_recipe() -> None:
    names = {check.name for check in checks_for("r", RecipeCase(spec=RecipeSpec(name="r", fit=sgd, summary="x")))}
    assert {check for check, *_ in BAD.values()} == names


# A recipe for one baseline --------------------------------------------------------------------------------------------


class Frequencies(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("logits", torch.zeros(num_classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1)


def count(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    if not isinstance(model, Frequencies):
        raise UsageError("counts for the baseline only")
    model.logits.copy_(torch.bincount(torch.from_numpy(data.train.labels)).log())
    return model


def test_a_recipe_for_a_baseline_gets_it_and_needs_no_passes() -> None:
    baseline = ModelSpec(
        name="frequencies", build=lambda num_classes, **_: Frequencies(num_classes), summary="x", tags=("baseline",)
    )
    outcomes = run(count, model=baseline)
    assert failed(outcomes) == {}
    assert {name: one.reason for name, one in outcomes.items() if one.status == "skipped"} == {
        "check_recipe_budget": "it makes no passes in train mode"
    }
    assert "UsageError" not in failed(run(count))["check_recipe_trains"]
    assert "counts for the baseline only" in failed(run(count))["check_recipe_trains"]
