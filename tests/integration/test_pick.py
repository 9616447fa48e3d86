"""A pick from the folder to the sentence: four candidates whose order is known, one slow, one blind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vitbench
from vitbench.picking.stages import Stages
from vitbench.records import QualityCell, Record, SpeedCell

PLUGIN = '''
"""Random convolutions, taken for learned ones: more channels see more, and one computes the same again and again."""

import vitbench


@vitbench.hookimpl
def vitbench_models():
    for name, width, repeats in (("blind", 1, 1), ("narrow", 12, 1), ("wide", 16, 1), ("slow", 16, 200)):
        yield vitbench.ModelSpec(
            name=name,
            build="zoo_of_pick:build",
            summary="Random convolutions",
            pretrained_on="nothing",
            options={"head": "new"},
            arguments={"width": width, "repeats": repeats},
            image_size=8,
        )


def build(*, num_classes, image_size, in_channels, head, width, repeats):
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            random = torch.Generator().manual_seed(0)
            self.conv = nn.Conv2d(in_channels, width, 3, padding=1)
            for parameter in self.conv.parameters():
                parameter.data = torch.randn(parameter.shape, generator=random) / 2
            self.head = nn.Linear(width * 16, num_classes)

        def features(self, images):
            for _ in range(repeats):
                x = self.conv(images).relu()
            return nn.functional.adaptive_avg_pool2d(x, 4).flatten(1)

        def forward(self, images):
            return self.head(self.features(images))

    return Net()
'''
SUITE = """
name = "mine"
summary = "Candidates with a known order"

[[models]]
name = "zoo_of_pick/blind"
label = "blind"
licence = "MIT"

[[models]]
name = "zoo_of_pick/narrow"
label = "narrow"

[[models]]
name = "zoo_of_pick/wide"
label = "wide"

[[models]]
name = "zoo_of_pick/slow"
label = "slow"

[recipes."recipes/finetune"]
steps = 20

[speed]
batch_sizes = [32]
modes = ["inference"]
"""
WANT = "throughput > 5000"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the arguments of a pick that is timed in few processes and takes few looks."""
    (tmp_path / "zoo_of_pick.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "mine.toml").write_text(SUITE, encoding="utf-8")
    for module in ("running.runner", "picking.ongoing"):
        monkeypatch.setattr(f"vitbench.{module}.SPEED_PROCESSES", (2, 2))
    monkeypatch.setattr("vitbench.picking.ongoing.LOOKS", (0.25, 1.0))
    return {
        "budget": "20m",
        "models": [tmp_path / "mine.toml"],
        "plugins": [tmp_path / "zoo_of_pick.py"],
        "output": tmp_path / "out",
        "threads": 1,
    }


@pytest.mark.slow
def test_a_pick_drops_what_is_slow_and_what_is_blind_and_resumes(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Stages, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            vitbench.pick("digits:train_images=700", want=WANT, **asked)
    before = vitbench.load(asked["output"]).records
    picked = vitbench.pick("digits:train_images=700", want=WANT, **asked)
    records = vitbench.load(asked["output"]).records
    assert records[: len(before)] == before
    assert all(_kind(record) == "trained" for record in records[len(before) :])

    assert picked.model in ("narrow", "wide")
    assert picked.exit_code == 0
    left = {each.name: each for each in picked.course.left}
    assert (left["slow"].step, left["blind"].step, left["blind"].worse) == ("timing", "race", True)
    assert {name for name, each in left.items() if each.worse} <= {"slow", "blind"}
    if left["slow"].worse:  # on a disturbed machine its speed may be invalid, which is another reason
        assert left["slow"].why.startswith("throughput ")
        assert left["slow"].why.endswith("wanted: throughput > 5000")
    assert "validation images, with " in left["blind"].why
    assert picked.sentence.startswith(f"Pick {picked.model} [")
    assert "1 other was significantly behind in the race" in picked.sentence
    assert {final.label for final in picked.answer.finals} == {"narrow", "wide"} - {*left}
    assert picked.seconds < 1200
    data = picked.data()
    assert data["pick"]["model"] == picked.model
    assert data["looks"][0]["labels"] == 0.25

    # The slow one was not probed, and the test split was met by finalists alone.
    assert {_name(record) for record in records if _kind(record) == "probed"} == {"blind", "narrow", "wide"}
    assert {_name(record) for record in records if _kind(record) in ("trained", "tested")} == {"narrow", "wide"} - {
        *left
    }

    # What is stored answers a want that nothing meets.
    asked["models"].append("wide")
    with pytest.raises(
        vitbench.VitbenchError, match=r"no candidate has throughput > .*; the nearest: wide \("
    ) as error:
        vitbench.pick("digits:train_images=700", want="throughput > 1e12", **asked)
    assert error.value.exit_code == 5
    assert len(vitbench.load(asked["output"]).records) == len(records)


def test_a_budget_below_the_first_pass_is_refused(asked: dict[str, Any]) -> None:
    asked["budget"] = 5
    with pytest.raises(vitbench.UsageError, match=r"below the first pass.* give --budget .* or more"):
        vitbench.pick("digits", **asked)


def _kind(record: Record) -> str:
    cell = record.planned.cell
    if isinstance(cell, SpeedCell):
        return "timed"
    assert isinstance(cell, QualityCell)
    if cell.split == "val":
        return "probed"
    return "trained" if cell.budget else "tested"


def _name(record: Record) -> str:
    return record.planned.label
