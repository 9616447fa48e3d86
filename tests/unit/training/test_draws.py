"""Numbers of an image: the same whatever stands beside it, and as random as they are said to be."""

from __future__ import annotations

import pytest
import torch

from vitbench.training import Draws, derived_seed

IMAGES = torch.arange(20_000)


def test_an_image_has_its_numbers_in_any_batch_and_order() -> None:
    whole = Draws(3, 5, IMAGES).uniform("crop", 2)
    some = torch.tensor([17, 4, 19_999])
    assert torch.equal(Draws(3, 5, some).uniform("crop", 2), whole[some])
    assert torch.equal(Draws(3, 5, IMAGES).select(some).uniform("crop", 2), whole[some])


@pytest.mark.parametrize(
    "other",
    [
        Draws(4, 5, IMAGES).uniform("crop", 2),
        Draws(3, 6, IMAGES).uniform("crop", 2),
        Draws(3, 5, IMAGES).uniform("flip", 2),
        Draws(3, 5, IMAGES, torch.ones_like(IMAGES)).uniform("crop", 2),
        Draws(3, 5, IMAGES + 1).uniform("crop", 2),
    ],
    ids=["seed", "epoch", "purpose", "copy", "neighbour"],
)
def test_numbers_of_another_draw_are_independent(other: torch.Tensor) -> None:
    own = Draws(3, 5, IMAGES).uniform("crop", 2)
    correlations = torch.corrcoef(torch.cat([own, other], 1).T)[:2, 2:]
    assert correlations.abs().max() < 5 / len(IMAGES) ** 0.5


def test_numbers_are_uniform() -> None:
    numbers = Draws(0, 0, IMAGES).uniform("any", 5)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    expected = numbers.numel() / 100
    counts = torch.histc(numbers, 100, 0, 1)
    assert ((counts - expected) ** 2 / expected).sum() < 160  # chi squared of 99 degrees of freedom: 1 in 10,000


def test_whole_numbers_and_chances_keep_to_their_range() -> None:
    draws = Draws(0, 0, IMAGES)
    assert draws.integers("n", -2, 3).unique().tolist() == [-2, -1, 0, 1, 2]
    assert not draws.chance("never", 0.0).any()
    assert draws.chance("always", 1.0).all()
    assert abs(draws.chance("some", 0.3).float().mean() - 0.3) < 0.02


def test_seeds_for_several_purposes_differ() -> None:
    seeds = {derived_seed(seed, purpose) for seed in (0, 1, 2**63) for purpose in ("order", "augmentation")}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)
