"""Quality metrics against scikit-learn and torchmetrics, their edges, and what must not change them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pytest
import torch
from factories import predictions
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    roc_auc_score,
    top_k_accuracy_score,
)
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_calibration_error,
    multiclass_f1_score,
)
from vitbench_metrics import quality

from vitbench import Measurement, Skip
from vitbench.leaderboard.image_scores import Outcomes
from vitbench.leaderboard.paired import paired_difference
from vitbench.protocols import Subject
from vitbench.statistics import wilson
from vitbench.worker.scores import scored

METRICS = (
    *(quality.top1, quality.top5, quality.nll, quality.ece, quality.balanced_accuracy, quality.macro_f1),
    *(quality.brier, quality.auroc),
)
Metric = Callable[[Subject], Iterable[object]]


def subject(logits: torch.Tensor, labels: torch.Tensor | list[int]) -> Subject:
    return Subject(
        num_classes=logits.shape[1],
        input_shape=(3, 8, 8),
        device="cpu",
        precision="float32",
        predictions=predictions(logits, labels),
    )


def drawn(seed: int, images: int = 500, classes: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits that are right about half the time, and labels that leave the last class out."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes - 1, (images,), generator=generator)
    logits = 1.5 * torch.randn(images, classes, generator=generator)
    logits[torch.arange(images), labels] += 2
    return logits, labels


def measured(metric: Metric, of: Subject) -> Measurement:
    """Return what the core makes of what a metric gives."""
    (given,) = metric(of)
    if isinstance(given, Measurement):
        return given
    assert of.predictions is not None
    return scored(given, of.predictions, "1").measurement


def value(metric: Metric, of: Subject) -> float:
    found = measured(metric, of).value
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(2))
class TestOracles:
    def test_top1_and_top5(self, seed: int) -> None:
        logits, labels = drawn(seed)
        of = subject(logits, labels)
        assert value(quality.top1, of) == pytest.approx(multiclass_accuracy(logits, labels, 10, average="micro").item())
        sklearns = top_k_accuracy_score(labels.numpy(), logits.numpy(), k=5, labels=range(10))
        assert value(quality.top5, of) == pytest.approx(sklearns)

    def test_nll(self, seed: int) -> None:
        logits, labels = drawn(seed)
        expected = log_loss(labels.numpy(), logits.double().softmax(1).numpy(), labels=range(10))
        assert value(quality.nll, subject(logits, labels)) == pytest.approx(expected, rel=1e-6)

    def test_ece(self, seed: int) -> None:
        logits, labels = drawn(seed)
        expected = multiclass_calibration_error(logits.softmax(1), labels, 10, n_bins=quality.CALIBRATION_BINS)
        assert value(quality.ece, subject(logits, labels)) == pytest.approx(expected.item(), abs=1e-5)

    def test_macro_f1(self, seed: int) -> None:
        logits, labels = drawn(seed, images=60)
        logits[:, 8] = -100.0  # class 8 occurs but is never predicted, class 9 the other way round
        found = value(quality.macro_f1, subject(logits, labels))
        assert found == pytest.approx(f1_score(labels.numpy(), logits.argmax(1).numpy(), average="macro"))
        assert found == pytest.approx(multiclass_f1_score(logits, labels, 10, average="macro").item())

    def test_macro_f1_leaves_out_classes_that_occur_nowhere(self, seed: int) -> None:
        logits, labels = drawn(seed)
        logits[:, 9] = -100.0
        expected = f1_score(labels.numpy(), logits.argmax(1).numpy(), average="macro")
        assert value(quality.macro_f1, subject(logits, labels)) == pytest.approx(expected)

    @pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
    def test_balanced_accuracy_counts_classes_alike_and_leaves_out_those_without_images(self, seed: int) -> None:
        logits, labels = drawn(seed)
        labels[:300] = 0
        found = value(quality.balanced_accuracy, subject(logits, labels))
        assert found == pytest.approx(balanced_accuracy_score(labels.numpy(), logits.argmax(1).numpy()))
        known = value(quality.top1, subject(logits, labels))
        assert abs(found - known) > 0.05

    def test_brier(self, seed: int) -> None:
        logits, labels = drawn(seed)
        probability = logits.double().softmax(1)
        found = value(quality.brier, subject(logits, labels))
        of_classes = [
            brier_score_loss((labels == k).numpy(), probability[:, k].numpy(), pos_label=True) for k in range(10)
        ]
        assert found == pytest.approx(sum(of_classes), rel=1e-12)

    def test_auroc(self, seed: int) -> None:
        logits, labels = drawn(seed)
        labels[:3] = 9  # sklearn wants each class to occur
        probability = logits.double().softmax(1)
        found = value(quality.auroc, subject(logits, labels))
        sklearns = roc_auc_score(labels.numpy(), probability.numpy(), multi_class="ovr", average="macro")
        assert found == pytest.approx(sklearns, rel=1e-12)
        assert found == pytest.approx(multiclass_auroc(probability, labels, 10, average="macro").item(), abs=1e-6)

    def test_auroc_with_ties_and_without_a_class(self, seed: int) -> None:
        logits, labels = drawn(seed)  # nothing is of class 9
        of = subject(logits.sign(), labels)
        probability = of.predictions.probabilities()
        assert len(np.unique(probability[:, 0])) < 100
        areas = [roc_auc_score(labels.numpy() == k, probability[:, k]) for k in range(9)]
        assert value(quality.auroc, of) == pytest.approx(sum(areas) / 9, rel=1e-12)

    def test_the_variance_of_auroc_is_delongs(self, seed: int) -> None:
        logits, labels = drawn(seed, images=300, classes=3)  # two occur
        (given,) = quality.auroc(subject(logits, labels))
        probability = logits.double().softmax(1).numpy()
        own = labels.numpy() == 0
        variance = 0.0
        for side, other in ((own, ~own), (~own, own)):
            below = (probability[side, 0][:, None] > probability[other, 0][None, :]).mean(1)
            variance += below.var(ddof=1) / side.sum()
        areas = [quality._area_scores(probability[:, k], labels.numpy() == k) for k in (0, 1)]
        assert areas[0].var() / 300 == pytest.approx(variance)
        assert np.allclose(given.values, (areas[0] + areas[1]) / 2)


def test_auroc_of_one_class_is_skipped() -> None:
    with pytest.raises(Skip, match="all images are of one class"):
        list(quality.auroc(subject(torch.randn(5, 3), [1] * 5)))


@pytest.mark.parametrize("metric", [quality.brier, quality.auroc])
def test_without_whole_logits_they_are_skipped(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitbench.measuring.predictions.WHOLE_BYTES", 0)
    with pytest.raises(Skip, match="were not kept whole"):
        list(metric(subject(*drawn(0))))


@pytest.mark.simulation
def test_the_interval_of_auroc_covers() -> None:
    truth = value(quality.auroc, subject(*drawn(999, 50_000)))
    found = [measured(quality.auroc, subject(*drawn(seed, 150))) for seed in range(60)]
    assert sum(each.low <= truth <= each.high for each in found) >= stats.binom.ppf(0.01, 60, 0.95)


@pytest.mark.simulation
def test_equal_models_are_rarely_told_apart_by_the_area_of_a_rare_class() -> None:
    """Some six images of 200 are of it; 250 pairs at 5 % would exceed 8.4 % once in a hundred times."""
    random = np.random.default_rng(0)
    alarms = 0
    for _ in range(250):
        labels = (np.arange(200) < max(2, random.binomial(200, 0.03))).astype(np.int64)
        models = [quality._area_scores(random.normal(1.5 * labels), labels == 1).astype(np.float32) for _ in range(2)]
        found = paired_difference(*([Outcomes(scores=scores, images="test")] for scores in models))
        assert found is not None
        alarms += found.p_value <= 0.05
    assert alarms <= stats.binom.ppf(0.99, 250, 0.05)


def test_all_right() -> None:
    labels = torch.arange(10).repeat(5)
    of = subject(100.0 * torch.nn.functional.one_hot(labels).float(), labels)
    assert [value(metric, of) for metric in METRICS] == pytest.approx([1, 1, 0, 0, 1, 1, 0, 1], abs=1e-12)


def test_all_wrong_and_certain() -> None:
    labels = torch.arange(10).repeat(5)
    logits = 100.0 * torch.nn.functional.one_hot((labels + 1) % 10).float()
    logits[torch.arange(50), labels] = -1.0
    found = [value(metric, subject(logits, labels)) for metric in METRICS]
    assert found[:-1] == [0, 0, 101, 1, 0, 0, 2]
    assert found[-1] < 0.5


def test_a_model_that_knows_nothing_has_ln_k() -> None:
    of = subject(torch.zeros(100, 10), torch.arange(10).repeat(10))
    assert value(quality.nll, of) == pytest.approx(math.log(10))
    assert value(quality.top1, of) == pytest.approx(0.1)
    assert value(quality.ece, of) == pytest.approx(0, abs=1e-7)
    assert value(quality.brier, of) == pytest.approx(0.9)
    assert value(quality.auroc, of) == 0.5


def test_proportions_have_wilsons_interval_and_the_number_of_images() -> None:
    logits, labels = drawn(0)
    measurement = measured(quality.top1, subject(logits, labels))
    right = int((logits.argmax(1) == labels).sum())
    assert (measurement.low, measurement.high) == wilson(right, 500)
    assert measurement.n == 500
    assert measurement.low < right / 500 < measurement.high


@pytest.mark.compute
@pytest.mark.parametrize("metric", METRICS[2:])
def test_others_have_a_bootstrap_interval_that_narrows_with_the_images(
    metric: Metric,
) -> None:
    widths = []
    for images in (300, 4800):
        measurement = measured(metric, subject(*drawn(0, images)))
        assert measurement.low is not None
        assert measurement.high is not None
        assert measurement.low < measurement.value < measurement.high
        assert measurement.n == images
        assert measurement == measured(metric, subject(*drawn(0, images))), "it is seeded"
        widths.append(measurement.high - measurement.low)
    assert 2 < widths[0] / widths[1] < 6, "16 times the images, a quarter of the width"


@pytest.mark.parametrize("metric", [quality.nll, quality.ece, quality.macro_f1])
def test_one_image_gives_no_interval(metric: Metric) -> None:
    measurement = measured(metric, subject(torch.eye(10)[:1], [0]))
    assert (measurement.low, measurement.high, measurement.n) == (None, None, 1)


def test_a_model_that_is_always_right_has_no_interval_of_no_width() -> None:
    labels = torch.arange(10).repeat(5)
    of = subject(100.0 * torch.nn.functional.one_hot(labels).float(), labels)
    for metric in (quality.nll, quality.ece, quality.macro_f1):
        measurement = measured(metric, of)
        assert (measurement.low, measurement.high) == (None, None)


def interval_of_nll(seed: int) -> tuple[float, float]:
    measurement = measured(quality.nll, subject(*drawn(seed, 150)))
    return measurement.low, measurement.high


@pytest.mark.simulation
def test_the_interval_of_nll_covers() -> None:
    truth = torch.nn.functional.cross_entropy(*drawn(999, 200_000)).item()
    covered = [low <= truth <= high for low, high in map(interval_of_nll, range(60))]
    assert sum(covered) >= 52, "at 95 %, fewer come once in 70 times"


def calibrated(seed: int, images: int, overconfidence: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits of ten classes whose likeliest one is right less often than they say."""
    generator = torch.Generator().manual_seed(seed)
    confidence = 0.3 + 0.68 * torch.rand(images, generator=generator)
    right = torch.rand(images, generator=generator) < confidence - overconfidence
    labels = torch.randint(10, (images,), generator=generator)
    said = torch.where(right, labels, (labels + 1) % 10)
    probability = ((1 - confidence) / 9)[:, None].repeat(1, 10)
    probability[torch.arange(images), said] = confidence
    return probability.log(), labels


@pytest.mark.simulation
@pytest.mark.parametrize("overconfidence", [0.0, 0.05, 0.2])
def test_the_interval_of_the_calibration_error_holds_the_true_one(overconfidence: float) -> None:
    found = [measured(quality.ece, subject(*calibrated(seed, 300, overconfidence))) for seed in range(40)]
    assert sum(each.low <= overconfidence <= each.high for each in found) >= 34


def sharp(seed: int, images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits of two classes that are sure of each image, by 97 % or more, and right 2 % less often."""
    generator = torch.Generator().manual_seed(seed)
    confidence = 0.97 + 0.029 * torch.rand(images, generator=generator)
    labels = (torch.rand(images, generator=generator) > confidence - 0.02).long()
    return torch.stack([confidence, 1 - confidence], dim=1).log(), labels


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("drawn", "images", "truth"),
    [
        (partial(calibrated, overconfidence=0.1), 200, 0.1),
        (sharp, 100, 0.02),
    ],
    ids=["200 images", "sharp"],
)
def test_the_true_calibration_error_is_seldom_above_the_interval(
    drawn: Callable[[int, int], tuple[torch.Tensor, torch.Tensor]], images: int, truth: float
) -> None:
    """Nominal are 2.5 %; of 100, more than six come once in a hundred times."""
    ends = [measured(quality.ece, subject(*drawn(seed, images))).high for seed in range(100)]
    assert sum(high is not None and high < truth for high in ends) <= 6


@pytest.mark.simulation
def test_few_images_make_the_calibration_error_too_large() -> None:
    values = [value(quality.ece, subject(*calibrated(seed, 300, 0.05))) for seed in range(10)]
    assert sum(values) / len(values) > 0.06


def test_only_a_calibration_error_beyond_noise_is_known_not_to_be_0() -> None:
    none = measured(quality.ece, subject(*calibrated(0, 300, 0.0)))
    some = measured(quality.ece, subject(*calibrated(0, 300, 0.2)))
    assert none.low == 0
    assert some.low > 0.05


def test_top5_of_five_classes_is_skipped() -> None:
    with pytest.raises(Skip, match="top5 is meaningless for 5 classes"):
        list(quality.top5(subject(torch.zeros(3, 5), [0, 1, 2])))


def test_without_predictions() -> None:
    for metric in METRICS:
        with pytest.raises(Skip, match="no predictions"):
            list(metric(Subject(num_classes=10, input_shape=(3, 8, 8), device="cpu", precision="float32")))


@pytest.mark.compute
@settings(max_examples=10)  # each draws a thousand resamples for each metric
@given(seed=st.integers(0, 10_000), images=st.integers(1, 60), classes=st.integers(6, 12), shift=st.floats(-50, 50))
def test_the_order_of_images_the_names_of_classes_and_a_constant_added_to_the_logits_do_not_matter(
    seed: int, images: int, classes: int, shift: float
) -> None:
    logits, labels = drawn(seed, images, classes)
    generator = torch.Generator().manual_seed(seed + 1)
    order = torch.randperm(images, generator=generator)
    renamed = torch.randperm(classes, generator=generator)
    first = subject(logits.double(), labels)
    second = subject(logits.double()[order][:, torch.argsort(renamed)] + shift, renamed[labels[order]])
    for metric in METRICS if len(set(labels.tolist())) > 1 else METRICS[:-1]:
        assert 0 <= value(metric, first) == pytest.approx(value(metric, second), rel=1e-5, abs=1e-6)
