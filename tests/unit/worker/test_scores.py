"""Scores of images: value and interval against the definition, and each way in which a score may be wrong."""

from __future__ import annotations

import math
from pathlib import Path

import factories
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vitbench.errors import Skip
from vitbench.protocols import ConfusionScore, ImageScores, Predictions, SampleScore
from vitbench.records import Measurement
from vitbench.statistics import bootstrap, bootstrap_interval, wilson
from vitbench.worker import scores as module
from vitbench.worker.scores import Scored, load_scores, save_scores, scored

LABELS = np.repeat(np.arange(3), [40, 30, 5])


def predictions(said: NDArray[np.int64] | None = None) -> Predictions:
    """Return predictions of three classes: two images in three are right, none of the smallest class."""
    if said is None:
        said = np.where(np.arange(75) % 3 > 0, LABELS, (LABELS + 1) % 3)
        said[LABELS == 2] = 0
    return factories.predictions(torch.eye(3)[torch.from_numpy(said)], LABELS)


def worst_class(confusion: NDArray[np.int64]) -> float:
    totals = confusion.sum(axis=1)
    return float((confusion.diagonal()[totals > 0] / totals[totals > 0]).min())


def of(given: ImageScores | ConfusionScore | SampleScore, unit: str = "1", *, on: Predictions | None = None) -> Scored:
    return scored(given, on or predictions(), unit)


def interval(one: Measurement) -> tuple[float | None, float | None]:
    return one.low, one.high


def reason(found: Scored) -> str:
    [text] = found.measurement.verdict.reasons
    return text


class TestScoresOfImages:
    def test_right_and_wrong_have_wilsons_interval(self) -> None:
        values = np.arange(75) < 50
        found = of(ImageScores(name="m", values=values))
        assert found.measurement == Measurement(
            name="m", value=50 / 75, low=wilson(50, 75)[0], high=wilson(50, 75)[1], n=75
        )
        assert found.kept["scores"].dtype == np.bool_

    def test_numbers_have_a_bootstrap_interval(self) -> None:
        values = np.random.default_rng(0).exponential(size=75)
        found = of(ImageScores(name="m", values=values))
        assert found.measurement.value == values.mean()
        assert interval(found.measurement) == bootstrap_interval(lambda drawn: float(values[drawn].mean()), 75)
        assert found.kept["scores"].mean() == found.measurement.value, "or rows would not be paired by it"

    def test_equal_numbers_have_no_interval_nothing_is_minus_0_and_whole_numbers_are_numbers(self) -> None:
        found = of(ImageScores(name="m", values=-np.zeros(75))).measurement
        assert interval(found) == (None, None)
        assert math.copysign(1, found.value or 0) == 1

        assert of(ImageScores(name="m", values=np.arange(75))).measurement.value == 37  # type: ignore[arg-type]

    def test_the_interval_of_a_fraction_is_cut(self) -> None:
        values = np.where(np.arange(75) < 74, 1.02, -0.6)
        inside, outside = (of(ImageScores(name="m", values=values), unit).measurement for unit in ("fraction", "1"))
        assert inside.value == outside.value
        assert inside.high == 1
        assert outside.high is not None
        assert outside.high > 1
        assert inside.low == outside.low

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            (np.zeros(74), r"the scores of m have shape \(74,\); \(75,\) is needed"),
            (np.zeros((75, 1)), r"have shape \(75, 1\)"),
            (np.where(np.arange(75) == 3, np.nan, 1.0), "the score of m for image 3 is nan, as are 1 of 75"),
            (np.full(75, np.inf), "the score of m for image 0 is inf, as are 75 of 75"),
            (np.array(["x"] * 75), "the scores of m are <U1; bool or float is needed"),
        ],
    )
    def test_what_is_wrong_is_told(self, values: NDArray[np.float64], words: str) -> None:
        with pytest.raises((TypeError, ValueError), match=words):
            of(ImageScores(name="m", values=values))


class TestFunctionsOfTheConfusionMatrix:
    def test_against_its_definition(self) -> None:
        on = predictions()
        labels, said = on.labels, on.top_classes[:, 0]

        def score(drawn: NDArray[np.intp]) -> float:
            shares = [(said[drawn] == k)[labels[drawn] == k] for k in range(3)]
            return min(float(share.mean()) for share in shares if share.size) + (said[drawn] == 0).mean()

        def of_matrix(confusion: NDArray[np.int64]) -> float:
            return worst_class(confusion) + confusion[:, 0].sum() / confusion.sum()

        found = of(ConfusionScore(name="m", score=of_matrix))
        assert found.measurement.value == pytest.approx(score(np.arange(75)))
        assert interval(found.measurement) == pytest.approx(bootstrap_interval(score, 75))
        np.testing.assert_allclose(found.kept["replicates"], bootstrap(score, 75))
        assert found.measurement.n == 75

    def test_one_answer_for_the_smallest_class_is_the_least_step(self) -> None:
        found = of(ConfusionScore(name="m", score=worst_class))
        assert found.measurement.value == 0
        assert interval(found.measurement) == (None, None), "no resample has any of the five right"
        assert found.kept["step"] == pytest.approx(1 / 5)

    def test_too_many_classes_have_no_matrix(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "LARGEST_MATRIX", 2)
        with pytest.raises(Skip, match="the confusion matrix of 3 classes is too large: at most 2 have one"):
            of(ConfusionScore(name="m", score=worst_class))

    def test_it_gets_a_matrix_that_it_may_write_into(self) -> None:
        def spoils(confusion: NDArray[np.int64]) -> float:
            value = worst_class(confusion)
            confusion[:] = 0
            return value

        expected = of(ConfusionScore(name="m", score=worst_class))
        found = of(ConfusionScore(name="m", score=spoils))
        assert found.measurement == expected.measurement
        assert found.kept["step"] == expected.kept["step"]

    def test_the_interval_holds_the_value_though_a_smallest_one_is_biased(self) -> None:
        many = factories.predictions(torch.eye(10)[torch.arange(40) % 10], np.arange(40) // 4)
        found = of(ConfusionScore(name="m", score=lambda c: -float(np.count_nonzero(c))), on=many).measurement
        assert found.value is not None
        assert found.low is not None
        assert found.low <= found.value


class TestFunctionsOfSamples:
    def test_against_its_definition(self) -> None:
        values = np.random.default_rng(0).exponential(size=75)

        def median(drawn: NDArray[np.intp]) -> float:
            return float(np.median(values[drawn]))

        found = of(SampleScore(name="m", score=median))
        assert found.measurement.value == median(np.arange(75))
        assert interval(found.measurement) == bootstrap_interval(median, 75)
        assert np.array_equal(found.kept["replicates"], bootstrap(median, 75))
        assert found.kept["value"] == found.measurement.value

    def test_a_value_that_is_not_finite_is_passed_on_and_nothing_is_kept(self) -> None:
        found = of(SampleScore(name="m", score=lambda _: math.nan))
        assert math.isnan(found.measurement.value or 0)
        assert found.kept == {}

    def test_what_fails_on_a_resample_costs_the_interval(self) -> None:
        def fragile(drawn: NDArray[np.intp]) -> float:
            if not (LABELS[drawn] == 2).any():
                raise KeyError("no class 2")
            return 0.5 + drawn[0] / 1000

        found = of(SampleScore(name="m", score=fragile))
        assert (found.measurement.value, *interval(found.measurement)) == (0.5, None, None)
        assert found.measurement.verdict.level == "warn"
        assert reason(found).startswith("no interval: it failed on a resample of the images, which may lack a class: ")
        assert "no class 2" in reason(found)
        assert found.kept == {}

    @pytest.mark.parametrize(("share", "known"), [(0.03, True), (0.2, False)])
    def test_a_few_resamples_may_have_no_value(self, share: float, known: bool) -> None:
        random = np.random.default_rng(0)

        def score(drawn: NDArray[np.intp]) -> float:
            whole = np.array_equal(drawn, np.arange(75))
            return math.nan if not whole and random.random() < share else float(drawn.mean())

        found = of(SampleScore(name="m", score=score))
        if known:
            assert found.measurement.low is not None
            assert found.measurement.verdict.reasons == ()
            assert 0 < np.isnan(found.kept["replicates"]).sum() < 50
        else:
            assert found.measurement.low is None
            assert "of the resamples of the images have no value" in reason(found)

    def test_one_that_takes_long_rests_on_fewer_resamples(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = of(self.slow(monkeypatch, seconds=0.2))
        assert 299 <= len(found.kept["replicates"]) <= 301
        assert found.measurement.low is not None
        assert found.measurement.verdict.level == "valid"
        assert "resamples of the images, which took 60 s; 1000 are usual" in reason(found)
        # The first of those that others have, so that they pair.
        assert np.array_equal(
            found.kept["replicates"], bootstrap(lambda d: float(d.mean()), 75)[: len(found.kept["replicates"])]
        )

    def test_one_that_takes_too_long_has_no_interval_and_is_called_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = of(self.slow(monkeypatch, seconds=0.7))
        assert (found.measurement.value, found.measurement.low, found.kept) == (37.0, None, {})
        assert reason(found) == "no interval: one value takes 0.7 s, and an interval at least 100"
        assert self.calls == 1

    calls = 0

    def slow(self, monkeypatch: pytest.MonkeyPatch, *, seconds: float) -> SampleScore:
        """Return a score that takes some seconds of a clock that stands still otherwise."""
        now = [0.0]
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
        self.calls = 0

        def score(drawn: NDArray[np.intp]) -> float:
            now[0] += seconds
            self.calls += 1
            return float(drawn.mean())

        return SampleScore(name="m", score=score)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    kept = {"a.b-c": of(ConfusionScore(name="m", score=worst_class)).kept, "d": {"scores": np.zeros(75, dtype=bool)}}
    save_scores(tmp_path / "s.npz", kept, predictions())
    loaded = load_scores(tmp_path / "s.npz")
    assert {name: sorted(parts) for name, parts in loaded.items()} == {
        "a.b-c": ["replicates", "step", "value"],
        "d": ["scores"],
    }
    for name, parts in kept.items():
        for part, array in parts.items():
            assert np.array_equal(loaded[name][part], array, equal_nan=True)
