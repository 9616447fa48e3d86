"""A training that goes on where a killed one was ends with the same bits, and saves only as often as it may."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import toy_resumable
import toy_training
from torch import nn

from vitbench.training import MeanLoss, TrainingState, state
from vitbench.worker.runtime import seed_all

Curve = list[dict[str, Any]]


class Saves:
    """Keeps every state that a training saves, as a file would."""

    def __init__(self) -> None:
        self.files: dict[int, bytes] = {}

    def __call__(self, step: int, given: Mapping[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(given, buffer)
        self.files[step] = buffer.getvalue()

    def read(self, step: int) -> tuple[int, Mapping[str, Any]]:
        return step, torch.load(io.BytesIO(self.files[step]), weights_only=True)


def train(saves: Saves, *, start: int | None = None) -> tuple[list[torch.Tensor], Curve]:
    """Train by the toy recipe, anew or from a step that was saved; return the weights and the rows of the curve."""
    data, curve = toy_training.bars_data(), []
    seed_all(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    run = toy_training.run(log=lambda **row: curve.append(row), save=saves, resume=lambda: start and saves.read(start))
    return [weight.detach().clone() for weight in toy_resumable.fit(model, data, run).parameters()], curve


def test_from_any_step_on_a_training_ends_with_the_same_bits_and_the_same_curve() -> None:
    saves = Saves()
    weights, curve = train(saves)
    steps = 96 // toy_resumable.BATCH
    assert sorted(saves.files) == list(range(steps * toy_resumable.EPOCHS))
    for start in (1, steps, 3 * steps - 1, 3 * steps + 2):
        again, rows = train(saves, start=start)
        assert all(map(torch.equal, weights, again)), start
        assert rows == curve[start // steps :], start


@pytest.mark.parametrize("part", ["parts", "generators"])
def test_each_part_counts(part: str) -> None:
    """Without any one of them the weights are others: the test above can fail."""
    saves = Saves()
    weights, _ = train(saves)
    step, whole = saves.read(9)
    _, earlier = saves.read(3)
    for name in whole[part]:
        if name in ("scaler", "device", "losses"):  # of float16, of a GPU, of the curve alone
            continue
        saves(step, whole | {part: whole[part] | {name: earlier[part][name]}})
        again, _ = train(saves, start=step)
        assert not all(map(torch.equal, weights, again)), name


def test_it_saves_when_it_is_time_and_rarely_where_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, took, saved = [1000.0], [0.25], []

    def save(step: int, _: object) -> None:
        saved.append(step)
        clock[0] += took[0]

    monkeypatch.setattr(state.time, "monotonic", lambda: clock[0])
    training = TrainingState(toy_training.run(save=save), losses=MeanLoss())

    def steps(first: int, last: int) -> None:
        for step in range(first, last):
            training.save(step)
            clock[0] += 1.0

    steps(0, 31)
    assert saved == [30], "30 s after the beginning"
    took[0] = 2.0
    steps(31, 71)
    assert saved == [30, 60], "30 s after the beginning of the last save"
    steps(71, 200)
    assert saved == [30, 60, 158], "that took 2 s: the next one is due after 100 s"


def test_nothing_is_gathered_before_it_is_time() -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    run = dataclasses.replace(toy_training.run(), save=refuse)
    losses = MeanLoss()
    losses.state_dict = refuse  # type: ignore[method-assign]
    TrainingState(run, losses=losses).save(1)
