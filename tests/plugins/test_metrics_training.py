"""The time that a training takes to an accuracy, what it costs, and how its pretraining went."""

from __future__ import annotations

import dataclasses
import math

import pytest
from torch import nn
from vitbench_metrics.training import pretrain_seconds, pretraining, time_to_top1, train_macs

from vitbench import Skip
from vitbench.protocols import Subject, TrainingLog


def subject(*rows: dict[str, float]) -> Subject:
    training = TrainingLog(seconds=99.0, images=100, curve=rows)
    return Subject(num_classes=2, input_shape=(1, 8, 8), device="cpu", precision="float32", training=training)


def row(val_top1: float, seconds: float) -> dict[str, float]:
    return {"epoch": 1.0, "val_top1": val_top1, "train_seconds": seconds}


CURVE = subject(row(0.4, 2.0), {"epoch": 2.0, "loss": 1.0}, row(0.75, 4.0), row(0.5, 6.0), row(0.8, 8.0))


@pytest.mark.parametrize(("level", "seconds"), [(0.1, 2.0), (0.75, 4.0), (0.76, 8.0)])
def test_it_is_when_the_level_was_first_reached(level: float, seconds: float) -> None:
    (found,) = time_to_top1(CURVE, level)
    assert (found.name, found.value) == ("time_to_top1", seconds)


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (CURVE, "the validation accuracy did not reach 90.00%: it was at best 80.00%"),
        (subject(row(math.nan, 2.0)), "did not reach 90.00%: it was never known"),
        (subject({"epoch": 1.0, "val_top1": 0.95}), "the recipe logs no val_top1 together with train_seconds"),
        (Subject(num_classes=2, input_shape=(1, 8, 8), device="cpu", precision="float32"), "there was no training"),
    ],
)
def test_without_a_value_it_says_why(of: Subject, words: str) -> None:
    with pytest.raises(Skip, match=words):
        list(time_to_top1(of, 0.9))


def epoch(images_per_second: float, train_seconds: float, **more: float) -> dict[str, float]:
    return {"epoch": 1.0, "images_per_second": images_per_second, "train_seconds": train_seconds, **more}


def of_network(*rows: dict[str, float]) -> Subject:
    """A training of a network of 64 x 2 multiply-accumulates."""

    def architecture() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).to("meta").eval()

    return dataclasses.replace(subject(*rows), architecture=architecture)


PRETRAINED = of_network(
    {
        "epoch": 1.0,
        "pretrain_images_per_second": 100.0,
        "pretrain_macs_per_image": 1000.0,
        "pretrain_val_loss": 1.5,
        "pretrain_guess_loss": 2.079,
        "pretrain_accuracy": 0.6,
        "pretrain_majority": 0.4,
        "train_seconds": 3.0,
    },
    epoch(50.0, 5.0),
    epoch(25.0, 9.0),
)


def test_the_cost_of_a_training_is_three_forward_passes_per_image_of_each_phase() -> None:
    (found,) = train_macs(PRETRAINED)
    assert (found.name, found.value) == ("train_macs", 3 * (300 * 1000 + 200 * 128))
    (plain,) = train_macs(of_network(epoch(50.0, 2.0), epoch(25.0, 6.0)))
    assert plain.value == 3 * 200 * 128


def test_a_pretraining_is_told_beside_a_guess() -> None:
    assert {each.name: each.value for each in pretraining(PRETRAINED)} == {
        "pretrain_loss": 1.5,
        "pretrain_guess_loss": 2.079,
        "pretrain_accuracy": 0.6,
        "pretrain_majority": 0.4,
    }
    (seconds,) = pretrain_seconds(PRETRAINED)
    assert (seconds.name, seconds.value) == ("pretrain_seconds", 3.0)


def test_without_a_pretraining_or_a_clock_they_say_so() -> None:
    for metric in (pretraining, pretrain_seconds):
        with pytest.raises(Skip, match="the recipe does not pretrain"):
            list(metric(CURVE))
    with pytest.raises(Skip, match="there was no training of a network"):
        list(train_macs(CURVE))
    with pytest.raises(Skip, match="the recipe logs no images_per_second and train_seconds"):
        list(train_macs(of_network({"epoch": 1.0, "loss": 1.0})))
    with pytest.raises(Skip, match="the recipe logs no epoch"):
        list(train_macs(of_network()))
