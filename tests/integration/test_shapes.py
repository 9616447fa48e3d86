"""Images that are no colour squares: rectangles, gray, and of four channels, from the dataset to the tables."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

import vitbench
from vitbench.api import Results, rendered
from vitbench.records import SpeedCell

PLUGIN = '''
from dataclasses import dataclass

import numpy as np
import vitbench
from torch import nn


@dataclass
class Shades:
    """Noise over a slope whose direction tells the class."""

    shape: tuple
    split: str
    class_names = ("left", "right", "up")

    def __post_init__(self):
        self.labels = np.arange(48 if self.split == "train" else 12) % 3

    def images(self, index):
        channels, height, width = self.shape
        rng = np.random.default_rng(len(self.labels))
        images = rng.integers(0, 60, (len(self.labels), channels, height, width), dtype=np.uint8)
        across, down = np.linspace(0, 190, width), np.linspace(190, 0, height)[:, None] + np.zeros(width)
        slopes = np.stack([across[::-1] + np.zeros((height, 1)), across + np.zeros((height, 1)), down])
        return (images + slopes[self.labels][:, None].astype(np.uint8))[index]


def open_wide(*, root, split, download):
    return Shades((1, 12, 20), split)


def open_four(*, root, split, download):
    return Shades((4, 16, 8), split)


def build(*, num_classes, image_size, in_channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], num_classes))


@vitbench.hookimpl
def vitbench_datasets():
    for name in ("wide", "four"):
        yield vitbench.DatasetSpec(
            name=name, open=f"{__name__}:open_{name}", summary="Shades", needs_root=False, augmentations=("crop",)
        )


@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="colour", build=f"{__name__}:build", summary="Linear", image_size=8, in_channels=3)
    yield vitbench.ModelSpec(name="tall", build=f"{__name__}:build", summary="Linear", image_size=(24, 8))
'''
SUITE = """
name = "shapes"
summary = "images that are no colour squares"
datasets = ["mine/wide", "mine/four"]
threads = 1
{models}
[recipes.supervised]
epochs = 1
warmup = 0
batch_size = 16
[speed]
batch_sizes = {batch_sizes}
modes = ["inference"]
"""
Run = Callable[..., Results]
_numbers = itertools.count()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run models, by name with their options, on wide gray images and on tall ones of four channels."""
    module = f"vitbench_shapes_{next(_numbers)}"
    info = tmp_path / "vitbench_mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vitbench-mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[vitbench]\nmine = {module}\n")
    (tmp_path / f"{module}.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(models: dict[str, str], batch_sizes: str = "[]") -> Results:
        tables = (f'[[models]]\nname = "{name}"\n{options}\n' for name, options in models.items())
        suite = tmp_path / "shapes.toml"
        suite.write_text(SUITE.format(models="".join(tables), batch_sizes=batch_sizes))
        return vitbench.run(suite, output=tmp_path / "results", quiet=True)

    return run


def test_rectangles_and_any_channels_from_the_data_to_the_tables(run: Run) -> None:
    results = run(
        {
            "scratch/vit": "options = {depth = 1, width = 32, heads = 2}",
            "scratch/resnet18": "options = {width = 8}",
            "timm/test_resnet": "options = {pretrained = false}",
            "baseline/knn-pixels": "",
            "baseline/majority": "",
        }
    )
    assert {record.status for record in results.records} == {"ok"}, [record.reason for record in results.records]
    quality = {
        (record.planned.label.partition(":")[0], record.planned.data.name): record
        for record in results.records
        if record.planned.data
    }
    assert len(quality) == 10
    assert {name: record.planned.data.shape for (_, name), record in quality.items() if record.planned.data} == {
        "wide": (1, 12, 20),
        "four": (4, 16, 8),
    }

    def shape(model: str, dataset: str) -> tuple[int, ...]:
        used = quality[model, dataset].preprocess
        assert used is not None
        return used.in_channels, *used.image_size

    for model in ("scratch/vit", "scratch/resnet18", "baseline/knn-pixels"):
        assert (shape(model, "wide"), shape(model, "four")) == ((1, 12, 20), (4, 16, 8))
    # Its weights know colour, to which gray images are repeated.
    assert (shape("timm/test_resnet", "wide"), shape("timm/test_resnet", "four")) == ((3, 160, 160), (4, 160, 160))
    normalised = [quality["timm/test_resnet", name].preprocess for name in ("wide", "four")]
    assert [len(used.mean) for used in normalised if used] == [3, 4]  # timm's own values, and the training split's

    rows = list(csv.DictReader(io.StringIO(rendered(results, "csv"))))
    sizes = {(row["model"].partition(":")[0], row["dataset"]): row["img_size"] for row in rows}
    assert (sizes["scratch/vit", "wide"], sizes["timm/test_resnet", "wide"]) == ("12x20", "160")
    assert set(results.rows()["image_size"]) == {"12x20", "16x8", 160}


def test_a_fixed_size_is_kept_and_channels_that_do_not_fit_cost_the_models_own_cells(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitbench.running.runner.SPEED_PROCESSES", (1,))
    results = run({"mine/colour": "", "mine/tall": ""}, batch_sizes="[2]")
    failed = {record.planned.in_words: record.reason for record in results.records if record.status == "failed"}
    assert failed == {
        "mine/colour on four, supervised, seed 0": (
            "it takes 3 channels, and four has 4; only gray images can be "
            "expanded to several channels, and only three channels can be reduced to gray"
        )
    }
    tall = {
        record.planned.data.name: record
        for record in results.records
        if record.planned.data and record.planned.label == "mine/tall"
    }
    used = {name: record.preprocess for name, record in tall.items()}
    assert {name: (each.in_channels, *each.image_size) for name, each in used.items() if each} == {
        "wide": (1, 24, 8),
        "four": (4, 24, 8),
    }
    measured = {m.name: m.value for m in tall["wide"].measurements}
    assert (measured["params"], measured["macs"]) == (24 * 8 * 3 + 3, 24 * 8 * 3)
    assert "24x8" in set(results.rows()["image_size"])
    speeds = {
        record.planned.cell.input_shape for record in results.records if isinstance(record.planned.cell, SpeedCell)
    }
    assert speeds == {(3, 8, 8), (1, 24, 8), (4, 24, 8)}
