"""What metrics may give, and that one which fails takes nothing from the others."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import factories
import msgspec
import numpy as np
import pytest
import torch

from vitbench.catalog import Catalog, Offer, Plugin, load_catalog
from vitbench.errors import Skip
from vitbench.protocols import ImageScores, InTurn, Split, Subject, Timing, TrainingLog
from vitbench.records import Measurement, Ratio, Style, Verdict
from vitbench.specs import At, MetricSpec
from vitbench.statistics import wilson
from vitbench.worker.metrics import Measured, measure, measured_by

PLUGIN = Plugin(name="p", distribution="d", version="1", module="m")


def subject() -> Subject:
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 2.0, 1.0], [2.0, 0.0, 1.0]])
    predictions = factories.predictions(logits, [0, 1, 2])
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
    first, second = measure(Catalog(metrics={each.name: each for each in offers}), subject(), "quality").measurements
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
        ({"it": 0.5}, "p/it failed: TypeError: it returned str where Measurement is expected"),
        ([{"name": "it", "value": 0.5}], "it returned dict where Measurement is expected"),
        (None, "p/it failed: TypeError: measure returned None; yield measurements, or return a list of them"),
        (0.5, "TypeError: measure returned one float; yield it, or return a list of measurements"),
        (Measurement(name="it", value=0.5), "measure returned one Measurement; yield it, or return a list"),
        ([Measurement(name="it", value="0.5")], "Expected `float | null`, got `str` - at `$.value`"),  # type: ignore[arg-type]
        ([Measurement(name="it", value=1 + 2j)], "it returned complex where a number is expected"),  # type: ignore[arg-type]
        ([Measurement(name="it", value=0.5, n=2.5)], "Expected `int | null`, got `float`"),  # type: ignore[arg-type]
        ([Measurement(name="it", value=0.5, better="up")], "Invalid enum value 'up'"),  # type: ignore[arg-type]
        ([Measurement(name="it", value=0.5, samples=((math.nan,),))], "a sample of it is not finite"),
        ([Measurement(name="share", value=0.5)], 'it returned "share", but its spec declares it'),
    ],
)
def test_what_is_no_measurement_loses_only_its_own(
    given: object, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = measured(lambda subject: given)
    assert (found.name, found.value, found.verdict.level) == ("it", None, "invalid")
    assert words in found.verdict.reasons[0]
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("two\nlines"), BaseException("a panic")], ids=repr)
def test_whatever_a_metric_raises_loses_only_its_own(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    def late(subject: Subject) -> Iterator[Measurement]:
        yield Measurement(name="it", value=1.0)
        raise error

    found = measured(late)
    words = " ".join(str(error).split())
    assert found.verdict.reasons == (f"p/it failed: {type(error).__name__}: {words}",)
    assert "Traceback" in capsys.readouterr().err


def test_a_metric_gets_its_options_which_its_measurement_tells_even_without_a_value() -> None:
    def above(subject: Subject, level: float) -> Iterator[Measurement]:
        if level > 0.9:
            raise Skip("too high")
        yield Measurement(name="it", value=level)

    it = offer("it", above, options={"level": 0.5}, title="over {level:g}")
    given: tuple[dict[str, dict[str, float]], ...] = ({}, {"p/it": {"level": 0.75}}, {"p/it": {"level": 0.95}})
    found = [measure(Catalog(metrics={it.name: it}), subject(), "quality", options=each).measurements for each in given]
    assert [(one.name, one.value, one.style.title) for (one,) in found] == [
        ("it:level=0.5", 0.5, "over 0.5"),
        ("it:level=0.75", 0.75, "over 0.75"),
        ("it:level=0.95", None, "over 0.95"),
    ]
    (origin,) = measured_by(load_catalog(), [Measurement(name="time_to_top1:level=0.5", value=1.0)])
    assert origin.plugin == "metrics"


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


def test_a_value_that_is_not_finite_is_none_with_a_reason_and_such_an_end_is_none() -> None:
    found = measured(lambda subject: [Measurement(name="it", value=math.inf, low=0.0, high=1.0)])
    assert (found.value, found.low, found.high, found.verdict.level) == (None, None, None, "invalid")
    assert found.verdict.reasons == ("the value is inf",)

    found = measured(lambda subject: [Measurement(name="it", value=0.5, low=-math.inf, high=math.nan)])
    assert (found.value, found.low, found.high, found.verdict.level) == (0.5, None, None, "valid")


@pytest.mark.parametrize(
    ("value", "remedy"),
    [(52.0, "return 0.52 for 52 %"), (-52.0, "return -0.52 for -52 %"), (640.0, "return 0.95 for 95 %")],
)
@pytest.mark.parametrize("exact", [False, True], ids=["measured", "exact"])
def test_a_fraction_beyond_one_is_invalid(value: float, remedy: str, exact: bool) -> None:
    """Tables would show 5200 %."""
    found = measured(lambda subject: [Measurement(name="it", value=value)], exact=exact)
    assert (found.value, found.verdict.level) == (value, "invalid")
    assert found.verdict.reasons == (f'it is {value:g}, but its unit is "fraction"; {remedy}, or use another unit',)
    assert measured(lambda subject: [Measurement(name="it", value=value)], unit="1").verdict.level == "valid"


@pytest.mark.parametrize("value", [-1.0, 1.0, 1.0 + 1e-7])
def test_a_fraction_of_one_is_valid_after_rounding_too_and_may_be_negative(value: float) -> None:
    assert measured(lambda subject: [Measurement(name="it", value=value)]).verdict.level == "valid"


@pytest.mark.parametrize(("low", "high"), [(0.9, 0.1), (0.6, 0.7), (None, 0.4)])
def test_an_interval_that_does_not_hold_its_value_is_left_out(low: float | None, high: float) -> None:
    """Rows would be ranked by it against the order of their values."""
    found = measured(lambda subject: [Measurement(name="it", value=0.5, low=low, high=high)])
    assert (found.value, found.low, found.high, found.verdict.level) == (0.5, None, None, "warn")
    assert found.verdict.reasons[0].endswith("does not hold the value 0.5")


def test_rounding_takes_no_interval_away() -> None:
    value = float(np.float32(0.3))
    found = measured(lambda subject: [Measurement(name="it", value=value, low=0.1, high=0.3)])
    assert (found.low, found.high, found.verdict.level) == (0.1, 0.3, "valid")


def test_what_is_given_twice_has_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(lambda subject: [Measurement(name="it", value=0.5), Measurement(name="it", value=0.7)])
    assert (found.value, found.verdict.level) == (None, "invalid")
    assert 'it returned "it" twice' in found.verdict.reasons[0]
    capsys.readouterr()


def test_declared_figures_are_taken_and_the_metrics_own_name_is_not_one_of_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert measured(lambda subject: [Measurement(name="low", value=1.0)], measurements=("low", "high")).name == "low"
    it = offer("it", lambda subject: [Measurement(name="it", value=1.0)], measurements=("low", "high"))
    found = measure(Catalog(metrics={"p/it": it}), subject(), "quality").measurements
    assert [one.name for one in found] == ["low", "high"]
    reason = 'p/it failed: ValueError: it returned "it", but its spec declares low, high'
    assert {one.verdict.reasons for one in found} == {(reason,)}
    assert "Traceback" in capsys.readouterr().err


def test_a_metric_that_writes_into_the_predictions_fails_alone(capsys: pytest.CaptureFixture[str]) -> None:
    def write(subject: Subject, part: str) -> Iterator[Measurement]:
        getattr(subject.predictions, part)[:] = 0
        yield Measurement(name="it", value=1.0)

    for part in ("labels", "index", "logits", "top_classes", "top_logits", "log_normaliser", "true_logit"):
        [reason] = measured(partial(write, part=part)).verdict.reasons
        assert reason == "p/it failed: ValueError: assignment destination is read-only", part
    assert "Traceback" in capsys.readouterr().err


def test_a_metric_cannot_write_into_the_training_curve_and_the_callers_own_arrays_stay_writable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def write(subject: Subject) -> Iterator[Measurement]:
        subject.training.curve[0]["loss"] = 0.0  # type: ignore[index, union-attr]
        yield Measurement(name="it", value=1.0)

    training = TrainingLog(seconds=1.0, images=3, curve=({"epoch": 1.0, "loss": 2.0},))
    catalog = Catalog(metrics={"p/it": offer("it", write, needs="training")})
    [found] = measure(catalog, dataclasses.replace(subject(), training=training), "quality").measurements
    assert "'mappingproxy' object does not support item assignment" in found.verdict.reasons[0]
    assert training.curve[0]["loss"] == 2.0
    assert "Traceback" in capsys.readouterr().err

    mine = subject()
    measure(Catalog(metrics={"p/share": offer("share", share)}), mine, "quality")
    assert mine.predictions is not None
    assert mine.predictions.labels.flags.writeable


def test_what_a_subject_lacks_is_a_reason() -> None:
    memory = Catalog(metrics={"p/memory": offer("memory", share, needs="memory", unit="B")})
    [found] = measure(memory, subject(), "fixed_batch", {"memory": "no counter"}).measurements
    assert (found.name, found.value, found.unit, found.verdict.reasons) == ("memory", None, "B", ("no counter",))
    assert measure(memory, subject(), "fixed_batch").measurements == ()


def names(catalog: Catalog, at: At, of: Subject | None = None) -> list[str]:
    return [one.name for one in measure(catalog, of or subject(), at).measurements]


def given(name: str, *, needs: tuple[str, ...] = ("predictions",), **fields: Any) -> Offer[MetricSpec]:
    return offer(name, lambda subject: [Measurement(name=name, value=1.0)], needs=needs, **fields)


def test_a_metric_is_called_in_the_cells_that_it_is_taken_at_alone() -> None:
    catalog = Catalog(
        metrics={
            each.name: each
            for each in (given("usual"), given("single", at=("batch_1", "training")), given("fixed", at="fixed_batch"))
        }
    )
    assert names(catalog, "quality") == ["usual"]
    assert names(catalog, "batch_1") == names(catalog, "training") == ["single"]
    assert names(catalog, "fixed_batch") == ["fixed"]


def test_at_the_largest_batch_the_metrics_of_the_fixed_one_have_names_of_their_own() -> None:
    fixed = given("fast", at="fixed_batch", title="Fast")
    catalog = Catalog(
        metrics={
            each.name: each
            for each in (fixed, given("size", at="fixed_batch", exact=True), given("own", at="largest_batch"))
        }
    )
    first, second = measure(catalog, subject(), "largest_batch").measurements
    assert (first.name, first.at, first.style.title) == ("largest_batch_fast", ("largest_batch",), "Fast at largest")
    assert (first.style.columns, second.name, second.at) == ("wide", "own", ("largest_batch",))


def test_all_parts_must_be_there() -> None:
    both = Catalog(metrics={"p/both": given("both", needs=("predictions", "images"))})
    assert names(both, "quality") == []
    images = np.zeros((3, 1, 8, 8), dtype=np.uint8)
    split = Split(images=images, index=np.arange(3), labels=np.array([0, 1, 2]))
    assert names(both, "quality", dataclasses.replace(subject(), images=split)) == ["both"]


def test_a_metric_cannot_write_into_the_images(capsys: pytest.CaptureFixture[str]) -> None:
    def write(subject: Subject) -> Iterator[Measurement]:
        subject.images.images[0] = 1  # type: ignore[union-attr]
        yield Measurement(name="it", value=1.0)

    split = Split(
        images=np.zeros((3, 1, 8, 8), dtype=np.uint8), index=np.arange(3), labels=np.array([0, 1, 2], dtype=np.int64)
    )
    catalog = Catalog(metrics={"p/it": offer("it", write, needs=("predictions", "images"))})
    [found] = measure(catalog, dataclasses.replace(subject(), images=split), "quality").measurements
    assert "read-only" in found.verdict.reasons[0]
    assert split.images.flags.writeable
    capsys.readouterr()


def test_a_missing_module_is_a_reason_for_each_measurement_and_nothing_is_called() -> None:
    def never(subject: Subject) -> Iterator[Measurement]:
        raise AssertionError

    several = offer("it", never, measurements=("low", "high"), requires=("numpy", "no_such_module.part"))
    found = measure(Catalog(metrics={"p/it": several}), subject(), "quality").measurements
    assert [(one.name, one.value) for one in found] == [("low", None), ("high", None)]
    reason = "it needs the module no_such_module.part, which is not installed"
    assert {one.verdict.reasons for one in found} == {(reason,)}


def test_what_the_spec_says_of_where_and_how_is_stored_with_each_measurement() -> None:
    found = measured(
        lambda subject: [Measurement(name="it", value=0.5)],
        title="It",
        machine_bound=True,
        exact=True,
        columns="wide",
        order=7,
    )
    assert (found.at, found.exact, found.machine_bound) == (("quality",), True, True)
    assert found.style == Style(title="It", unit="%", scale=100.0, columns="wide", order=7)
    [lacking] = measure(
        Catalog(metrics={"p/it": offer("it", share, needs="memory")}), subject(), "fixed_batch", {"memory": "none"}
    ).measurements
    assert (lacking.at, lacking.machine_bound) == (("fixed_batch",), True)


def timed(**fields: Any) -> Verdict:
    times: dict[str, Any] = {"block_seconds": (1.0,), "call_seconds": (), "warmup_seconds": ()}
    timing = Timing(mode="inference", batch_size=2, calls_per_block=1, **times, **fields)
    given = offer("it", lambda subject: [Measurement(name="it", value=2.0)], needs="timing", unit="s")
    catalog = Catalog(metrics={"p/it": given})
    [found] = measure(catalog, dataclasses.replace(subject(), timing=timing), "fixed_batch").measurements
    return found.verdict


def test_a_metric_of_a_disturbed_machine_is_doubted_whoever_made_it() -> None:
    """Or it would be ranked beside a latency that the same times make invalid."""
    assert timed() == Verdict()
    assert timed(warnings=("load average 5",)) == Verdict(level="warn", reasons=("load average 5",))
    found = timed(errors=("had the processor 30% of the time",), warnings=("load average 5",))
    assert found == Verdict(level="invalid", reasons=("had the processor 30% of the time", "load average 5"))


def in_turn(**fields: Any) -> InTurn:
    told: dict[str, Any] = {
        "reference": "net-1",
        "reference_batch_size": 8,
        "reference_seconds": (0.5, 0.5),
        "reference_calls": 10,
        "speed_ratio": 4.0,
        "speed_ratio_of_all": 3.0,
        "quads": 6,
        "left_out": 2,
    }
    return InTurn(**told | fields)


def test_a_metrics_ratio_to_the_reference_network_is_taken_from_the_timing_and_doubted_by_its_own_reasons() -> None:
    def rate(subject: Subject) -> Iterator[Measurement]:
        assert subject.timing is not None
        assert subject.timing.in_turn is not None
        yield Measurement(name="it", value=640.0, samples=((640.0,),), ratio=subject.timing.in_turn.of_speed())

    def found(turns: InTurn) -> Measurement:
        times: dict[str, Any] = {"block_seconds": (1.0,), "call_seconds": (), "warmup_seconds": ()}
        timing = Timing(
            mode="inference", batch_size=2, calls_per_block=1, errors=("a busy machine",), in_turn=turns, **times
        )
        catalog = Catalog(metrics={"p/it": offer("it", rate, needs="timing", unit="images/s")})
        [one] = measure(catalog, dataclasses.replace(subject(), timing=timing), "fixed_batch").measurements
        return one

    busy = Verdict(level="invalid", reasons=("a busy machine",))
    assert found(in_turn()).ratio == msgspec.structs.replace(in_turn().of_speed(), measured=busy)
    assert found(in_turn()).verdict == Verdict()
    doubted = found(in_turn(errors=("not finite",), warnings=("another stream",)))
    assert doubted.verdict == Verdict(level="invalid", reasons=("not finite", "another stream"))


@pytest.mark.parametrize(
    ("name", "wrong"), [("value", 0.0), ("value_of_all", -1.0), ("reference", math.nan), ("value", "fast")]
)
def test_a_ratio_of_what_is_not_positive_loses_the_figure_and_takes_nothing_else(name: str, wrong: object) -> None:
    told: dict[str, Any] = {"value": 2.0, "value_of_all": 2.0, "reference": 1.0, name: wrong}
    ratio = Ratio(network="n", quads=3, left_out=0, **told)
    found = measured(lambda subject: [Measurement(name="it", value=1.0, ratio=ratio)])
    assert (found.value, found.ratio, found.verdict.level) == (None, None, "invalid")


def test_a_ratio_may_be_of_what_is_like_a_number() -> None:
    number: Any = torch.tensor(2.0)
    ratio = Ratio(value=number, value_of_all=number, reference=number, network="n", quads=3, left_out=0)
    found = measured(lambda subject: [Measurement(name="it", value=1.0, ratio=ratio)])
    assert found.ratio == Ratio(value=2.0, value_of_all=2.0, reference=2.0, network="n", quads=3, left_out=0)


@pytest.mark.parametrize("value", [None, math.nan])
def test_without_a_value_there_is_no_ratio(value: float | None) -> None:
    ratio = in_turn().of_speed()
    assert measured(lambda subject: [Measurement(name="it", value=value, ratio=ratio)]).ratio is None


def test_what_holds_on_any_machine_is_not_doubted_for_this_one() -> None:
    training = TrainingLog(seconds=1.0, images=3, warnings=("load average 5",))
    gives = lambda subject: [Measurement(name="it", value=0.5)]  # noqa: E731
    for bound, level in ((None, "warn"), (False, "valid")):
        catalog = Catalog(metrics={"p/it": offer("it", gives, needs="training", machine_bound=bound)})
        [found] = measure(catalog, dataclasses.replace(subject(), training=training), "quality").measurements
        assert found.verdict.level == level


# Scores of images -----------------------------------------------------------------------------------------------------


def scores(*each: object, **fields: Any) -> Measured:
    catalog = Catalog(metrics={"p/it": offer("it", lambda subject: each, **fields)})
    return measure(catalog, subject(), "quality")


def test_scores_of_images_become_a_measurement_and_are_kept_under_its_name() -> None:
    found = scores(ImageScores(name="it", values=np.array([True, True, False])))
    [one] = found.measurements
    assert (one.value, one.n, one.unit, one.better, one.at) == (2 / 3, 3, "fraction", "higher", ("quality",))
    assert (one.low, one.high) == wilson(2, 3)
    assert found.scores["it"]["scores"].tolist() == [True, True, False]


def test_a_wrong_score_takes_nothing_from_the_others_of_its_metric(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ImageScores(name="low", values=np.array([0.5, 1.0]))
    right = ImageScores(name="high", values=np.array([0.5, 1.0, 0.0]))
    found = scores(wrong, right, measurements=("low", "high"))
    first, second = found.measurements
    [reason] = first.verdict.reasons
    assert (first.name, first.value, first.verdict.level) == ("low", None, "invalid")
    assert reason.endswith("the scores of low have shape (2,); (3,) is needed, one for each image")
    assert (second.name, second.value) == ("high", 0.5)
    assert list(found.scores) == ["high"]
    assert "Traceback" in capsys.readouterr().err


def test_a_score_that_is_not_declared_or_without_predictions_fails(capsys: pytest.CaptureFixture[str]) -> None:
    values = np.array([True, True, False])
    [found] = scores(ImageScores(name="other", values=values)).measurements
    assert 'it returned "other", but its spec declares it' in found.verdict.reasons[0]
    training = TrainingLog(seconds=1.0, images=3)
    catalog = Catalog(
        metrics={"p/it": offer("it", lambda subject: [ImageScores(name="it", values=values)], needs="training")}
    )
    alone = dataclasses.replace(subject(), predictions=None, training=training)
    [found] = measure(catalog, alone, "quality").measurements
    assert 'it returned ImageScores, which needs predictions, and its "needs" does not' in found.verdict.reasons[0]
    capsys.readouterr()


def test_the_plugins_that_gave_figures_are_named_once_and_no_others() -> None:
    catalog = load_catalog()
    given = [Measurement(name=name, value=1.0) for name in ("top1", "largest_batch_throughput", "unknown")]
    assert [origin.plugin for origin in measured_by(catalog, given)] == ["metrics"]
    assert measured_by(catalog, [Measurement(name="top1", value=None)]) == ()
