"""Variants on real images: right ones say how near they come to float32, a wrong one ends with invalid figures."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

import vitbench
from vitbench.api import Results
from vitbench.records import Measurement, Record

Run = Callable[..., Results]

PLUGIN = '''
import torch
import vitbench
from torch import nn


class Net(nn.Module):
    """A layer, so small that it is compiled in seconds."""

    def __init__(self, num_classes, pixels, error):
        super().__init__()
        self.head = nn.Linear(pixels, num_classes)
        self.error = error

    def forward(self, images):
        logits = self.head(images.flatten(1))
        if self.error and torch.is_autocast_enabled("cpu"):
            logits = logits + self.error * torch.linspace(-1, 1, logits.shape[1]) * logits.abs().amax().detach()
        return logits


class Unruly(Net):
    """Changes a flag and sets a seed at each call."""

    def forward(self, images):
        torch.manual_seed(0)
        torch.backends.cudnn.benchmark = True
        return super().forward(images)


def build(*, num_classes, image_size, in_channels, error=0.0):
    return Net(num_classes, in_channels * image_size[0] * image_size[1], error)


def build_unruly(*, num_classes, image_size, in_channels):
    return Unruly(num_classes, in_channels * image_size[0] * image_size[1], 0.0)


def fit(model, data, run):
    return torch.compile(nn.Module.train(model), backend="eager")  # which compiles in no time


@vitbench.hookimpl
def vitbench_models():
    for name, target in (("net", build), ("unruly", build_unruly)):
        options = {"error": 0.0} if name == "net" else {}
        build_string = f"{__name__}:{target.__name__}"
        yield vitbench.ModelSpec(name=name, build=build_string, summary="x", options=options)


@vitbench.hookimpl
def vitbench_recipes():
    yield vitbench.RecipeSpec(name="compiled", fit=f"{__name__}:fit", summary="Returns a compiled module")
'''
SUITE = """
name = "variants"
summary = "small models in other precisions and memory formats"
datasets = ["digits"]
threads = 1
{models}
[recipes.supervised]
epochs = 2
warmup = 0
batch_size = 16
augment = false
ema = 0.0
[speed]
batch_sizes = {batch_sizes}
modes = ["inference", "training"]
"""
VIT = {"name": "scratch/vit", "options": "{depth = 1, width = 32, heads = 2}"}
_numbers = itertools.count()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run models, written as in a suite's table, on a few digits; the plugin ``mine`` is installed."""
    module = f"vitbench_variants_{next(_numbers)}"
    info = tmp_path / "vitbench_mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vitbench-mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[vitbench]\nmine = {module}\n")
    (tmp_path / f"{module}.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(*models: dict[str, str], batch_sizes: str = "[]", **conditions: Any) -> Results:
        tables = "".join(
            "[[models]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in model.items()) for model in models
        )
        suite = tmp_path / "variants.toml"
        suite.write_text(SUITE.format(models=tables, batch_sizes=batch_sizes))
        results = vitbench.run(suite, output=tmp_path / "results", limit=200, quiet=True, **conditions)
        assert {record.status for record in results.records} == {"ok"}, [record.reason for record in results.records]
        return results

    return run


def _toml(value: str) -> str:
    return value if value.startswith("{") else f'"{value}"'


def quality(results: Results, label: str) -> Record:
    [record] = [
        record for record in results.records if record.planned.label == label and record.planned.data is not None
    ]
    return record


def figures(record: Record) -> dict[str, Measurement]:
    return {one.name: one for one in record.measurements}


@pytest.mark.slow
def test_bfloat16_agrees_and_a_model_that_is_wrong_in_it_is_found(run: Run) -> None:
    good, wrong = VIT | {"label": "good"}, {"name": "mine/net", "options": "{error = 3.0}", "label": "wrong"}
    results = run(good, wrong, precision="bfloat16")

    record = quality(results, "good")
    found = figures(record)
    assert (record.faults, found["top1"].verdict.level) == ((), "valid")
    assert found["variant_agreement"].value > 0.98
    assert found["variant_agreement"].low < found["variant_agreement"].value <= found["variant_agreement"].high
    assert found["variant_agreement"].n == 200
    assert 1e-4 < found["variant_error"].value < 0.05
    assert found["data_throughput"].value > found["end_to_end_throughput"].value > 0
    assert record.evidence[0]["seconds"] > 0

    record = quality(results, "wrong")
    [fault] = record.faults
    assert fault.startswith("this variant disagrees with float32: ")
    assert "of the logits' spread (tolerance 10%)" in fault
    assert {one.verdict.level for one in record.measurements if not one.exact} == {"invalid"}
    assert fault in figures(record)["top1"].verdict.reasons


def test_the_same_models_are_right_in_float32(run: Run) -> None:
    """It is no variant; and a module that a recipe compiled is stored under the names of its own weights."""
    wrong = {"name": "mine/net", "options": "{error = 3.0}", "label": "net", "recipe": "mine/compiled"}
    results = run(wrong, {"name": "mine/unruly", "label": "unruly"})
    record = quality(results, "net")
    assert record.faults == ()
    assert "variant_agreement" not in figures(record)
    with safe_open(results.folder / "weights" / f"{record.key}.safetensors", "numpy") as weights:
        assert sorted(weights.keys()) == ["head.bias", "head.weight"]

    record = quality(results, "unruly")
    assert record.warnings == (
        "the model changed torch's cudnn.benchmark",
        "evaluation used or reset torch's random number generator",
    )
    assert figures(record)["top1"].verdict.level == "warn"


@pytest.mark.slow
def test_float16_trains_and_is_timed_on_the_cpu(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitbench.running.runner.SPEED_PROCESSES", (1,))
    results = run(VIT | {"label": "vit"}, batch_sizes="[4]", precision="float16", speeds="all")
    found = figures(quality(results, "vit"))
    assert found["top1"].value > 0.15
    assert found["variant_error"].value < 0.01
    timed = [figures(record) for record in results.records if record.planned.data is None]
    assert [name for one in timed for name in one if name.endswith("throughput")] == ["throughput", "train_throughput"]
    [error] = [one["variant_error"] for one in timed if "variant_error" in one]
    assert error.value < 0.01


@pytest.mark.slow
def test_channels_last(run: Run) -> None:
    results = run({"name": "scratch/resnet9", "options": "{width = 4}", "label": "resnet"}, channels_last=True)
    found = figures(quality(results, "resnet"))
    assert quality(results, "resnet").faults == ()
    assert found["variant_agreement"].value > 0.98
    assert found["variant_error"].value < 1e-4


@pytest.mark.slow
def test_compiled(run: Run) -> None:
    results = run({"name": "mine/net", "label": "net"}, compile="reduce-overhead")
    record = quality(results, "net")
    assert record.faults == ()
    assert figures(record)["variant_error"].value < 1e-5
    with safe_open(results.folder / "weights" / f"{record.key}.safetensors", "numpy") as weights:
        assert sorted(weights.keys()) == ["head.bias", "head.weight"]
