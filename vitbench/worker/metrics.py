"""Call the metrics on a subject. One that fails loses only its own measurements."""

from __future__ import annotations

import dataclasses
import itertools
import math
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from vitbench import contract
from vitbench.catalog import Catalog, Offer
from vitbench.catalog.provenance import first_missing, origin
from vitbench.errors import Skip, reason_of
from vitbench.measurements import LARGEST_BATCH, at_largest_batch, blank, plain_name, taken_in, under_options
from vitbench.protocols import Predictions, Split, Subject, Timing
from vitbench.records import Measurement, PluginOrigin, Verdict, doubt
from vitbench.specs import At, MetricSpec, OptionValue, load_target
from vitbench.worker.runtime import kept_flags
from vitbench.worker.scores import Kept, Score, Scored, scored

__all__ = ["Measured", "measure", "measured_by", "single_result"]

_ROUNDING = 1e-6
"""Of the largest of a value and its ends, how far it may lie outside; a metric may compute in float32."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What the metrics gave."""

    measurements: tuple[Measurement, ...] = ()
    scores: Mapping[str, Kept] = field(default_factory=dict)
    """What is kept for comparing models on the same images, by the measurement's name."""
    predicted: frozenset[str] = frozenset()
    """The measurements that are of the model's predictions, by name."""


def measure(
    catalog: Catalog,
    subject: Subject,
    at: At,
    lacking: Mapping[str, str] = _NOTHING,
    options: Mapping[str, Mapping[str, OptionValue]] = _NOTHING,
) -> Measured:
    """Return what all metrics give that are taken at a cell and whose parts the subject has.

    At the largest batch the metrics of the fixed batch are taken, under names of their own, except for what is exact.

    Args:
        catalog: has the metrics.
        subject: what is measured. Metrics cannot write into its predictions and its curve: others read them, too.
        at: which cell it is.
        lacking: why a part that the subject should have is missing; its metrics are recorded without a value.
        options: of metrics that have some, complete, by the metric's full name; the others have their defaults.
    """
    subject = _read_only(subject)
    found: list[Scored] = []
    predicted: set[str] = set()
    with kept_flags():
        for offer in catalog.metrics.values():
            spec = offer.spec
            reasons = [lacking[part] for part in spec.parts if part in lacking]
            if not taken_in(spec, at):
                continue
            own, some = options.get(offer.name, spec.defaults), list[Scored]()
            if reasons:
                some = _without_values(spec, reasons[0])
            elif all(getattr(subject, part) is not None for part in spec.parts):
                some = [_doubted(one, spec, subject) for one in _call(offer, subject, own)]
            some = [dataclasses.replace(one, measurement=under_options(one.measurement, own)) for one in some]
            found += some
            predicted |= {one.measurement.name for one in some if "predictions" in spec.parts}
    measurements = tuple(one.measurement for one in found)
    return Measured(
        measurements=tuple(map(at_largest_batch, measurements)) if at == "largest_batch" else measurements,
        scores={one.measurement.name: one.kept for one in found if one.kept},
        predicted=frozenset(predicted),
    )


def measured_by(catalog: Catalog, measurements: Iterable[Measurement]) -> tuple[PluginOrigin, ...]:
    """Return the plugins of the metrics that gave some figures."""
    given = {plain_name(one.name).removeprefix(f"{LARGEST_BATCH}_") for one in measurements if one.value is not None}
    givers = [offer for offer in catalog.metrics.values() if any(each.name in given for each in offer.spec.gives)]
    plugins = (offer.plugin for offer in givers)
    return tuple(origin(plugin) for plugin in dict.fromkeys(plugins))


def single_result(given: object) -> str:
    """Return what is wrong where a metric did not return several results, as one bare number; else an empty text."""
    if isinstance(given, Iterable) and not isinstance(given, (Measurement, Score)):
        return ""
    if given is None:
        return "measure returned None; yield measurements, or return a list of them"
    return f"measure returned one {type(given).__name__}; yield it, or return a list of measurements"


def _read_only(subject: Subject) -> Subject:
    """Return a subject whose arrays and training curve are the same and cannot be written to."""
    frozen: dict[str, Any] = {
        part: dataclasses.replace(value, **_views(value))
        for part in ("predictions", "images")
        if (value := getattr(subject, part)) is not None
    }
    if subject.training is not None:
        curve = tuple(MappingProxyType(row) for row in subject.training.curve)
        frozen["training"] = dataclasses.replace(subject.training, curve=curve)
    return dataclasses.replace(subject, **frozen)


def _views(part: Predictions | Split) -> dict[str, Any]:
    """Return the arrays of a part by name, such that they cannot be written to."""
    views: dict[str, Any] = {
        name: value.view() for name in part.__slots__ if isinstance(value := getattr(part, name), np.ndarray)
    }
    for view in views.values():
        view.setflags(write=False)
    return views


def _call(offer: Offer[MetricSpec], subject: Subject, options: Mapping[str, OptionValue]) -> list[Scored]:
    if missing := first_missing(offer.spec.requires):
        return _without_values(offer.spec, f"it needs the module {missing}, which is not installed")
    found: dict[str, Scored] = {}
    try:
        several = contract.call(load_target(offer.spec.measure), {"subject": subject}, options)
        if fault := single_result(several):
            raise TypeError(fault)
        for given in several:
            one = (
                _of_score(given, offer, subject)
                if isinstance(given, Score)
                else Scored(measurement=_complete(given, offer.spec), kept={})
            )
            if one.measurement.name in found:
                raise ValueError(f'it returned "{one.measurement.name}" twice')
            found[one.measurement.name] = one
        return list(found.values())
    except KeyboardInterrupt:
        raise
    except Skip as skip:
        reason = str(skip)
    except BaseException as error:  # SystemExit, and panics of extensions that are no Exception
        traceback.print_exc()
        reason = f"{offer.name} failed: {reason_of(error)}"
    return _without_values(offer.spec, reason)


def _doubted(one: Scored, spec: MetricSpec, subject: Subject) -> Scored:
    """Trust a figure of the machine no more than the times and counters that it is made of, whoever makes it."""
    if not spec.holds_for_machine or one.measurement.value is None:
        return one
    parts = [getattr(subject, name) for name in spec.parts]
    found, ratio = _doubted_by(parts, one.measurement), one.measurement.ratio
    if ratio is not None:
        measured = msgspec.structs.replace(ratio, measured=found.verdict)
        # What disturbs both sides alike does not touch their ratio.
        parts = [(part.in_turn or part) if isinstance(part, Timing) else part for part in parts]
        found = msgspec.structs.replace(_doubted_by(parts, one.measurement), ratio=measured)
    return dataclasses.replace(one, measurement=found)


def _doubted_by(parts: Sequence[object], one: Measurement) -> Measurement:
    """Return a measurement that is trusted no more than some parts of a subject."""
    measurements: tuple[Measurement, ...] = (one,)
    for part in parts:
        measurements = doubt(measurements, "invalid", getattr(part, "errors", ()))
        measurements = doubt(measurements, "warn", getattr(part, "warnings", ()))
    return measurements[0]


def _of_score(given: Score, offer: Offer[MetricSpec], subject: Subject) -> Scored:
    """Return what a score makes; one that is wrong takes nothing from the metric's others.

    Raises:
        ValueError: the metric does not declare it, or the subject has no predictions that it could be of.
    """
    unit = blank(offer.spec, given.name).unit
    if subject.predictions is None:
        raise ValueError(
            f'it returned {type(given).__name__}, which needs predictions, and its "needs" does not name them'
        )
    try:
        found = scored(given, subject.predictions, unit)
        return Scored(measurement=_complete(found.measurement, offer.spec), kept=found.kept)
    except KeyboardInterrupt:
        raise
    except Skip as skip:
        reason = str(skip)
    except BaseException as error:
        traceback.print_exc()
        reason = f"{offer.name} failed: {reason_of(error)}"
    return _without_value(offer.spec, given.name, reason)


def _without_values(spec: MetricSpec, reason: str) -> list[Scored]:
    """Return all that a metric would give, without values."""
    return [_without_value(spec, each.name, reason) for each in spec.gives]


def _without_value(spec: MetricSpec, name: str, reason: str) -> Scored:
    verdict = Verdict(level="invalid", reasons=(reason,))
    return Scored(measurement=msgspec.structs.replace(blank(spec, name), verdict=verdict), kept={})


def _complete(given: object, spec: MetricSpec) -> Measurement:
    """Fill in what the metric's spec says, and refuse a value that is not finite, or an interval without the value.

    Raises:
        TypeError, ValueError, msgspec.ValidationError: it is no measurement that the spec declares.
    """
    if not isinstance(given, Measurement):
        raise TypeError(f"it returned {type(given).__name__} where Measurement is expected")
    # msgspec checks types where it reads, not where a measurement is made.
    one = msgspec.convert(msgspec.to_builtins(given, enc_hook=_number), Measurement)
    told = blank(spec, one.name, one.unit)
    if not all(map(math.isfinite, itertools.chain.from_iterable(one.samples))):
        raise ValueError(f"a sample of {one.name} is not finite")
    one = msgspec.structs.replace(
        told,
        value=one.value,
        better=one.better or told.better,
        low=one.low if one.low is not None and math.isfinite(one.low) else None,
        high=one.high if one.high is not None and math.isfinite(one.high) else None,
        n=one.n,
        samples=one.samples,
        ratio=one.ratio,
        verdict=one.verdict,
    )
    if one.ratio is not None:
        parts = one.ratio.value, one.ratio.value_of_all, one.ratio.reference
        if not all(0 < part < math.inf for part in parts):
            raise ValueError(
                f"the ratio of {one.name} must be of positive numbers, not of {', '.join(map(str, parts))}"
            )
    if one.value is None:
        return msgspec.structs.replace(one, ratio=None)
    if not math.isfinite(one.value):
        reasons = (*one.verdict.reasons, f"the value is {one.value}")
        return msgspec.structs.replace(
            one, value=None, low=None, high=None, ratio=None, verdict=Verdict(level="invalid", reasons=reasons)
        )
    value = one.value
    if one.unit == "fraction" and abs(value) > 1 + _ROUNDING:
        one = msgspec.structs.replace(one, verdict=_no_fraction(one, value))
    low, high = (value if end is None else end for end in (one.low, one.high))
    slack = _ROUNDING * max(abs(low), abs(value), abs(high))
    if low - slack <= value <= high + slack:
        return one
    # Rows are ranked by it, which must not contradict their order by value.
    (doubted,) = doubt([one], "warn", [f"no interval: {low:g} to {high:g} does not hold the value {value:g}"])
    return msgspec.structs.replace(doubted, low=None, high=None)


def _no_fraction(one: Measurement, value: float) -> Verdict:
    """Return the verdict on a value outside -1..1 whose unit is "fraction": tables would show 52 as 5200 %.

    It is as wrong for what is exact, which `doubt` leaves alone.
    """
    percent = value if abs(value) <= 100 else 95.0
    reason = (
        f'{one.name} is {value:g}, but its unit is "fraction"; return {percent / 100:g} for {percent:g} %, or use '
        "another unit"
    )
    return Verdict(level="invalid", reasons=(*one.verdict.reasons, reason))


def _number(value: object) -> int | float:
    """Return the number that a scalar of NumPy or torch holds."""
    if not hasattr(value, "__float__"):
        raise TypeError(f"it returned {type(value).__name__} where a number is expected")
    number = float(value)
    return int(number) if number.is_integer() else number
