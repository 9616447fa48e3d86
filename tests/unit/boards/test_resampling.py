"""Resamples of a dataset's images: their spread is that of the mean, and they are the same for all models."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vitbench.boards.resampling import resampled_means, sample_of, variances
from vitbench.leaderboard.image_scores import Outcomes, Resampled


def right(share: float, images: int = 2000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(images) < share


def test_resamples_spread_as_the_mean_does_and_are_shared() -> None:
    scores = np.stack([right(0.8), right(0.8), right(0.3, seed=1)]).astype(float)
    found = resampled_means(scores, 7)
    assert found.shape == (3, 1000)
    assert found.std(axis=1) == pytest.approx(scores.std(axis=1) / math.sqrt(2000), rel=0.1)
    assert found.mean(axis=1) == pytest.approx(scores.mean(axis=1), abs=0.001)
    np.testing.assert_allclose(found[0], found[1], atol=1e-7)
    assert abs(np.corrcoef(found)[0, 2]) < 0.15
    assert not np.allclose(found, resampled_means(scores, 8))


def test_nothing_is_certain_from_images_that_show_no_spread() -> None:
    always = (Outcomes(scores=np.ones(100, dtype=bool), images="x"),)
    sample = sample_of([always, always])
    pairs, own = variances(sample.replicates, sample.steps)
    assert own == pytest.approx([1e-4, 1e-4])  # as one image of a hundred
    assert pairs[0, 1] == pytest.approx(1e-4)


def test_many_images_are_drawn_in_parts_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.stack([right(0.8), right(0.3)]).astype(float)
    whole = resampled_means(scores, 7)
    monkeypatch.setattr("vitbench.boards.resampling.COUNTED", 3 * 2000)
    np.testing.assert_allclose(resampled_means(scores, 7), whole, atol=1e-7)


def test_models_known_on_other_images_are_unknown() -> None:
    def known(images: str) -> tuple[Outcomes, ...]:
        return (Outcomes(scores=right(0.5, 50), images=images),)

    sample = sample_of([known("x"), known("x"), known("y"), ()])
    assert (sample.known.tolist(), sample.images) == ([True, True, False, False], 50)
    assert sample_of([(), ()]).images == 0
    # The same labels of another dataset are other images, and drawn apart.
    other = sample_of([known("x"), known("x")], "z")
    assert other.digest != sample.digest
    assert not np.allclose(other.replicates[0], sample.replicates[0])


def test_stored_resamples_are_taken_and_those_of_two_datasets_are_not_the_same_draws() -> None:
    replicates = np.random.default_rng(0).normal(0.5, 0.02, 1000)

    def known(extra: float) -> tuple[Resampled, ...]:
        return (Resampled(value=0.5, replicates=replicates + extra, step=0.001, size=300, images="x"),)

    first, second = (sample_of([known(0.0), known(0.1)], name) for name in "ab")
    assert first.images == 300
    assert sorted(first.replicates[0]) == pytest.approx(sorted(replicates))
    np.testing.assert_allclose(first.replicates[1] - first.replicates[0], 0.1)
    assert abs(np.corrcoef(first.replicates[0], second.replicates[0])[0, 1]) < 0.15
    # Where most resamples have no value, nothing is known of the error.
    broken = np.where(np.arange(1000) < 600, math.nan, replicates)
    lost = sample_of([(Resampled(value=0.5, replicates=broken, step=0.0, size=300, images="x"),)])
    assert variances(lost.replicates, lost.steps)[1].tolist() == [math.inf]
