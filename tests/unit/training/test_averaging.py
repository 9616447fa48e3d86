"""The average of the weights: what it is, that it is only lent, and that it goes on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vitbench.training import WeightAverage


def model_of(value: float) -> nn.Module:
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    with torch.no_grad():
        model[0].weight.fill_(value)
        model[1].running_mean.fill_(value)
    return model


def set_to(model: nn.Module, value: float) -> None:
    with torch.no_grad():
        model[0].weight.fill_(value)
        model[1].running_mean.fill_(value)


def test_it_is_the_exponential_average_of_weights_and_statistics_with_a_rising_decay() -> None:
    model = model_of(1.0)
    average, expected = WeightAverage(model, 0.25), 1.0
    for update, value in enumerate((5.0, -2.0, 7.0), start=1):
        set_to(model, value)
        average.update()
        decay = min(0.25, (1 + update) / (10 + update))  # 2/11, then 0.25 twice
        expected = decay * expected + (1 - decay) * value
    with average.applied():
        assert model[0].weight.item() == pytest.approx(expected)
        assert model[1].running_mean.item() == pytest.approx(expected)
    assert (model[0].weight.item(), model[1].running_mean.item()) == (7.0, 7.0)
    average.apply()
    assert model[0].weight.item() == pytest.approx(expected)


def test_the_weights_come_back_after_an_error_and_frozen_ones_are_not_copied() -> None:
    model = model_of(1.0)
    model[0].weight.requires_grad_(False)
    average = WeightAverage(model, 0.9)
    assert len(average.state_dict()["averages"]) == 4  # of the batch norm: scale, shift, mean, variance
    set_to(model, 3.0)
    with pytest.raises(KeyError), average.applied():
        raise KeyError
    assert model[1].running_mean.item() == 3.0


def test_it_goes_on_from_its_state() -> None:
    models = [model_of(1.0), model_of(1.0)]
    averages = [WeightAverage(model, 0.9) for model in models]
    set_to(models[0], 2.0)
    averages[0].update()
    averages[1].load_state_dict(averages[0].state_dict())
    for model, average in zip(models, averages, strict=True):
        set_to(model, 5.0)
        average.update()
        average.apply()
    assert torch.equal(models[0][0].weight, models[1][0].weight)


def test_without_a_decay_it_does_nothing() -> None:
    model = model_of(1.0)
    average = WeightAverage(model, 0.0)
    set_to(model, 2.0)
    average.update()
    with average.applied():
        assert model[0].weight.item() == 2.0
    average.apply()
    assert model[0].weight.item() == 2.0


def test_a_mask_with_infinite_numbers_stays_as_it_is() -> None:
    model = nn.Linear(1, 1)
    model.register_buffer("mask", torch.full((2, 2), float("-inf")).triu(1))
    before = model.mask.clone()
    average = WeightAverage(model, 0.9)
    average.update()
    average.apply()
    assert torch.equal(model.mask, before)
