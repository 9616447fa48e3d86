"""The dataset `digits`, and what the plugin offers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from vitbench_datasets import vitbench_datasets
from vitbench_datasets.digits import open_digits

from vitbench.specs import load_target


def test_the_splits_are_scikit_learns_images_each_once() -> None:
    train, test = open_digits(split="train"), open_digits(split="test")
    both = np.concatenate([train.pixels, test.pixels])
    bunch = load_digits()

    assert both.shape == (1797, 1, 8, 8)
    assert (both.min(), both.max()) == (0, 255)
    assert sorted(image.tobytes() for image in both) == sorted(
        image.tobytes() for image in np.round(bunch.images * 255 / 16).astype(np.uint8)
    )
    assert np.array_equal(train.images(np.array([3, 1])), train.pixels[[3, 1]])


def test_the_split_is_stratified_and_printed() -> None:
    train, test = open_digits(split="train"), open_digits(split="test")
    shares = np.bincount(test.labels) / (np.bincount(train.labels) + np.bincount(test.labels))

    assert np.all(np.abs(shares - 0.2) < 0.01)
    assert train.notes == test.notes == (
        "test split made here: stratified, seed 0, 1,438 training and 359 test images",
    )  # fmt: skip


def test_labels_go_with_images() -> None:
    """One nearest neighbour reaches 98 % on an 80/20 split (references in the module)."""
    train, test = open_digits(split="train"), open_digits(split="test")
    a, b = (split.pixels.reshape(len(split.labels), 64).astype(np.float64) for split in (train, test))
    distances = (a**2).sum(1)[None] - 2 * b @ a.T
    assert np.mean(train.labels[distances.argmin(1)] == test.labels) > 0.97


def test_every_spec_of_the_plugin_can_be_loaded() -> None:
    specs = list(vitbench_datasets())
    of_mnist = ["fashion-mnist", "mnist", "kmnist", "emnist"]
    names = ["digits", "cifar10", "cifar100", *of_mnist, "file-list", "folder", "parquet", "webdataset", "idx"]
    assert [spec.name for spec in specs] == names
    for spec in specs:
        assert callable(load_target(spec.open))
        assert not spec.is_layout or callable(load_target(spec.detect or ""))


@pytest.mark.process
def test_listing_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, vitbench_datasets as d; list(d.vitbench_datasets());"
        "print(*sorted({'numpy', 'torch', 'PIL', 'sklearn', 'pyarrow'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
