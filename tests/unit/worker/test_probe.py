"""A training that is begun and ended by force: its steps are timed, whatever the recipe."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import numpy as np
import pytest
import torch
import toy_training
from torch import nn

from vitbench.protocols import FitRun, Split, TrainVal
from vitbench.worker import probe
from vitbench.worker.probe import counted_steps, probe_training

DATA = toy_training.bars_data()


def model() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))


def fit(net: nn.Module, *, steps: int, optimizers: int = 1, swallows: bool = False) -> None:
    made = [torch.optim.SGD(net.parameters(), lr=0.0) for _ in range(optimizers)]
    for step in range(steps):
        if step == 6:
            time.sleep(0.5)  # an evaluation, perhaps
        net(torch.zeros(4, 1, 8, 8)).sum().backward()
        try:
            for each in made:
                each.step()
        except Exception:
            assert swallows


def probed(
    net: nn.Module, *, data: TrainVal = DATA, options: Mapping[str, float] = MappingProxyType({}), **how: int
) -> dict[str, float]:
    run: FitRun = toy_training.run({"epochs": 4, "batch_size": 10, **options})
    return probe_training(partial(fit, net, **how), net, data, run, began=time.monotonic() - 3.0)


def test_a_long_training_is_ended_when_its_steps_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "ENOUGH_SECONDS", 0.05)
    found = probed(model(), steps=10**9, optimizers=2)
    assert found["steps"] >= 1
    assert (found["epoch"], found["length"]) == (9, 36)
    assert "seconds" not in found
    assert found["before"] >= 3.0
    assert found["step"] < 0.5, "what lies between steps now and then is no step"
    assert found["forward"] > 0


def test_a_training_that_ends_by_itself_is_known_whole() -> None:
    found = probed(model(), steps=2)
    assert (found["steps"], "seconds" in found) == (2, True)
    untrained = probed(model(), steps=0)
    assert ("steps" in untrained, untrained["seconds"] >= 0) == (False, True)


def test_validation_images_are_read_from_their_own_array() -> None:
    many = Split(images=np.zeros((500, 1, 8, 8), np.uint8), index=np.array([499]), labels=np.array([0]))
    assert probed(model(), data=replace(DATA, val=many), steps=0)["forward"] > 0


def test_steps_are_counted_once_for_optimisers_at_once_and_each_for_optimisers_one_after_the_other() -> None:
    with counted_steps() as count:
        fit(model(), steps=5, optimizers=2)
    fit(model(), steps=3)
    assert count.taken == 5

    with counted_steps() as count:
        fit(model(), steps=5)
        fit(model(), steps=3)
    assert count.taken == 8


def test_the_length_of_a_recipe_with_two_phases_is_of_both_and_of_its_labelled_images() -> None:
    options = {"batch_size": 16, "epochs": 3, "labels": 0.5, "pretrain_epochs": 2}
    found = probed(model(), steps=0, options=options)
    images = len(DATA.train)
    assert (found["epoch"], found["length"]) == (images // 2 // 16, 2 * (images // 16) + 3 * (images // 2 // 16))
