"""Metrics on the course of a training: how long it takes to an accuracy, what it costs, how its pretraining went."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from vitbench import Measurement, Skip
from vitbench.measuring.flops import count_macs
from vitbench.protocols import Subject

FORWARD_PASSES = 3
"""A training step takes as many multiply-accumulates as so many forward passes: the backward pass takes two."""


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


def train_macs(subject: Subject) -> Iterator[Measurement]:
    """Give the multiply-accumulates of a training's steps, three forward passes per image; evaluation left out.

    Args:
        subject: its architecture, and the training curve, which has the images of each epoch as their number per second
            and the seconds. Where a row has ``pretrain_macs_per_image``, that is what one of its images takes.

    Raises:
        Skip: a baseline, or the recipe does not log what is needed.
    """
    if subject.training is None or subject.architecture is None:
        raise Skip("there was no training of a network")
    own, total, before = 0, 0.0, 0.0
    for row in subject.training.curve:
        rate = row.get("images_per_second", row.get("pretrain_images_per_second"))
        if rate is None or "train_seconds" not in row:
            raise Skip("the recipe logs no images_per_second and train_seconds, see vitbench.training.EpochClock")
        macs = row.get("pretrain_macs_per_image")
        if macs is None:
            macs = own = own or count_macs(subject.architecture(), subject.input_shape)
        total += FORWARD_PASSES * macs * round(rate * (row["train_seconds"] - before))
        before = row["train_seconds"]
    if not total:
        raise Skip("the recipe logs no epoch")
    yield Measurement(name="train_macs", value=total)


def pretraining(subject: Subject) -> Iterator[Measurement]:
    """Give how well a recipe that pretrains without labels did that on validation images, at the end of that phase.

    Beside its loss stands that of a guess, and beside the accuracy the share of what is right most often.

    Raises:
        Skip: the recipe has no such phase.
    """
    last = _pretrained(subject)[-1]
    for name in ("loss", "guess_loss", "accuracy", "majority"):
        if (value := last.get(f"pretrain_{'val_' * (name == 'loss')}{name}")) is not None:
            yield Measurement(name=f"pretrain_{name}", value=value)


def pretrain_seconds(subject: Subject) -> Iterator[Measurement]:
    """Give the seconds of the steps of a recipe's pretraining, evaluation left out.

    Raises:
        Skip: the recipe has no such phase.
    """
    yield Measurement(name="pretrain_seconds", value=_pretrained(subject)[-1]["train_seconds"])


def _pretrained(subject: Subject) -> list[Mapping[str, float]]:
    """Return the rows of pretraining."""
    curve = subject.training.curve if subject.training else ()
    if not (rows := [row for row in curve if "pretrain_val_loss" in row]):
        raise Skip("the recipe does not pretrain")
    return rows
