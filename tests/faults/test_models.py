"""Models that fail in every way beside one that is sound: each ends its own cells, and the sound one is ranked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vitbench

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
        "far": ("failed", "its family could not be asked: ValueError: no network"),
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
