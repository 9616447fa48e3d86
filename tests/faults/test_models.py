"""Models and recipes that fail in every way beside sound ones: each ends its own cells, and the sound are ranked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vitbench
from vitbench.cli import main

PLUGIN = '''
"""A sound model and three that are not; a metric that exits; names that vitbench's own plugins have, too."""

import os
import signal

import vitbench


@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="sound", build=build, summary="x", recipe="finetune")
    yield vitbench.ModelSpec(name="exits", build=leave, summary="x")
    yield vitbench.ModelSpec(name="dies", build=die, summary="x")
    yield vitbench.ModelSpec(name="*", build=build, resolve=resolve, summary="x")


@vitbench.hookimpl
def vitbench_recipes():
    for name in ("supervised", "finetune"):
        yield vitbench.RecipeSpec(name=name, fit=lambda model, data, run: model, summary="Nothing")


@vitbench.hookimpl
def vitbench_metrics():
    for name, measure in (("one", one), ("leaves", leave)):
        yield vitbench.MetricSpec(
            name=name, measure=measure, unit="1", better="neither", needs="predictions", summary="x"
        )


def build(*, num_classes, image_size, in_channels):
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], num_classes))


def one(subject):
    import numpy as np

    yield vitbench.Measurement(name="one", value=np.float32(1))


def leave(*_, **__):
    raise SystemExit("no licence")


def die(**_):
    os.kill(os.getpid(), signal.SIGSEGV)


def resolve(name):
    raise ValueError("no network")
'''
SUITE = """
name = "all"
summary = "each once"
datasets = ["datasets/digits"]
threads = 1
models = [
    {name = "fake_models/dies"},
    {name = "fake_models/exits"},
    {name = "fake_models/far"},
    {name = "fake_models/sound"},
]
speed = {batch_sizes = []}
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "fake_models.py"
    path.write_text(PLUGIN)
    yield path
    sys.modules.pop("fake_models", None)


@pytest.mark.slow
def test_one_bad_model_takes_no_result_from_the_others(
    plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "all.toml"
    suite.write_text(SUITE)
    results = vitbench.run(suite, plugins=[plugin], limit=100, epochs=1, output=tmp_path / "results")
    ended = {record.planned.label.partition("/")[2]: record for record in results.records}
    assert {name: (record.status, record.reason) for name, record in ended.items()} == {
        "dies": ("crashed", "the process was killed by SIGSEGV"),
        "exits": ("failed", "SystemExit: no licence"),
        "far": ("failed", "its family could not be queried: ValueError: no network"),
        "sound": ("ok", ""),
    }
    said = capsys.readouterr().err
    assert "preparing the run failed: the process was killed by SIGSEGV; trying again without building" in said

    sound = ended["sound"]
    assert sound.planned.cell.recipe == "fake_models/finetune"
    measured = {measurement.name: measurement for measurement in sound.measurements}
    assert measured["one"].value == 1.0
    assert measured["top1"].value is not None
    assert measured["leaves"].verdict.reasons == ("fake_models/leaves failed: SystemExit: no licence",)
    assert [origin.plugin for origin in sound.measured_by] == ["fake_models", "metrics"]
    assert [origin.plugin for origin in sound.foreign_metrics] == ["fake_models"]


REFUSING = '''
"""Models that cannot be imported or refuse, recipes that forget their budget, and one that has a teacher."""

import vitbench


@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="gone", build="no_such_module_anywhere:build", summary="x")
    yield vitbench.ModelSpec(name="odd", build=refuse, summary="x")
    yield vitbench.ModelSpec(name="sound", build=build, summary="x", recipe="keeps", options={"bias": True})


@vitbench.hookimpl
def vitbench_recipes():
    teacher = {"teacher": vitbench.Option("", kind="model")}
    for fit in (keeps, tells, hides, other, lacks):
        requires = ("no_such_module_anywhere",) if fit is lacks else ()
        yield vitbench.RecipeSpec(name=fit.__name__, fit=fit, summary="x", options=teacher, requires=requires)


def build(num_classes, image_size, in_channels, bias):
    from torch import nn

    height, width = image_size
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * height * width, num_classes, bias=bias))


def refuse():
    raise vitbench.UsageError("width must be even, not 3")


def train(model, data, run, epochs, tell):
    import torch
    from torch.nn.functional import cross_entropy, mse_loss

    from vitbench.training import batches, preprocess

    teacher = run.build(run.options["teacher"]).eval() if run.options["teacher"] else None
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(epochs):
        for images, labels in batches(data.train, batch_size=20, device=run.device):
            sizes = {"image_size": data.image_size, "in_channels": data.in_channels}
            inputs = preprocess(images, data.preprocess, **sizes)
            logits = model(inputs)
            loss = cross_entropy(logits, labels)
            if teacher is not None:
                loss = loss + mse_loss(logits, teacher(inputs).detach())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if tell:
            run.log(epoch=epoch + 1, loss=loss.item())
    return model


def keeps(model, data, run):
    return train(model, data, run, run.budget.epochs, tell=True)


def tells(model, data, run):
    return train(model, data, run, 3, tell=True)


def hides(model, data, run):
    return train(model, data, run, 100, tell=False)


def other(model, data, run):
    run.build("refusing/sound")


def lacks(model, data, run):
    return model
'''
EACH = """
name = "each"
summary = "each once"
datasets = ["datasets/digits"]
threads = 1
models = [
    {name = "refusing/gone"},
    {name = "refusing/odd"},
    {name = "refusing/sound"},
    {name = "refusing/sound", label = "taught", recipe_options = {teacher = "sound:bias=false"}},
    {name = "refusing/sound", label = "tells", recipe = "tells"},
    {name = "refusing/sound", label = "hides", recipe = "hides"},
    {name = "refusing/sound", label = "other", recipe = "other"},
    {name = "refusing/sound", label = "lacks", recipe = "lacks"},
]
speed = {batch_sizes = []}
"""


@pytest.fixture
def refusing(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "refusing.py"
    path.write_text(REFUSING)
    yield path
    sys.modules.pop("refusing", None)


@pytest.mark.slow
def test_what_cannot_be_imported_or_refuses_or_forgets_its_budget_costs_its_own_cells(
    refusing: Path, tmp_path: Path
) -> None:
    suite = tmp_path / "each.toml"
    suite.write_text(EACH)
    results = vitbench.run(suite, plugins=[refusing], limit=100, epochs=2, output=tmp_path / "results")
    assert results.exit_code == 1
    ended = {record.planned.label.removeprefix("refusing/"): record for record in results.records}
    reasons = {name: record.reason for name, record in ended.items() if record.status == "failed"}
    where = "which is not installed"
    assert reasons.pop("hides").startswith(
        "recipe refusing/hides ignores its budget of 2 epochs: the model has seen 16"
    )
    assert reasons.pop("other").startswith('recipe other builds "refusing/sound", which none of its options')
    assert reasons == {
        "gone": "cannot import no_such_module_anywhere:build: "
        "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        "odd": "width must be even, not 3",
        "tells": "recipe refusing/tells ignores its budget of 2 epochs: it logs epoch 3; "
        "it must end after run.budget.epochs",
        "lacks": f"recipe refusing/lacks needs the module no_such_module_anywhere, {where}",
    }
    assert {name for name, record in ended.items() if record.status == "ok"} == {"sound", "taught"}
    assert [len(ended[name].curve) for name in ("sound", "taught")] == [2, 2]
    assert [origin.plugin for origin in ended["taught"].planned.provenance.others] == ["refusing"]
    assert ended["taught"].curve[0]["loss"] > ended["sound"].curve[0]["loss"]


@pytest.mark.slow
def test_where_nothing_else_is_selected_the_command_ends_before_it_writes(
    refusing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = [word for name in ("odd", "gone") for word in ("--model", f"refusing/{name}")]
    place = ["--output", str(tmp_path / "results"), "--plugin", str(refusing), "--dataset", "digits"]
    monkeypatch.setattr(sys, "argv", ["vitbench", "run", *asked, *place])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    first, _, rest = capfd.readouterr().err.partition("\n")
    assert first.startswith("Preparing: ")
    assert rest.startswith(
        "Error: model refusing/odd on digits: width must be even, not 3; nor can refusing/gone be used"
    )
    assert not (tmp_path / "results").exists()
