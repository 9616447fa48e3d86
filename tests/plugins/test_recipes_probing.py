"""The recipes that learn a head alone: the optimum, the choices on validation, the folds, and what they refuse."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import toy_training
import vitbench_recipes
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from vitbench_recipes import knn, linear_probe, probing, prototype
from vitbench_recipes.logistic import logistic_path
from vitbench_recipes.probing import Known

from vitbench.errors import UsageError
from vitbench.protocols import FitRun, Split, TrainVal
from vitbench.training.frozen_features import extracted, fitted_head

NAMES = ("linear-probe", "knn", "prototype")
SPECS = {spec.name: spec for spec in vitbench_recipes.vitbench_recipes()}


def known(*, images: int = 300, classes: int = 4, width: int = 12, seed: int = 0) -> Known:
    """Return correlated features of several classes that lie in part one over another."""
    random = torch.Generator().manual_seed(seed)
    means, mixing = torch.randn(classes, width, generator=random), torch.randn(width, width, generator=random)
    labels = torch.arange(images + 100) % classes
    x = (means[labels] + 1.5 * torch.randn(len(labels), width, generator=random)) @ mixing + 5
    return Known(
        train=x[:images], train_labels=labels[:images], val=x[images:], val_labels=labels[images:], num_classes=classes
    )


def run(**changes: Any) -> FitRun:
    return toy_training.run({"labels": 1.0, "folds": 0}, **changes)


def with_features(data: TrainVal, **changes: Any) -> FitRun:
    """Return the conditions of a run that extracts features each time."""

    def extract(model: nn.Module, split: Split) -> NDArray[np.float32]:
        return np.concatenate(list(extracted(model, split, data, device=torch.device("cpu"), precision="float32")))

    return toy_training.run({"labels": 1.0, "folds": 0, **changes.pop("options", {})}, features=extract, **changes)


class Net(nn.Module):
    """A random projection."""

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(64, 24), nn.Linear(24, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images.flatten(1)).relu())


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
def test_the_path_reaches_the_optimum_of_scikit_learn(l2: float) -> None:
    scaled, _, _ = probing.standardised(known())
    x, labels = scaled.train, scaled.train_labels
    path = list(logistic_path(x, labels, num_classes=4, strengths=[one for one in linear_probe.STRENGTHS if one >= l2]))
    model = LogisticRegression(C=1 / (l2 * len(x)), max_iter=10_000, tol=1e-8).fit(x.double().numpy(), labels.numpy())
    theirs = torch.from_numpy(model.coef_).float(), torch.from_numpy(model.intercept_).float()

    def objective(weight: Tensor, bias: Tensor) -> float:
        return (F.cross_entropy(F.linear(x, weight, bias), labels) + l2 / 2 * weight.square().sum()).item()

    assert abs(objective(*path[-1]) - objective(*theirs)) < 1e-3


def test_the_strength_of_the_probe_is_the_one_that_suits_validation_best() -> None:
    of = known(images=60, width=30)
    found = linear_probe.learned(of, run())
    scaled, _, _ = probing.standardised(of)
    path = logistic_path(scaled.train, of.train_labels, num_classes=4, strengths=linear_probe.STRENGTHS)
    losses = [F.cross_entropy(F.linear(scaled.val, *each), of.val_labels).item() for each in path]
    best = int(np.argmin(losses))
    assert 0 < best < len(losses) - 1
    assert found.chosen == {"l2": linear_probe.STRENGTHS[best]}
    assert F.cross_entropy(found.head(of.val), of.val_labels).item() == pytest.approx(losses[best], abs=1e-4)


def test_neighbours_vote_as_those_of_scikit_learn() -> None:
    of = known()
    head = knn.Neighbours(of.train, of.train_labels, num_classes=4, k=7, temperature=1e9)  # each vote counts alike
    theirs = KNeighborsClassifier(7, metric="cosine").fit(of.train.numpy(), of.train_labels.numpy())
    shares = (head(of.val).softmax(1) * 8 - 0.25) / 7  # less the vote that is spread over all classes
    assert torch.allclose(shares, torch.from_numpy(theirs.predict_proba(of.val.numpy())).float(), atol=1e-5)
    assert head.state_dict() == {}


def test_the_prototype_is_the_nearest_mean() -> None:
    of = known()
    head = prototype.learned(of).head
    scaled, _, _ = probing.standardised(of)
    means = torch.stack([scaled.train[of.train_labels == k].mean(0) for k in range(4)])
    assert torch.equal(head(of.val).argmax(1), torch.cdist(scaled.val, means).argmin(1))


@pytest.mark.parametrize("name", NAMES)
def test_a_class_without_an_image_is_less_likely_than_others_and_constant_features_do_no_harm(name: str) -> None:
    of = known()
    kept = of.train_labels != 3
    train = torch.cat([of.train[kept], torch.full((int(kept.sum()), 1), 7.0)], dim=1)
    val = torch.cat([of.val, torch.full((len(of.val), 1), 7.0)], dim=1)
    few = Known(train=train, train_labels=of.train_labels[kept], val=val, val_labels=of.val_labels, num_classes=4)
    module = importlib.import_module(f"vitbench_recipes.{name.replace('-', '_')}")
    head = (module.learned(few, run()) if name == "linear-probe" else module.learned(few)).head
    logits = head(val)
    assert logits.isfinite().all()
    assert (logits.argmax(1) != 3).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_probe_gives_the_model_a_head_and_says_what_it_makes_of_images_that_it_held_out(name: str) -> None:
    """Labels that have nothing to do with the images are guessed of those that are held out, not known."""
    images, _ = toy_training.bars(96)
    train = toy_training.split(images, np.random.default_rng(0).integers(0, 2, 96))
    data = toy_training.train_val(train, toy_training.split(*toy_training.bars(32, seed=1)))
    rows: list[dict[str, float]] = []
    held: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
    model = Net()
    before = {key: tensor.clone() for key, tensor in model.body.state_dict().items()}
    of = with_features(data, log=lambda **row: rows.append(row), out_of_fold=lambda *each: held.append(each))
    module = importlib.import_module(f"vitbench_recipes.{name.replace('-', '_')}")
    probed = module.fit(model, data, of)
    assert fitted_head(probed) is not None
    assert all(torch.equal(before[key], tensor) for key, tensor in model.body.state_dict().items())
    [(index, logits)] = held
    assert np.array_equal(index, data.train.index)
    right = (logits.argmax(1) == data.train.labels).mean()
    assert abs(right - 0.5) < 4 * math.sqrt(0.25 / 96)
    [row] = [row for row in rows if row]
    assert {"epoch", "epochs", "val_loss", "val_top1"} < row.keys()


@pytest.mark.parametrize(
    ("folds", "val", "count"), [(0, 999, 5), (0, 1000, None), (1, 10, None), (3, 5000, 3), (0, 10, 5)]
)
def test_there_are_folds_where_validation_images_are_few_or_where_they_are_asked_for(
    folds: int, val: int, count: int | None
) -> None:
    labels = np.repeat([0, 1, 2], [40, 7, 1])
    found = probing._folds(folds, labels, val=val)
    if count is None:
        assert found is None
        return
    assert found is not None
    assert set(found) == set(range(count))
    for label in (0, 1):
        sizes = np.bincount(found[labels == label], minlength=count)
        assert sizes.max() - sizes.min() <= 1


def test_more_folds_than_images_are_refused_in_words() -> None:
    with pytest.raises(UsageError, match="folds = 9 exceeds the 4 labelled images; use fewer"):
        probing._folds(9, np.array([0, 1, 0, 1]), val=10)


def test_a_model_with_a_trained_body_is_before_a_random_one() -> None:
    """The order of probes is that of what the bodies have learned: nothing, little, much."""
    data = toy_training.bars_data()
    accuracies = []
    for passes in (0, 3, 60):
        model = Net()
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        noisy = torch.Generator().manual_seed(0)
        for _ in range(passes):
            x = torch.from_numpy(data.train.images[data.train.index]).float() / 255
            x = (x + 0.6 * torch.rand(x.shape, generator=noisy) - 0.6) / 0.2
            F.cross_entropy(model(x), torch.from_numpy(data.train.labels)).backward()
            optimizer.step()
            optimizer.zero_grad()
        rows: list[dict[str, float]] = []
        linear_probe.fit(model, data, with_features(data, log=lambda rows=rows, **row: rows.append(row)))
        accuracies.append([row for row in rows if row][-1]["val_loss"])
    assert accuracies[0] > accuracies[1] > accuracies[2]
