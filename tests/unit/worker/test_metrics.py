"""What metrics may give, and that one which fails takes nothing from the others."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from vitbench.catalog import Catalog, Offer, Plugin, load_catalog
from vitbench.errors import Skip
from vitbench.protocols import Predictions, Subject, TrainingLog
from vitbench.records import Measurement
from vitbench.specs import MetricSpec
from vitbench.worker.metrics import measure, measured_by

PLUGIN = Plugin(name="p", distribution="d", version="1", module="m")


def subject() -> Subject:
    predictions = Predictions(
        labels=np.array([0, 1, 2]),
        top_classes=np.array([[0, 1], [1, 0], [0, 2]]),
        top_probabilities=np.full((3, 2), 0.5, dtype=np.float32),
        true_log_probability=np.zeros(3, dtype=np.float32),
        num_classes=3,
    )
    return Subject(num_classes=3, input_shape=(1, 8, 8), device="cpu", precision="float32", predictions=predictions)


def share(subject: Subject) -> Iterator[Measurement]:
    assert subject.predictions is not None
    right = subject.predictions.top_classes[:, 0] == subject.predictions.labels
    yield Measurement(name="share", value=float(right.mean()), n=3)


def offer(name: str, function: Callable[[Subject], Any], **fields: Any) -> Offer[MetricSpec]:
    spec = MetricSpec(
        **{
            "name": name,
            "measure": function,
            "unit": "fraction",
            "better": "higher",
            "needs": "predictions",
            "summary": "x",
            **fields,
        }
    )
    return Offer(name=f"p/{name}", plugin=PLUGIN, spec=spec)


def measured(function: Callable[[Subject], Any], **fields: Any) -> Measurement:
    """Return what a metric gives that is called before a sound one, whose figure must stay."""
    offers = [offer("it", function, **fields), offer("share", share)]
    first, second = measure(Catalog(metrics={each.name: each for each in offers}), subject())
    assert (second.name, second.value, second.n) == ("share", 2 / 3, 3)
    return msgspec.msgpack.decode(msgspec.msgpack.encode(first), type=Measurement)  # as it goes to the parent


@pytest.mark.parametrize(
    "value",
    [0.5, np.float64(0.5), np.float32(0.5), np.array(0.5), torch.tensor(0.5)],
    ids=["float", "float64", "float32", "array", "tensor"],
)
def test_what_is_like_a_number_is_one(value: Any) -> None:
    found = measured(
        lambda subject: [
            Measurement(name="it", value=value, low=value, high=value, n=np.int64(3), samples=[[value, 1]])
        ]
    )
    assert (found.value, found.low, found.high, found.n, found.samples) == (0.5, 0.5, 0.5, 3, ((0.5, 1.0),))
    assert (found.unit, found.better, found.verdict.level) == ("fraction", "higher", "valid")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"it": 0.5}, "p/it failed: TypeError: it gave str where Measurement is expected"),
        ([{"name": "it", "value": 0.5}], "it gave dict where Measurement is expected"),
        (None, "TypeError: 'NoneType' object is not iterable"),
        ([Measurement(name="it", value="0.5")], "Expected `float | null`, got `str` - at `$.value`"),  # type: ignore[arg-type]
        ([Measurement(name="it", value=1 + 2j)], "it gave complex where a number is expected"),  # type: ignore[arg-type]
        ([Measurement(name="it", value=0.5, n=2.5)], "Expected `int | null`, got `float`"),  # type: ignore[arg-type]
        ([Measurement(name="it", value=0.5, better="up")], "Invalid enum value 'up'"),  # type: ignore[arg-type]
        ([Measurement(name="it", value=0.5, samples=((math.nan,),))], "a sample of it is not finite"),
        ([Measurement(name="share", value=0.5)], 'it gave "share", and its spec declares it'),
    ],
)
def test_what_is_no_measurement_loses_only_its_own(
    given: object, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = measured(lambda subject: given)
    assert (found.name, found.value, found.verdict.level) == ("it", None, "invalid")
    assert words in found.verdict.reasons[0]
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("two\nlines"), SystemExit(3), BaseException("a panic")], ids=repr)
def test_whatever_a_metric_raises_loses_only_its_own(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    def late(subject: Subject) -> Iterator[Measurement]:
        yield Measurement(name="it", value=1.0)
        raise error

    found = measured(late)
    words = " ".join(str(error).split())
    assert found.verdict.reasons == (f"p/it failed: {type(error).__name__}: {words}",)
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_no_failure_of_a_metric() -> None:
    def stop(subject: Subject) -> Iterator[Measurement]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(stop)


def test_a_skip_is_a_reason_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def skip(subject: Subject) -> Iterator[Measurement]:
        raise Skip("it has no meaning here")

    assert measured(skip).verdict.reasons == ("it has no meaning here",)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_none_with_a_reason(value: float) -> None:
    found = measured(lambda subject: [Measurement(name="it", value=value, low=0.0, high=1.0)])
    assert (found.value, found.low, found.high, found.verdict.level) == (None, None, None, "invalid")
    assert found.verdict.reasons == (f"the value is {value}",)


def test_an_end_that_is_not_finite_is_none() -> None:
    found = measured(lambda subject: [Measurement(name="it", value=0.5, low=-math.inf, high=math.nan)])
    assert (found.value, found.low, found.high, found.verdict.level) == (0.5, None, None, "valid")


def test_declared_figures_are_taken_and_the_metrics_own_name_is_not_one_of_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert measured(lambda subject: [Measurement(name="low", value=1.0)], measurements=("low", "high")).name == "low"
    found = measured(lambda subject: [Measurement(name="it", value=1.0)], measurements=("low", "high"))
    assert found.verdict.reasons == ('p/it failed: ValueError: it gave "it", and its spec declares low, high',)
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["labels", "top_classes", "top_probabilities", "true_log_probability"])
def test_a_metric_that_writes_into_the_predictions_fails_alone(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    def write(subject: Subject) -> Iterator[Measurement]:
        getattr(subject.predictions, part)[:] = 0
        yield Measurement(name="it", value=1.0)

    [reason] = measured(write).verdict.reasons
    assert reason == "p/it failed: ValueError: assignment destination is read-only"
    assert "Traceback" in capsys.readouterr().err


def test_a_metric_cannot_write_into_the_training_curve(capsys: pytest.CaptureFixture[str]) -> None:
    def write(subject: Subject) -> Iterator[Measurement]:
        subject.training.curve[0]["loss"] = 0.0  # type: ignore[index, union-attr]
        yield Measurement(name="it", value=1.0)

    training = TrainingLog(seconds=1.0, images=3, curve=({"epoch": 1.0, "loss": 2.0},))
    catalog = Catalog(metrics={"p/it": offer("it", write, needs="training")})
    [found] = measure(catalog, dataclasses.replace(subject(), training=training))
    assert "'mappingproxy' object does not support item assignment" in found.verdict.reasons[0]
    assert training.curve[0]["loss"] == 2.0
    assert "Traceback" in capsys.readouterr().err


def test_the_callers_own_arrays_stay_writable() -> None:
    mine = subject()
    measure(Catalog(metrics={"p/share": offer("share", share)}), mine)
    assert mine.predictions is not None
    assert mine.predictions.labels.flags.writeable


def test_what_a_subject_lacks_is_a_reason() -> None:
    memory = offer("memory", share, needs="memory", unit="B")
    [found] = measure(Catalog(metrics={"p/memory": memory}), subject(), {"memory": "no counter"})
    assert (found.name, found.value, found.unit, found.verdict.reasons) == ("memory", None, "B", ("no counter",))
    assert measure(Catalog(metrics={"p/memory": memory}), subject()) == ()


def test_the_plugins_that_gave_figures_are_named_once_and_no_others() -> None:
    catalog = load_catalog()
    given = [Measurement(name=name, value=1.0) for name in ("top1", "largest_batch_throughput", "unknown")]
    assert [origin.plugin for origin in measured_by(catalog, given)] == ["metrics"]
    assert measured_by(catalog, [Measurement(name="top1", value=None)]) == ()
