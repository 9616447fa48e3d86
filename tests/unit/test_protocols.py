"""What a subject holds suffices for metrics that vitbench does not have, each written as a third party would."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from factories import predictions
from scipy.optimize import minimize_scalar
from scipy.stats import rankdata
from sklearn.metrics import brier_score_loss, roc_auc_score

from vitbench import ConfusionScore, ImageScores, Measurement, SampleScore
from vitbench.catalog import Catalog, Offer, Plugin
from vitbench.errors import Skip
from vitbench.protocols import Predictions, Split, Subject
from vitbench.specs import MetricSpec
from vitbench.worker.metrics import Measured, measure

CLASSES = 6
IMAGES = 400


@pytest.fixture
def held() -> Predictions:
    """Return predictions that are right about half the time, and far too sure."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (IMAGES,), generator=generator)
    logits = 4 * torch.randn(IMAGES, CLASSES, generator=generator)
    logits[torch.arange(IMAGES), labels] += 4
    return predictions(logits, labels, index=np.arange(IMAGES) * 3)


def subject(held: Predictions, **parts: object) -> Subject:
    return Subject(
        num_classes=held.num_classes,
        input_shape=(1, 8, 8),
        device="cpu",
        precision="float32",
        predictions=held,
        **parts,  # type: ignore[arg-type]
    )


def measured(function: object, held: Predictions, *names: str) -> dict[str, Measurement]:
    """Return what a metric of a third party gives, by name."""
    spec = MetricSpec(
        name="foreign",
        measure=function,  # type: ignore[arg-type]
        unit="1",
        better="lower",
        needs="predictions",
        summary="x",
        measurements=names,
    )
    offer = Offer(name="p/foreign", plugin=Plugin(name="p", distribution="d", version="1", module="m"), spec=spec)
    found: Measured = measure(Catalog(metrics={offer.name: offer}), subject(held), "quality")
    assert [one.name for one in found.measurements] == (list(names) or ["foreign"])
    assert set(found.scores) == {one.name for one in found.measurements}
    return {one.name: one for one in found.measurements}


def test_brier(held: Predictions) -> None:
    def brier(subject: Subject) -> Iterator[ImageScores]:
        said = subject.predictions.probabilities()  # type: ignore[union-attr]
        truth = np.eye(subject.num_classes)[subject.predictions.labels]  # type: ignore[union-attr]
        yield ImageScores(name="foreign", values=((said - truth) ** 2).sum(axis=1))

    softmax = torch.from_numpy(held.logits).double().softmax(1).numpy()
    expected = sum(brier_score_loss(held.labels == k, softmax[:, k], pos_label=True) for k in range(CLASSES))
    assert measured(brier, held)["foreign"].value == pytest.approx(expected, rel=1e-9)


def test_area_under_the_curve(held: Predictions) -> None:
    def area(subject: Subject) -> Iterator[SampleScore]:
        assert subject.predictions is not None
        said, own = subject.predictions.probabilities()[:, 0], subject.predictions.labels == 0

        def score(drawn: np.ndarray) -> float:
            positive = own[drawn]
            count = positive.sum()
            if count in (0, len(drawn)):
                return float("nan")
            ranks = rankdata(said[drawn])[positive].sum()
            return float((ranks - count * (count + 1) / 2) / (count * (len(drawn) - count)))

        yield SampleScore(name="foreign", score=score)

    found = measured(area, held)["foreign"]
    assert found.value == pytest.approx(roc_auc_score(held.labels == 0, held.probabilities()[:, 0]), rel=1e-12)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_worst_class(held: Predictions) -> None:
    def worst(confusion: np.ndarray) -> float:
        totals = confusion.sum(axis=1)
        return float((confusion.diagonal()[totals > 0] / totals[totals > 0]).min())

    found = measured(lambda subject: [ConfusionScore(name="foreign", score=worst)], held)["foreign"]
    right = held.top_classes[:, 0] == held.labels
    assert found.value == min(right[held.labels == k].mean() for k in range(CLASSES))


def test_calibration_of_each_class(held: Predictions) -> None:
    def class_wise(subject: Subject) -> Iterator[SampleScore]:
        assert subject.predictions is not None
        said, truth = subject.predictions.probabilities(), np.eye(CLASSES)[subject.predictions.labels]
        bins = np.minimum((said * 10).astype(int), 9) + 10 * np.arange(CLASSES)

        def score(drawn: np.ndarray) -> float:
            surplus = (truth - said)[drawn]
            return float(np.abs(np.bincount(bins[drawn].ravel(), surplus.ravel())).sum() / len(drawn) / CLASSES)

        yield SampleScore(name="foreign", score=score)

    softmax = torch.from_numpy(held.logits).double().softmax(1).numpy()
    expected = 0.0
    for k in range(CLASSES):
        for low in range(10):
            inside = np.minimum((softmax[:, k] * 10).astype(int), 9) == low
            expected += abs((held.labels[inside] == k).sum() - softmax[inside, k].sum()) / IMAGES / CLASSES
    assert measured(class_wise, held)["foreign"].value == pytest.approx(expected, rel=1e-9)


def test_conformal_sets(held: Predictions) -> None:
    """Sets of classes that hold the true one with 90 %: one half of the images sets the threshold for the other."""

    def conformal(subject: Subject) -> Iterator[ImageScores]:
        assert subject.predictions is not None
        said, labels = subject.predictions.probabilities(), subject.predictions.labels
        of_calibration = np.random.default_rng(0).permutation(len(labels)) < len(labels) // 2
        true = said[np.arange(len(labels)), labels]
        count = of_calibration.sum()
        threshold = np.quantile(1 - true[of_calibration], np.ceil(0.9 * (count + 1)) / count, method="higher")
        sets = 1 - said <= threshold
        yield ImageScores(name="covered", values=sets[np.arange(len(labels)), labels])
        yield ImageScores(name="set_size", values=sets.sum(axis=1).astype(float))

    found = measured(conformal, held, "covered", "set_size")
    assert found["covered"].value == pytest.approx(0.9, abs=0.04)
    assert found["set_size"].value is not None
    assert 1 < found["set_size"].value < CLASSES


def test_temperature_scaling(held: Predictions) -> None:
    def scaled(subject: Subject) -> Iterator[ImageScores]:
        assert subject.predictions is not None
        logits, labels = subject.predictions.logits, subject.predictions.labels
        if logits is None:
            raise Skip("it needs whole logits")
        each = torch.from_numpy(logits.astype(np.float64)), torch.from_numpy(labels.copy())

        def loss(temperature: float) -> np.ndarray:
            return torch.nn.functional.cross_entropy(each[0] / temperature, each[1], reduction="none").numpy()

        best = minimize_scalar(lambda t: loss(t).mean(), bounds=(0.1, 10), method="bounded").x
        yield ImageScores(name="nll_scaled", values=loss(best))
        yield ImageScores(name="temperature", values=np.full(len(labels), best))

    found = measured(scaled, held, "nll_scaled", "temperature")
    assert found["temperature"].value is not None
    assert 2 < found["temperature"].value < 8, "they are four times too sure"
    assert found["nll_scaled"].value is not None
    assert found["nll_scaled"].value < -held.true_log_probability.mean() - 0.1


def test_images_go_with_the_predictions(held: Predictions) -> None:
    split = Split(images=np.zeros((3 * IMAGES, 1, 8, 8), dtype=np.uint8), index=held.index, labels=held.labels)
    of = subject(held, images=split)
    assert of.images is not None
    assert len(of.images) == len(held.labels)
    assert held.class_names[held.labels[0]] == f"class {held.labels[0]}"
