"""Confusion, calibration and histograms, against counts by hand and the metric that shares their bins."""

from __future__ import annotations

import numpy as np
import pytest
from vitbench_metrics import quality

from vitbench.leaderboard.answers import Answers
from vitbench.protocols import Predictions, Subject
from vitbench.report.html.diagnostics import (
    CALIBRATION_BINS,
    MOST_CLASSES,
    MOST_PAIRS,
    calibration,
    confusion,
    histogram,
    recalls,
)
from vitbench.statistics import wilson


def top_one(labels, classes, confidence=None) -> Answers:
    if confidence is None:
        confidence = np.full(len(labels), 0.9)
    return Answers(
        labels=np.array(labels),
        classes=np.array(classes),
        confidence=np.array(confidence, dtype=float),
        index=np.arange(len(labels)),
    )


def test_confusion_has_true_classes_first_and_sums_seeds():
    found = confusion([top_one([0, 0, 1, 2], [0, 1, 1, 2]), top_one([0, 0, 1, 2], [1, 1, 1, 0])], 3)
    assert found.counts == ((0, 0, 1), (0, 1, 3), (1, 1, 2), (2, 0, 1), (2, 2, 1))
    assert found.whole
    assert (found.images, found.wrong) == (8, 4)


def test_of_many_classes_the_most_frequent_mistakes_are_kept():
    classes = MOST_CLASSES + 1
    labels = np.repeat(np.arange(classes), 30)
    predicted = labels.copy()
    for true in range(classes):  # class k is taken for the next k times
        predicted[30 * true : 30 * true + true] = (true + 1) % classes
    found = confusion([top_one(labels, predicted)], classes)
    assert not found.whole
    assert found.counts[:2] == ((20, 0, 20), (19, 20, 19))
    assert len(found.counts) == MOST_PAIRS
    assert found.wrong == sum(range(classes))


def test_the_largest_matrix_is_kept_whole():
    labels = np.arange(MOST_CLASSES)
    assert confusion([top_one(labels, labels)], MOST_CLASSES).whole


def test_bins_are_closed_on_the_right_and_empty_ones_left_out():
    edge = 1 / CALIBRATION_BINS
    found = calibration([top_one([0, 0, 0], [0, 1, 0], [edge, edge + 1e-9, 1.0])])
    assert [(round(b.low * CALIBRATION_BINS), b.images) for b in found] == [(0, 1), (1, 1), (CALIBRATION_BINS - 1, 1)]
    assert [b.accuracy for b in found] == [1.0, 0.0, 1.0]


def test_bins_agree_with_the_metric_of_calibration():
    random = np.random.default_rng(0)
    labels, classes = random.integers(3, size=500), random.integers(3, size=500)
    confidence = random.beta(3, 2, 500).astype(np.float32)
    predictions = Predictions(
        labels=labels,
        index=np.arange(500),
        class_names=("a", "b", "c"),
        logits=None,
        top_classes=classes[:, None],
        top_logits=np.log(confidence)[:, None],
        log_normaliser=np.zeros(500),
        true_logit=np.zeros(500, dtype=np.float32),
    )
    subject = Subject(num_classes=3, input_shape=(1, 8, 8), device="cpu", precision="float32", predictions=predictions)
    [expected] = quality.ece(subject)
    bins = calibration([top_one(labels, classes, confidence)])
    assert sum(b.images * abs(b.accuracy - b.confidence) for b in bins) / 500 == pytest.approx(expected.value)


def test_more_seeds_do_not_make_the_intervals_narrower():
    one = top_one([0] * 20, [0] * 15 + [1] * 5)
    [alone], [twice] = calibration([one]), calibration([one, one])
    assert (alone.accuracy_low, alone.accuracy_high) == wilson(15, 20)
    assert (twice.accuracy_low, twice.accuracy_high) == wilson(15, 20)
    assert twice.images == 40


def test_a_bin_that_only_one_of_several_seeds_fills_has_an_interval():
    found = calibration([top_one([0], [0], [0.5]), top_one([0], [0], [0.9]), top_one([0], [0], [0.9])])
    assert [(b.accuracy_low, b.accuracy_high) for b in found] == [wilson(1, 1)] * 2


def test_a_histogram_holds_every_sample_or_counts_it_beyond():
    samples = np.random.default_rng(0).gamma(9, size=(3, 500))
    found = histogram(samples.tolist())
    assert found is not None
    assert found.samples == 1500
    assert found.beyond == 15  # the slowest per cent
    assert found.edges[0] == samples.min()
    assert found.largest == samples.max()
    assert found.processes == 3
    inside = np.sort(samples.ravel())[:-15]
    assert list(found.counts) == np.histogram(inside, bins=found.edges)[0].tolist()


def test_equal_samples_are_one_bar():
    found = histogram([[2.0, 2.0], [2.0]])
    assert found is not None
    assert found.counts == (3,)
    assert found.edges[0] == 2.0 < found.edges[1]


def test_of_samples_that_are_close_together_those_beyond_are_beyond_the_last_edge():
    found = histogram([[1 + i / 20_000 for i in range(100)] + [1.008]])
    assert found is not None
    assert found.beyond == 1
    assert found.edges[-1] < found.largest


@pytest.mark.parametrize("processes", [[], [[]]], ids=["none", "empty"])
def test_without_samples_there_is_no_histogram(processes):
    assert histogram(processes) is None


def test_recall_of_each_class_has_the_interval_of_one_seeds_images_and_its_most_frequent_mistake():
    seeds = [top_one([0, 0, 0, 0, 2, 2], [0, 0, 1, 2, 2, 2]), top_one([0, 0, 0, 0, 2, 2], [0, 1, 1, 0, 2, 2])]
    first, last = recalls(seeds, 3)  # no image is of class 1
    assert (first.label, first.recall, first.images) == (0, 0.5, 4)
    assert (first.low, first.high) == wilson(2, 4)
    assert (first.taken_for, first.taken_share) == (1, 3 / 8)
    assert (last.label, last.recall, last.taken_for) == (2, 1.0, None)
    assert (last.low, last.high) == wilson(2, 2)
