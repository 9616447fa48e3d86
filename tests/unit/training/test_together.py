"""Training and validation images as one split."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import toy_training

from vitbench.errors import UsageError
from vitbench.protocols import Split, TrainVal
from vitbench.training import trainval


def pixels(split: Split) -> np.ndarray:
    return split.images[split.index]


def assert_together(data: TrainVal) -> Split:
    both = trainval(data)
    assert np.array_equal(pixels(both), np.concatenate([pixels(data.train), pixels(data.val)]))
    assert np.array_equal(both.labels, np.concatenate([data.train.labels, data.val.labels]))
    return both


def test_a_validation_split_of_its_own_is_appended() -> None:
    assert_together(toy_training.bars_data())


def test_validation_images_that_were_drawn_from_train_stay_where_they_are() -> None:
    whole = toy_training.split(*toy_training.bars(96))
    part = [
        dataclasses.replace(whole, index=whole.index[rows], labels=whole.labels[rows])
        for rows in (slice(80), slice(80, 96))
    ]
    both = assert_together(toy_training.train_val(*part))
    assert both.images is whole.images


def test_of_larger_training_images_those_for_validation_are_taken_in_the_same_size(tmp_path: Path) -> None:
    whole = toy_training.split(*toy_training.bars(96))
    arrays = []
    for side in (8, 4):
        (tmp_path / str(side)).mkdir()
        path = tmp_path / str(side) / "train-images.npy"
        np.save(path, whole.images[:, :, :side, :side])
        arrays.append(np.load(path, mmap_mode="r"))
    train, val = (
        Split(images=images, index=whole.index[rows], labels=whole.labels[rows])
        for images, rows in zip(arrays, (slice(80), slice(80, 96)), strict=True)
    )
    both = trainval(toy_training.train_val(train, val))
    assert np.array_equal(pixels(both), whole.images[whole.index])


def test_splits_of_two_sizes_cannot_be_learned_from_together() -> None:
    data = toy_training.train_val(
        toy_training.split(*toy_training.bars(96)), toy_training.split(*toy_training.bars(32, side=16))
    )
    with pytest.raises(UsageError, match="8x8, to be cropped from, and validation images at 16x16"):
        trainval(data)
