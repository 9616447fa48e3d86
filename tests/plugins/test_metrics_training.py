"""The time that a training takes to an accuracy."""

from __future__ import annotations

import math

import pytest
from vitbench_metrics.training import time_to_top1

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
