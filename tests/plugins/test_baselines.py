"""The baselines, against counts by hand and scikit-learn's neighbours."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import toy_training
import vitbench_baselines
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from vitbench_baselines import knn

from vitbench.errors import UsageError
from vitbench.protocols import TrainVal
from vitbench.specs import ModelSpec, load_target
from vitbench.training import preprocess, statistics

MODELS: dict[str, ModelSpec] = {spec.name: spec for spec in vitbench_baselines.vitbench_models()}
RECIPES = {f"baseline/{spec.name}": spec for spec in vitbench_baselines.vitbench_recipes()}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def fitted(name: str, data: TrainVal, **options: Any) -> nn.Module:
    spec = MODELS[name]
    model = load_target(spec.build)(
        num_classes=data.num_classes, image_size=data.image_size, in_channels=data.in_channels
    )
    recipe = RECIPES[spec.recipe]
    return load_target(recipe.fit)(model, data, toy_training.run(dict(recipe.defaults) | options)).eval()


def digits() -> tuple[TrainVal, torch.Tensor, np.ndarray]:
    """Half of the digits to fit, and the other half as inputs with labels."""
    found = load_digits()
    images = np.round(found.images * 255 / 16).astype(np.uint8)[:, None]
    train = toy_training.split(images[::2], found.target[::2])
    data = toy_training.train_val(train, train, num_classes=10, preprocess=statistics(train))
    inputs = preprocess(torch.from_numpy(images[1::2]), data.preprocess, image_size=(8, 8), in_channels=1)
    return data, inputs, found.target[1::2]


def stored(values: list[int], labels: list[int], num_classes: int) -> TrainVal:
    """One-pixel images whose inputs are the values divided by 255."""
    split = toy_training.split(np.array(values, np.uint8)[:, None, None, None], np.array(labels))
    how = toy_training.Preprocess(mean=(0.0,), std=(1.0,))
    return toy_training.train_val(split, split, num_classes=num_classes, preprocess=how)


def asked(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1) / 255


def test_baselines_are_marked_and_bring_their_recipes() -> None:
    assert all(spec.is_baseline and spec.recipe in RECIPES for spec in MODELS.values())


def test_majority_says_the_class_frequencies_with_one_image_added_to_each() -> None:
    logits = fitted("majority", stored([0] * 6, [2, 2, 2, 0, 0, 2], 4))(torch.zeros(3, 1, 1, 1))
    expected = torch.tensor([3 / 10, 1 / 10, 5 / 10, 1 / 10])
    torch.testing.assert_close(logits.softmax(1), expected.expand(3, 4))


@pytest.mark.parametrize("k", [1, 5])
def test_neighbours_agree_with_scikit_learn_on_digits(k: int) -> None:
    data, inputs, labels = digits()
    predicted = fitted("knn-pixels", data, k=k)(inputs).argmax(1).numpy()
    train = data.train.images[data.train.index].reshape(len(data.train), -1)
    reference = KNeighborsClassifier(k).fit(preprocess_rows(train, data), data.train.labels)
    assert np.mean(predicted == reference.predict(inputs.flatten(1).numpy())) > 0.995  # ties are broken otherwise
    assert np.mean(predicted == labels) > 0.97


def preprocess_rows(rows: np.ndarray, data: TrainVal) -> np.ndarray:
    return ((rows / 255 - data.preprocess.mean[0]) / data.preprocess.std[0]).astype(np.float32)


def test_the_answer_depends_on_neither_batch_size_nor_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    data, inputs, _ = digits()
    model = fitted("knn-pixels", data)
    whole = model(inputs)
    one_by_one = torch.cat([model(part) for part in inputs.flip(0).split(7)]).flip(0)
    assert torch.equal(whole, one_by_one)
    monkeypatch.setattr(knn, "_CHUNK_VALUES", 64 * 10)
    assert torch.equal(model(inputs[:50]), whole[:50])


def test_logits_are_finite_logarithms_of_probabilities_that_follow_the_votes() -> None:
    logits = fitted("knn-pixels", stored([0, 1, 2, 100, 200], [1, 1, 0, 2, 2], 4), k=3)(asked(0))
    assert torch.isfinite(logits).all()
    assert logits.exp().sum() == pytest.approx(1.0)
    torch.testing.assert_close(logits.exp()[0], torch.tensor([1.25, 2.25, 0.25, 0.25]) / 4, atol=1e-3, rtol=0)


def test_equal_votes_go_to_the_nearer_image() -> None:
    model = fitted("knn-pixels", stored([10, 14, 200], [1, 0, 0], 2), k=2)
    assert model(asked(11, 13)).argmax(1).tolist() == [1, 0]


def test_equal_distances_go_to_the_image_stored_first() -> None:
    for labels in ([1, 0], [0, 1]):
        model = fitted("knn-pixels", stored([10, 20], labels, 2), k=1)
        assert model(asked(15)).argmax(1).tolist() == labels[:1]


def test_more_neighbours_than_images_are_all_the_images() -> None:
    logits = fitted("knn-pixels", stored([0, 9, 10], [0, 1, 1], 2), k=50)(asked(0))
    assert logits.argmax(1).tolist() == [1]


def test_large_images_are_shrunk_before_they_are_compared() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 64, 64), dtype=np.uint8)
    split = toy_training.split(images, np.arange(6))
    data = toy_training.train_val(split, split, num_classes=6)
    model = fitted("knn-pixels", data, k=1)
    assert model.pixels.shape == (6, 3 * 32 * 32)
    inputs = preprocess(torch.from_numpy(images), data.preprocess, image_size=(64, 64), in_channels=3)
    assert model(inputs).argmax(1).tolist() == list(range(6))


def test_reduced_precision_does_not_reach_the_distances() -> None:
    data, inputs, _ = digits()
    model = fitted("knn-pixels", data)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        reduced = model(inputs[:100])
    assert torch.equal(reduced, model(inputs[:100]))


def test_fewer_than_one_neighbour_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="k must be at least 1, not 0"):
        fitted("knn-pixels", stored([0, 1], [0, 1], 2), k=0)


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_baselines_recipe_refuses_other_models_in_words(name: str) -> None:
    with pytest.raises(UsageError, match=f"the recipe {name} fits .* only"):
        load_target(RECIPES[name].fit)(nn.Identity(), stored([0, 1], [0, 1], 2), toy_training.run({"k": 1}))


def test_majority_has_the_lowest_cross_entropy_of_constant_answers() -> None:
    labels = [0] * 70 + [1] * 30
    logits = fitted("majority", stored([0] * 100, labels, 2))(torch.zeros(100, 1, 1, 1))
    nll = nn.functional.cross_entropy(logits, torch.tensor(labels)).item()
    entropy = -(0.7 * math.log(0.7) + 0.3 * math.log(0.3))
    assert entropy < nll < entropy + 1e-3
