"""Metrics on the course of a training: how long it takes to an accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator

from vitbench import Measurement, Skip
from vitbench.protocols import Subject


def time_to_top1(subject: Subject, level: float) -> Iterator[Measurement]:
    """Give the seconds of training, evaluation left out, after which the validation accuracy first reached a level.

    To whole epochs, since that is what recipes log; of a training that was killed and went on, over all attempts.

    Args:
        subject: its training curve.
        level: share of the validation images that are right.

    Raises:
        Skip: the level was not reached, or the recipe does not log what is needed.
    """
    if subject.training is None:
        raise Skip("there was no training")
    rows = [row for row in subject.training.curve if "val_top1" in row and "train_seconds" in row]
    if not rows:
        raise Skip("the recipe logs no val_top1 together with train_seconds, see vitbench.training.EpochClock")
    reached = next((row for row in rows if row["val_top1"] >= level), None)
    if reached is None:
        known = [row["val_top1"] for row in rows if math.isfinite(row["val_top1"])]
        best = f"at best {max(known):.2%}" if known else "never known"
        raise Skip(f"the validation accuracy did not reach {level:.2%}: it was {best}")
    yield Measurement(name="time_to_top1", value=reached["train_seconds"])
