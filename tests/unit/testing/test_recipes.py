"""Checks of recipes: a good one passes them all, and each bad one is caught by the check that names its fault."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vitbench.errors import UsageError
from vitbench.protocols import FitRun, TrainStep, TrainVal
from vitbench.specs import ModelSpec, Option, Preprocess, RecipeSpec
from vitbench.testing import Outcome, RecipeCase, checks_for, checks_of, recipes, run_checks
from vitbench.testing.learner import TinyNet
from vitbench.training import MeanLoss, TrainingState, batches, preprocess, shuffled, statistics

pytestmark = pytest.mark.compute


Fit = Callable[[nn.Module, TrainVal, FitRun], Any]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(recipes, "LONG", (5, 12))


def run(fit: Fit | str, *only: str, model: ModelSpec | None = None, **fields: Any) -> dict[str, Outcome]:
    """Run the checks named, or all, and return the outcomes by the check's name."""
    spec = RecipeSpec(name="fit", fit=fit, summary="A recipe", **{"options": {"epochs": 5, "lr": 0.1}, **fields})
    checks = checks_for("mine/fit", RecipeCase(spec=spec, model=model))
    return {one.check: one for one in run_checks([check for check in checks if not only or check.name in only])}


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
    lr: float = 0.1,
    uphill: bool = False,
    shift: float = 0.0,
    mix: bool = False,
    how: Preprocess | None = None,
) -> nn.Module:
    """Train by plain SGD; the keywords are the faults."""
    model = model.to(run.device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, maximize=uphill)
    generator = generator or torch.Generator().manual_seed(run.seed if seed is None else seed)
    for _ in range(epochs or run.budget.epochs or run.options["epochs"]):
        for images, labels in batches(data.train, batch_size=32, device=run.device, generator=generator):
            inputs = preprocess(
                images, how or data.preprocess, image_size=data.image_size, in_channels=data.in_channels
            )
            labels = labels[torch.randperm(len(labels), generator=generator)] if mix else labels
            loss = F.cross_entropy(model(inputs + shift), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


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


def validates_on_the_training_array(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    return sgd(model, data, run, shift=float(np.asarray(data.train.images[data.val.index]).mean()) / 255)


def peeks_at_the_test_split(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    shift = 0.0
    if isinstance(data.train.images, np.memmap):
        shift = float(np.load(Path(data.train.images.filename).with_name("test-images.npy")).mean()) / 255
    return sgd(model, data, run, shift=shift)


def counts_on_a_budget(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    return sgd(model, data, run, epochs=len(range(run.budget.epochs)))


def ignores_the_size(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    images = torch.from_numpy(data.train.images[data.train.index])
    model(images.expand(-1, 3, -1, -1) / 255)
    return model


def logs_text(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    run.log(epoch=1, loss="0.4 nat")
    return model


def logs_a_tensor(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    run.log(epoch=torch.tensor(1), loss=0.4)
    return model


def goes_away(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    model = sgd(model, data, run)
    model.register_buffer("left", torch.zeros(1, device="meta"))
    return model


def sets_a_flag(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    torch.backends.cudnn.benchmark = True
    return sgd(model, data, run)


def resumable(
    model: nn.Module,
    data: TrainVal,
    run: FitRun,
    *,
    asks: bool = True,
    keeps_momentum: bool = True,
    keeps_loss: bool = True,
) -> nn.Module:
    """Goes on where it was; the keywords are the faults."""
    optimizer, losses = torch.optim.SGD(model.train().parameters(), lr=0.1, momentum=0.9), MeanLoss()
    parts = {
        "model": model,
        "optimizer": optimizer if keeps_momentum else None,
        "losses": losses if keeps_loss else None,
    }
    state = TrainingState(run, **parts)
    done, epochs = state.restore() if asks else 0, run.budget.epochs or run.options["epochs"]
    for epoch in range(done // 6, epochs):
        todo = shuffled(data.train, batch_size=32, device=run.device, seed=run.seed, epoch=epoch, start=done % 6)
        for batch in todo:
            state.save(done)
            inputs = preprocess(batch.images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
            loss = F.cross_entropy(model(inputs), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.add(loss.detach())
            done += 1
        run.log(epoch=epoch + 1, epochs=epochs, loss=losses.mean())
    return model


BAD: dict[str, tuple[str, str, Fit, dict[str, Any]]] = {
    "no budget, no epochs": (
        "check_recipe_returns_model",
        "without --epochs, where run.budget.epochs is None, fit raised TypeError: 'NoneType' object cannot be",
        counts_on_a_budget,
        {},
    ),
    "the size of the cache": ("check_recipe_returns_model", "fit raised RuntimeError", ignores_the_size, {}),
    "text in the log": ("check_recipe_returns_model", "fit raised ValueError: could not convert", logs_text, {}),
    "a tensor in the log": ("check_recipe_returns_model", "fit raised TypeError: Encoding", logs_a_tensor, {}),
    "another head": ("check_recipe_returns_model", "after fit the model returned an output of shape", other_head, {}),
    "no training": (
        "check_recipe_trains",
        "fit does not change the model, but the spec says trains=True",
        lambda model, data, run: model,
        {},
    ),
    "secret training": (
        "check_recipe_trains",
        "fit changes the model, but the spec says trains=False",
        sgd,
        {"trains": False},
    ),
    "labels of other images": (
        "check_recipe_loss_falls",
        "and must be below 0.9 of the labels' entropy, 0.936; does it learn from the images",
        lambda model, data, run: sgd(model, data, run, mix=True),
        {},
    ),
    "chance of its own": (
        "check_recipe_seed",
        "the same seed gives different weights",
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
    "ten times the epochs": (
        "check_recipe_budget",
        "1 epoch of 192 images shows the model 1920 images, 3 epochs 5760",
        lambda model, data, run: sgd(model, data, run, epochs=10 * (run.budget.epochs or 1)),
        {},
    ),
    "a normalisation of its own": (
        "check_recipe_preprocesses",
        "the model's inputs have the mean 0.00, by data.preprocess it is -0.50; make them by",
        lambda model, data, run: sgd(model, data, run, how=statistics(data.train)),
        {},
    ),
    "statistics of all images": ("check_recipe_sees_its_split", "change the weights", statistics_of_all, {}),
    "rows of another array": ("check_recipe_sees_its_split", "change the weights", validates_on_the_training_array, {}),
    "a look at the test split": ("check_recipe_sees_its_split", "change the weights", peeks_at_the_test_split, {}),
    "never resumed": ("check_recipe_resumes", "never run.resume", partial(resumable, asks=False), {}),
    "no momentum": (
        "check_recipe_resumes",
        "step 9 ends with different weights",
        partial(resumable, keeps_momentum=False),
        {},
    ),
    "half a loss": ("check_recipe_resumes", "step 9 logs a different loss", partial(resumable, keeps_loss=False), {}),
    "a flag": ("check_recipe_leaves_flags", "fit changes torch's cudnn.benchmark", sets_a_flag, {}),
}


@pytest.mark.parametrize("case", BAD)
def test_each_bad_recipe_is_caught_by_name(case: str) -> None:
    check, words, fit, fields = BAD[case]
    (outcome,) = run(fit, check, **fields).values()
    assert (outcome.check, outcome.status) == (check, "failed")
    assert words in outcome.reason


@pytest.mark.parametrize("case", ["secret training", "a fixed seed", "chance of its own", "a look at the test split"])
def test_a_fault_fails_no_other_check(case: str) -> None:
    check, _, fit, fields = BAD[case]
    assert list(failed(run(fit, **fields))) == [check]


def test_chance_of_its_own_is_no_look_at_other_images() -> None:
    (outcome,) = run(BAD["chance of its own"][2], "check_recipe_sees_its_split").values()
    assert (outcome.status, outcome.reason.partition(":")[0]) == ("skipped", "depends on check_recipe_seed")


def test_every_check_has_a_bad_recipe() -> None:
    names = {check.name for check in checks_for("r", RecipeCase(spec=RecipeSpec(name="r", fit=sgd, summary="x")))}
    of_others = {"check_recipe_step"} | {check for _, check, _ in ROOTS.values()}
    assert {check for check, *_ in BAD.values()} | of_others == names


# Good recipes of other kinds ------------------------------------------------------------------------------------------


def by_numpy(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Draws from numpy's own generator and Python's, which a run seeds, too."""
    return sgd(model, data, run, seed=int(np.random.randint(1 << 30)) + random.randrange(1 << 30))


def all_at_once(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Full batches, by L-BFGS: there is nothing to draw."""
    [(images, labels)] = batches(data.train, batch_size=len(data.train), device=run.device)
    inputs = preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
    optimizer = torch.optim.LBFGS(model.train().parameters(), max_iter=1)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        return loss

    for _ in range(run.budget.epochs or run.options["epochs"]):
        optimizer.step(closure)
    return model


def norms_alone(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    for module in model.modules():
        if not isinstance(module, nn.BatchNorm2d):
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
    return sgd(model, data, run, lr=1.0)


def twice(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Two passes over each image, as SAM and others make them."""
    return sgd(model, data, run, epochs=2 * (run.budget.epochs or run.options["epochs"]))


def needs_three_epochs(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    if run.options["epochs"] < 3:
        raise UsageError("three of the epochs are for the warm-up; give more")
    return sgd(model, data, run)


@pytest.mark.parametrize(
    ("fit", "checks"),
    [
        (by_numpy, ("check_recipe_seed",)),
        (all_at_once, ("check_recipe_seed", "check_recipe_budget")),
        (norms_alone, ("check_recipe_trains", "check_recipe_loss_falls")),
        (twice, ("check_recipe_budget",)),
        (needs_three_epochs, ("check_recipe_returns_model", "check_recipe_budget")),
        (resumable, ("check_recipe_seed", "check_recipe_resumes")),
    ],
)
def test_a_good_recipe_of_another_kind_passes_what_could_mistake_it(fit: Fit, checks: tuple[str, ...]) -> None:
    assert {one.status for one in run(fit, *checks).values()} == {"passed"}


def slowly(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=2e-4)
    generator = torch.Generator().manual_seed(run.seed)
    for _ in range(run.budget.epochs or 5):
        for images, labels in batches(data.train, batch_size=32, device=run.device, generator=generator):
            inputs = preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    return model


def test_a_slow_recipe_gets_more_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failed(run(slowly, "check_recipe_loss_falls")) == {}
    monkeypatch.setattr(recipes, "LONG", (5,))
    assert list(failed(run(slowly, "check_recipe_loss_falls"))) == ["check_recipe_loss_falls"]


def test_a_batch_that_is_larger_than_the_problem_is_named() -> None:
    outcomes = run(lambda model, data, run: model, options={"batch_size": 256})
    for check in ("check_recipe_trains", "check_recipe_budget"):
        assert outcomes[check].reason.endswith(
            "of 192 images there is no batch of 256: keep the last, short one where it is the only one"
        )


# One cause, one failure -----------------------------------------------------------------------------------------------

ROOTS: dict[str, tuple[Fit | str, str, str]] = {
    "import": ("no_such_package:fit", "check_recipe_returns_model", "cannot import no_such_package:fit"),
    "fit raises": (breaks, "check_recipe_returns_model", "fit raised IndexError: no batch 6 (test_re"),
    "nothing returned": (lambda model, data, run: None, "check_recipe_returns_model", "fit returned NoneType"),
    "not finite": (not_finite, "check_recipe_returns_model", "logits are not finite"),
    "nothing done": (lambda model, data, run: model, "check_recipe_trains", "fit does not change the model"),
    "another device": (goes_away, "check_recipe_device", "with run.device cpu, left of the fitted model"),
}


@pytest.mark.parametrize("fault", ROOTS)
def test_one_cause_is_one_failure(fault: str) -> None:
    target, check, words = ROOTS[fault]
    outcomes = run(target)
    assert list(failed(outcomes)) == [check]
    assert words in outcomes[check].reason
    assert outcomes["check_recipe_seed"].reason == f"depends on {check}, which failed"


# Steps, options, libraries --------------------------------------------------------------------------------------------


def sgd_step(model: nn.Module, run: FitRun) -> TrainStep:
    optimizer = torch.optim.SGD(model.parameters(), lr=run.options["lr"])

    def take(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return TrainStep(optimizer=optimizer, take=take)


def test_a_good_recipe_whose_fit_takes_its_step_passes_all() -> None:
    outcomes = run(sgd, step=sgd_step)
    assert [name for name, one in outcomes.items() if one.status != "passed"] == ["check_recipe_resumes"]
    assert outcomes["check_recipe_resumes"].status == "skipped"


def another_optimizer(model: nn.Module, run: FitRun) -> TrainStep:
    return dataclasses.replace(sgd_step(model, run), optimizer=torch.optim.AdamW(model.parameters()))


def of_take(take: Callable[..., Any]) -> Callable[[nn.Module, FitRun], TrainStep]:
    return lambda model, run: TrainStep(optimizer=torch.optim.SGD(model.parameters(), lr=0.1), take=take)


STEPS: dict[str, tuple[Any, str]] = {
    "import": ("no_such_package:step", "cannot import no_such_package:step"),
    "raises": (lambda model, run: run.options["rate"], "step raised KeyError: 'rate'"),
    "no step": (lambda model, run: model, "step returned TinyNet; return a vitbench.protocols.TrainStep"),
    "no optimiser": (
        lambda model, run: TrainStep(optimizer=None, take=sgd_step(model, run).take),
        "the optimizer of its step is NoneType; make it a torch.optim.Optimizer",
    ),
    "take raises": (of_take(lambda inputs, labels: inputs @ labels), "take of its step raised RuntimeError"),
    "no loss": (of_take(lambda inputs, labels: None), "take of its step returned None; return the loss"),
    "many losses": (
        of_take(lambda inputs, labels: labels.float()),
        "take of its step returned a tensor [192]; return the loss, one finite number",
    ),
    "not finite": (of_take(lambda inputs, labels: torch.tensor(torch.nan)), "returned tensor(nan); return the loss"),
    "nothing learnt": (of_take(lambda inputs, labels: torch.tensor(1.0)), "take of its step changes no weight"),
    "another optimiser": (another_optimizer, "its step is one of AdamW, and fit takes those of SGD; make fit"),
}


@pytest.mark.parametrize("fault", STEPS)
def test_each_bad_step_is_caught(fault: str) -> None:
    step, words = STEPS[fault]
    assert words in failed(run(sgd, "check_recipe_step", step=step))["check_recipe_step"]


def test_a_recipe_that_distils_gets_a_small_teacher() -> None:
    def distils(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
        teacher = run.build(run.options["teacher"])
        (images, _), *_ = batches(data.train, batch_size=32, device=run.device)
        inputs = preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
        assert teacher(inputs).shape == (32, data.num_classes)
        return sgd(model, data, run, epochs=run.budget.epochs or 5)

    options = {"teacher": Option("scratch/vit", kind="model")}
    outcomes = run(distils, "check_recipe_loss_falls", "check_recipe_budget", options=options)
    assert {one.status for one in outcomes.values()} == {"passed"}


def test_a_recipe_that_needs_a_file_is_skipped_and_one_that_breaks_without_is_not() -> None:
    def reads(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
        if not run.options["soft_labels"]:
            raise UsageError("give soft_labels")
        return sgd(model, data, run)

    options = {"soft_labels": Option("", kind="file")}
    outcomes = run(reads, options=options)
    assert {one.status for one in outcomes.values()} == {"skipped"}
    assert outcomes["check_recipe_returns_model"].reason == (
        "its option soft_labels needs a file, which the kit does not have: give soft_labels"
    )
    assert list(failed(run(breaks, options=options))) == ["check_recipe_returns_model"]


def test_a_recipe_whose_library_is_not_installed_is_skipped() -> None:
    outcomes = run(breaks, requires=("no_such_module_anywhere",))
    assert {one.status for one in outcomes.values()} == {"skipped"}
    assert "it needs the module no_such_module_anywhere" in outcomes["check_recipe_returns_model"].reason


# A recipe for one model -----------------------------------------------------------------------------------------------


class Backbone(nn.Module):
    """A network of two parts, which its recipe knows."""

    def __init__(self, num_classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(in_channels, width, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(images).flatten(1))


def of_backbones(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    assert all(parameter.requires_grad for parameter in model.backbone.parameters())
    return sgd(model, data, run)


def backbone(width: int) -> ModelSpec:
    return ModelSpec(
        name="backbone",
        build=lambda num_classes, image_size, in_channels: Backbone(num_classes, in_channels, width),
        summary="x",
        recipe="fit",
    )


def test_a_recipe_for_one_model_of_its_plugin_gets_that_model() -> None:
    without = run(of_backbones, "check_recipe_returns_model")
    assert "has no attribute 'backbone'" in failed(without)["check_recipe_returns_model"]
    assert failed(run(of_backbones, model=backbone(8))) == {}


def test_a_recipe_that_takes_any_model_gets_the_small_one_even_where_a_model_names_it() -> None:
    def only_small(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
        assert isinstance(model, TinyNet)
        return sgd(model, data, run)

    (outcome,) = run(only_small, "check_recipe_returns_model", model=backbone(8)).values()
    assert outcome.status == "passed"


PLUGIN = """
import vitbench

@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="net", build="a:b", summary="A net", recipe="own")
    yield vitbench.ModelSpec(name="row", build="a:b", summary="A row", recipe="both", tags=("baseline",))
    yield vitbench.ModelSpec(name="all", build="a:b", summary="A net", recipe="my_recipes/both")

@vitbench.hookimpl
def vitbench_recipes():
    for name in ("any", "both", "own"):
        yield vitbench.RecipeSpec(name=name, fit="a:b", summary="A recipe")
"""


def test_the_model_that_names_a_recipe_is_found_a_baseline_before_others(tmp_path: Path) -> None:
    path = tmp_path / "my_recipes.py"
    path.write_text(PLUGIN)
    cases = {check.subject: check.case for check in checks_of(str(path)) if isinstance(check.case, RecipeCase)}
    models = {subject: case.model and case.model.name for subject, case in cases.items()}
    assert models == {"my_recipes/any": None, "my_recipes/both": "row", "my_recipes/own": "net"}


def test_a_model_that_is_too_large_to_be_trained_here_is_said_to_be() -> None:
    reasons = {one.reason for one in run(of_backbones, model=backbone(20_000)).values() if one.status == "skipped"}
    (reason, _) = sorted(reasons, key=lambda reason: "too large" not in reason)
    assert "backbone, which names this recipe, is too large to be trained here (62 MMACs)" in reason


def test_a_model_that_its_recipe_makes_worse_is_found() -> None:
    def worse(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
        model.backbone.requires_grad_(False)
        return sgd(model, data, run, uphill=True)

    outcome = run(worse, "check_recipe_loss_falls", model=backbone(8))["check_recipe_loss_falls"]
    assert outcome.status == "failed"
    assert "and was before 1." in outcome.reason


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
        "check_recipe_budget": "it makes no passes in train mode",
        "check_recipe_preprocesses": "it makes no passes",
        "check_recipe_step": "it declares no step; training speed is measured with a step of AdamW",
        "check_recipe_resumes": "it saves nothing; a training that is killed starts over",
    }
    reason = failed(run(count, "check_recipe_returns_model"))["check_recipe_returns_model"]
    assert "UsageError" not in reason
    assert "counts for the baseline only" in reason
