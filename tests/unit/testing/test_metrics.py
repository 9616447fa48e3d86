"""Checks of metrics: good ones pass them all, and each bad one is caught by the check that names its fault."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, get_args

import numpy as np
import pytest

from vitbench import Measurement, Skip, Verdict
from vitbench.protocols import ConfusionScore, ImageScores, Predictions, SampleScore, Subject
from vitbench.specs import MeasurementSpec, MetricSpec, Part
from vitbench.testing import MetricCase, Outcome, checks_for, run_checks
from vitbench.testing.subjects import IMAGES, scenes, shuffled

Measure = Callable[[Subject], Any]
SPEC = {"name": "error", "unit": "fraction", "better": "lower", "needs": "predictions", "summary": "1 - top1"}


def run(measure: Measure, *, only: str = "", **fields: Any) -> dict[str, Outcome]:
    checks = checks_for("mine/error", MetricCase(spec=MetricSpec(measure=measure, **{**SPEC, **fields})))
    return {one.check: one for one in run_checks([check for check in checks if only in ("", check.name)])}


def failed(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.reason for name, outcome in outcomes.items() if outcome.status == "failed"}


def wrong(subject: Subject) -> np.ndarray:
    return subject.predictions.top_classes[:, 0] != subject.predictions.labels


def error(subject: Subject) -> Iterator[Measurement]:
    yield Measurement(name="error", value=float(wrong(subject).mean()), low=0.0, high=1.0)


def test_a_good_metric_passes_all() -> None:
    outcomes = run(error)
    assert {name for name, outcome in outcomes.items() if outcome.status != "passed"} == {"check_metric_scores"}
    assert outcomes["check_metric_scores"].reason == "it makes its values itself"


def speed(subject: Subject) -> Iterator[Measurement]:
    if subject.timing.mode == "training":
        raise Skip("inference only")
    yield Measurement(name="slowest", value=max(subject.timing.block_seconds))
    if subject.timing.batch_size > 1:
        yield Measurement(name="images", value=float(subject.timing.batch_size), unit="1", better="neither")


def test_a_metric_meets_the_cells_that_it_is_taken_at_alone() -> None:
    def met(**fields: Any) -> set[tuple[str, int]]:
        seen = set()

        def measure(subject: Subject) -> list[Measurement]:
            seen.add((subject.timing.mode, subject.timing.batch_size))
            return [Measurement(name="error", value=max(subject.timing.block_seconds))]

        assert not failed(run(measure, needs="timing", unit="s", **fields))
        return seen

    assert met() == {("inference", 32)}
    assert met(at="training") == {("training", 32)}
    assert met(at=("batch_1", "largest_batch")) == {("inference", 1), ("inference", 32)}


def test_a_metric_of_several_parts_gets_them_all_of_one_situation() -> None:
    seen = set()

    def measure(subject: Subject) -> list[Measurement]:
        np.testing.assert_array_equal(subject.images.labels, subject.predictions.labels)
        assert subject.timing is None
        seen.add((subject.num_classes, subject.training.images))
        return list(error(subject))

    outcomes = run(measure, needs=("images", "predictions", "training"))
    assert not failed(outcomes)
    assert outcomes["check_metric_direction"].status == "passed"
    assert outcomes["check_metric_order_invariant"].status == "passed"
    assert seen == {(10, 1000), (2, 1000)}


def test_speed_and_memory_are_of_one_cell() -> None:
    assert [scene.name for scene in scenes("timing", "memory")] == [
        "inference, batch 1; inference",
        "inference, batch 32; inference",
        "training, batch 32; training",
    ]


def test_a_metric_whose_library_is_not_installed_is_skipped() -> None:
    outcomes = run(error, requires=("no_such_module_anywhere",))
    assert {one.status for one in outcomes.values()} == {"skipped"}
    assert {one.reason for one in outcomes.values()} == {
        "it needs the module no_such_module_anywhere, which is not installed"
    }


def test_a_metric_of_several_figures_that_skips_some_subjects_passes() -> None:
    outcomes = run(
        speed, needs="timing", unit="s", measurements=("slowest", "images"), at=("batch_1", "fixed_batch", "training")
    )
    assert failed(outcomes) == {}
    assert {name: one.reason for name, one in outcomes.items() if one.status == "skipped"} == {
        "check_metric_scores": "it makes its values itself",
        "check_metric_order_invariant": "it needs neither predictions nor images",
    }


def never(subject: Subject) -> Iterator[Measurement]:
    raise Skip("needs boxes")
    yield


def test_a_metric_that_skips_all_is_skipped_with_its_own_reason() -> None:
    outcomes = run(never, only="check_metric_measurements")
    assert [(one.status, one.reason) for one in outcomes.values()] == [("skipped", "needs boxes")]


@pytest.mark.parametrize("part", get_args(Part))
def test_there_is_a_scene_for_each_part_and_the_subjects_hold_nothing_else(part: Part) -> None:
    for scene in scenes(part):
        for subject in scene.subjects:
            assert [name for name in get_args(Part) if getattr(subject, name) is not None] == [part]


def test_the_predictions_are_what_their_names_say() -> None:
    for scene in scenes("predictions"):
        shares = [float(wrong(subject).mean()) for subject in scene.subjects]
        assert shares == ([0.0] * 3 if "always right" in scene.name else [0.0, pytest.approx(0.4), 1.0])
        for subject in scene.subjects:
            found = subject.predictions
            assert found.top_classes.shape == found.top_probabilities.shape == (120, found.num_classes)
            assert all(len(set(row)) == len(row) for row in found.top_classes.tolist())
            at_label = found.top_classes == found.labels[:, None]
            given = np.exp(found.true_log_probability[at_label.any(axis=1)])
            np.testing.assert_allclose(given, found.top_probabilities[at_label], atol=1e-6)
        moved, order = shuffled(scene.middle)
        other = moved.predictions
        np.testing.assert_array_equal(other.labels, scene.middle.predictions.labels[order])
        assert not np.array_equal(other.labels, scene.middle.predictions.labels)
        assert sorted(other.true_log_probability) == sorted(scene.middle.predictions.true_log_probability)


# Bad metrics, each by the check that must catch it --------------------------------------------------------------------


def constant(**values: Any) -> Measure:
    return lambda subject: [Measurement(**{"name": "error", "value": float(wrong(subject).mean()), **values})]


def of_the_first(subject: Subject) -> list[Measurement]:
    return [Measurement(name="error", value=float(wrong(subject)[:50].mean()))]


def sorts_in_place(subject: Subject) -> list[Measurement]:
    subject.predictions.true_logit.sort()
    return list(error(subject))


def appends_to_the_curve(subject: Subject) -> list[Measurement]:
    subject.training.curve[0]["seen"] = 1.0
    return [Measurement(name="error", value=1 - subject.training.curve[-1]["val_top1"])]


def ten_classes_only(subject: Subject) -> list[Measurement]:
    return [Measurement(name="error", value=float((subject.predictions.top_classes[:, 4] > 9).mean()))]


def interval_of_the_first(subject: Subject) -> list[Measurement]:
    value, first = float(wrong(subject).mean()), float(wrong(subject)[:5].mean())
    return [Measurement(name="error", value=value, low=min(value, first), high=max(value, first))]


def of_a_wrong_first(subject: Subject) -> list[Measurement]:
    value = float(wrong(subject).mean())
    return [Measurement(name="error" if wrong(subject)[0] else "errors", value=value)]


def in_per_cent(subject: Subject) -> list[Measurement]:
    return [Measurement(name="error", value=100 * float(wrong(subject).mean()))]


def scored(score: Callable[[Any], Any]) -> Measure:
    """Return a metric that is a function of the confusion matrix."""
    return lambda subject: [ConfusionScore(name="error", score=score)]


def of_sample(score: Callable[[np.ndarray, np.ndarray], Any]) -> Measure:
    """Return a metric that is a function of wrong answers and of images."""
    return lambda subject: [SampleScore(name="error", score=lambda index: score(wrong(subject), index))]


def empties(matrix: np.ndarray) -> float:
    np.fill_diagonal(matrix, 0)
    return float(matrix.sum()) / IMAGES


class Drifts:
    """A score that differs from call to call."""

    calls = 0

    def __call__(self, matrix: np.ndarray) -> float:
        self.calls += 1
        return error_of(matrix) + self.calls


def error_of(matrix: np.ndarray) -> float:
    return 1 - float(np.trace(matrix)) / max(1, float(matrix.sum()))


def worst_class(matrix: np.ndarray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float((1 - np.diag(matrix) / matrix.sum(axis=1)).max())


def sorts_the_sample(outcome: np.ndarray, index: np.ndarray) -> float:
    index.sort()
    return float(outcome[index].mean())


SCORES: dict[str, Measure] = {
    "right or wrong": lambda subject: [ImageScores(name="error", values=wrong(subject))],
    "a number for each": lambda subject: [ImageScores(name="error", values=wrong(subject).astype(np.float32))],
    "of the matrix": scored(error_of),
    "of the matrix, nothing without a class": scored(worst_class),
    "of images": of_sample(lambda outcome, index: outcome[index].mean()),
}


@pytest.mark.parametrize("kind", SCORES)
def test_scores_of_each_kind_pass_all(kind: str) -> None:
    outcomes = run(SCORES[kind])
    assert {one.check: one.reason for one in outcomes.values() if one.status != "passed"} == {}


BAD: dict[str, tuple[str, str, Measure, dict[str, Any]]] = {
    "values of half of the images": (
        "check_metric_scores",
        "error has values [60] for 120 images (10 classes); return one per image",
        lambda subject: [ImageScores(name="error", values=wrong(subject)[::2])],
        {},
    ),
    "values that are no numbers": (
        "check_metric_scores",
        "a value of error is nan (10 classes)",
        lambda subject: [ImageScores(name="error", values=np.where(wrong(subject), np.nan, 0.0))],
        {},
    ),
    "values in a list": (
        "check_metric_scores",
        "the values of error are list (10 classes); return an array of bool or float",
        lambda subject: [ImageScores(name="error", values=wrong(subject).tolist())],
        {},
    ),
    "a score that counts on every class": (
        "check_metric_scores",
        "score of error raised ZeroDivisionError: ",
        scored(lambda matrix: max(1 - int(row[k]) / int(row.sum()) for k, row in enumerate(matrix))),
        {},
    ),
    "an infinite score": (
        "check_metric_scores",
        "score of error is inf for images that lack a class (10 classes); NaN leaves a sample out",
        scored(lambda matrix: error_of(matrix) if matrix.sum(axis=1).all() else math.inf),
        {},
    ),
    "a score that writes": ("check_metric_scores", "score of error changes its input", scored(empties), {}),
    "a score that remembers": ("check_metric_scores", "for the same images (10 classes)", scored(Drifts()), {}),
    "a score that sorts": ("check_metric_scores", "score of error changes its input", of_sample(sorts_the_sample), {}),
    "a score of all images whatever is asked": (
        "check_metric_scores",
        "score of error raised ValueError: operands could not be broadcast",
        of_sample(lambda outcome, index: (outcome * np.bincount(index)).mean()),
        {},
    ),
    "values of sorted images": (
        "check_metric_order_invariant",
        "error gives different values for the same images in another order (10 classes)",
        lambda subject: [ImageScores(name="error", values=np.sort(wrong(subject)))],
        {},
    ),
    "a score of sorted images": (
        "check_metric_order_invariant",
        "error gives different values for the same images in another order (10 classes)",
        of_sample(lambda outcome, index: np.sort(outcome)[index].mean()),
        {},
    ),
    "raises": (
        "check_metric_measurements",
        "measure raised IndexError: index 4 is out of bounds for axis 1 with size 2 (test_metrics.py, line ",
        ten_classes_only,
        {},
    ),
    "a bare number": (
        "check_metric_measurements",
        "measure returned float; return vitbench.Measurement",
        lambda subject: [0.5],
        {},
    ),
    "one alone": (
        "check_metric_measurements",
        "measure returned one Measurement; yield it, or return a list",
        lambda subject: next(error(subject)),
        {},
    ),
    "per cent": (
        "check_metric_values",
        'error is 40, but its unit is "fraction" (10 classes); give 0.95 for 95 %, or another unit',
        in_per_cent,
        {},
    ),
    "another name": (
        "check_metric_measurements",
        'returned "eror", but the spec says error',
        constant(name="eror"),
        {},
    ),
    "the same twice": (
        "check_metric_measurements",
        'measure returned "error" twice',
        lambda subject: [*error(subject), *error(subject)],
        {},
    ),
    "a figure that never comes": (
        "check_metric_measurements",
        'measure never returned "error5"; leave it out of the spec',
        error,
        {"measurements": ("error", "error5")},
    ),
    "another unit": (
        "check_metric_measurements",
        'measure says unit="%", but the spec says "fraction"',
        constant(unit="%"),
        {},
    ),
    "two directions": (
        "check_metric_measurements",
        'says better="higher", but the spec',
        constant(better="higher"),
        {},
    ),
    "no number": ("check_metric_values", "error is nan (10 classes); give None", constant(value=math.nan), {}),
    "no value and no reason": ("check_metric_values", "error has no value and no reason", constant(value=None), {}),
    "outside of its interval": (
        "check_metric_values",
        "error is 0.4, outside of its interval from 0 to 0.3 (10 classes)",
        constant(low=0.0, high=0.3),
        {},
    ),
    "the wrong direction": (
        "check_metric_direction",
        "error is 0, 0.4, 1 from the best subject to the worst (10 classes), but better is higher",
        error,
        {"better": "higher"},
    ),
    "always the same": (
        "check_metric_direction",
        "error is 0.5 for all subjects of the kit; a metric that is always",
        constant(value=0.5),
        {},
    ),
    "the first images": ("check_metric_order_invariant", "for the same images in another order", of_the_first, {}),
    "an interval of the first": (
        "check_metric_order_invariant",
        " end of error is ",
        interval_of_the_first,
        {},
    ),
    "a figure of some orders": (
        "check_metric_order_invariant",
        "error is given in one order of the images, but not in another (10 classes)",
        of_a_wrong_first,
        {"measurements": ("error", "errors")},
    ),
    "sorts in place": ("check_metric_leaves_inputs", "measure changed the predictions", sorts_in_place, {}),
    "writes into the curve": (
        "check_metric_leaves_inputs",
        "measure changed the training that it reads; compute on a copy",
        appends_to_the_curve,
        {"needs": "training"},
    ),
}


# Each of them is found by two checks: without numbers, or in place, there is nothing to compare.
ALSO = {"raises", "a bare number", "sorts in place", "a figure of some orders"}


@pytest.mark.parametrize("case", BAD)
def test_each_bad_metric_is_caught_by_name_and_fails_no_other_check(case: str) -> None:
    check, words, measure, fields = BAD[case]
    found = failed(run(measure, **fields))
    assert check in found
    assert words in found[check]
    assert len(found) == 1 or case in ALSO


def test_every_check_has_a_bad_metric() -> None:
    names = {check.name for check in checks_for("m", MetricCase(spec=MetricSpec(measure=error, **SPEC)))}
    assert {check for check, *_ in BAD.values()} == names


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_middle_value_out_of_line_is_found(better: str) -> None:
    """The best and the worst alone would not show it."""
    sign = 1 if better == "higher" else -1

    def bent(subject: Subject) -> list[Measurement]:
        share = float(wrong(subject).mean())
        return [Measurement(name="error", value=sign * (5.0 if 0 < share < 1 else 1 - share))]

    assert list(failed(run(bent, better=better, unit="1"))) == ["check_metric_direction"]


def test_a_value_that_is_missing_with_a_reason_is_no_fault() -> None:
    def sometimes(subject: Subject) -> list[Measurement]:
        if subject.num_classes == 2:
            verdict = Verdict(level="invalid", reasons=("says nothing of two classes",))
            return [Measurement(name="error", value=None, verdict=verdict)]
        return list(error(subject))

    assert failed(run(sometimes)) == {}


def test_a_metric_without_a_direction_has_none_to_check() -> None:
    outcome = run(error, only="check_metric_direction", better="neither")["check_metric_direction"]
    assert (outcome.status, outcome.reason) == ("skipped", "it declares no direction")


def test_each_of_several_measurements_has_its_own_direction_and_unit() -> None:
    def both(subject: Subject) -> list[Measurement]:
        share = float(wrong(subject).mean())
        return [Measurement(name="images", value=10 - 5 * share), Measurement(name="error", value=share)]

    error_of = MeasurementSpec(name="error", unit="fraction", better="lower")
    assert failed(run(both, better="higher", unit="1", measurements=("images", error_of))) == {}
    wide = MeasurementSpec(name="images", unit="fraction")
    found = failed(run(both, better="higher", unit="1", measurements=(wide, error_of)))
    assert list(found) == ["check_metric_values"]


def test_where_nothing_has_a_value_the_order_is_not_compared() -> None:
    def unknown(subject: Subject) -> list[Measurement]:
        verdict = Verdict(level="invalid", reasons=("not on this machine",))
        return [Measurement(name="error", value=None, verdict=verdict)]

    for check in ("check_metric_order_invariant", "check_metric_direction"):
        outcome = run(unknown, only=check)[check]
        assert (outcome.status, outcome.reason) == ("skipped", "no subject of the kit has a value")


GOOD: dict[str, tuple[Part, str, Callable[[Any], float]]] = {
    "too little confidence": ("predictions", "lower", lambda one: max(0.0, hits(one)[:, 0].mean() - sure(one))),
    "depth": ("architecture", "lower", lambda build: sum(1 for _ in build().modules())),
    "last loss over first": ("training", "lower", lambda log: log.curve[-1]["loss"] / log.curve[0]["loss"]),
    "first block over others": ("timing", "lower", lambda time: time.warmup_seconds[0] / time.block_seconds[0]),
    "reserved over allocated": ("memory", "lower", lambda use: use.absolute_peak_bytes / use.peak_bytes),
    "first call over second": ("startup", "lower", lambda one: one.first_call_seconds / one.second_call_seconds),
    "share of the loader": ("loading", "lower", lambda one: sum(one.data_seconds) / sum(one.end_to_end_seconds)),
    "power": ("energy", "lower", lambda use: use.joules / use.seconds),
}


def hits(found: Predictions) -> np.ndarray:
    return found.top_classes == found.labels[:, None]


def sure(found: Predictions) -> float:
    return float(found.top_probabilities[:, 0].mean())


@pytest.mark.parametrize("name", GOOD)
def test_good_metrics_of_one_figure_over_another_pass(name: str) -> None:
    needs, better, figure = GOOD[name]

    def measure(subject: Subject) -> list[Measurement]:
        return [Measurement(name="error", value=float(figure(getattr(subject, needs))))]

    outcomes = run(measure, needs=needs, better=better, unit="1")
    assert failed(outcomes) == {}
    assert outcomes["check_metric_direction"].status == "passed"


def test_what_the_subjects_do_not_tell_apart_is_skipped() -> None:
    def optimiser(subject: Subject) -> list[Measurement]:
        if subject.memory.optimiser_bytes is None:
            raise Skip("training only")
        return [Measurement(name="error", value=subject.memory.optimiser_bytes / subject.memory.weights_bytes)]

    fields = {"needs": "memory", "at": "training", "unit": "1"}
    outcome = run(optimiser, only="check_metric_direction", **fields)["check_metric_direction"]
    assert (outcome.status, outcome.reason) == ("skipped", "error is 2 for all subjects of the kit")
