"""Call the metrics on a subject. One that fails loses only its own measurements."""

from __future__ import annotations

import dataclasses
import itertools
import math
import traceback
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from vitbench import contract
from vitbench.catalog import Catalog, Offer
from vitbench.catalog.provenance import origin
from vitbench.errors import Skip, reason_of
from vitbench.protocols import Predictions, Subject
from vitbench.records import Measurement, PluginOrigin, Verdict
from vitbench.specs import MetricSpec, load_target
from vitbench.worker.runtime import kept_flags

__all__ = ["measure", "measured_by"]

_NOTHING: Mapping[str, str] = MappingProxyType({})


def measure(catalog: Catalog, subject: Subject, lacking: Mapping[str, str] = _NOTHING) -> tuple[Measurement, ...]:
    """Return the measurements of all metrics whose part the subject has, each with its unit and direction.

    Args:
        catalog: has the metrics.
        subject: what is measured. Metrics cannot write into its predictions and its curve: others read them, too.
        lacking: why a part that the subject should have is missing; its metrics are recorded without a value.
    """
    subject = _read_only(subject)
    measurements: list[Measurement] = []
    with kept_flags():
        for offer in catalog.metrics.values():
            parts = offer.spec.parts
            if reasons := [lacking[part] for part in parts if part in lacking]:
                measurements.append(_without_value(offer.spec, reasons[0]))
            elif all(getattr(subject, part) is not None for part in parts):
                measurements.extend(_call(offer, subject))
    return tuple(measurements)


def measured_by(catalog: Catalog, measurements: Iterable[Measurement]) -> tuple[PluginOrigin, ...]:
    """Return the plugins of the metrics that gave some figures."""
    given = {one.name.removeprefix("largest_batch_") for one in measurements if one.value is not None}
    givers = [offer for offer in catalog.metrics.values() if any(each.name in given for each in offer.spec.gives)]
    plugins = (offer.plugin for offer in givers)
    return tuple(origin(plugin) for plugin in dict.fromkeys(plugins))


def _read_only(subject: Subject) -> Subject:
    """Return a subject whose predictions and training curve are the same and cannot be written to."""
    predictions, training = subject.predictions, subject.training
    if predictions is not None:
        predictions = dataclasses.replace(predictions, **_views(predictions))
    if training is not None:
        training = dataclasses.replace(training, curve=tuple(MappingProxyType(row) for row in training.curve))
    return dataclasses.replace(subject, predictions=predictions, training=training)


def _views(predictions: Predictions) -> dict[str, Any]:
    """Return the arrays of predictions by name, such that they cannot be written to."""
    views: dict[str, Any] = {
        name: value.view()
        for name in predictions.__slots__
        if isinstance(value := getattr(predictions, name), np.ndarray)
    }
    for view in views.values():
        view.setflags(write=False)
    return views


def _call(offer: Offer[MetricSpec], subject: Subject) -> Iterable[Measurement]:
    try:
        found = contract.call(load_target(offer.spec.measure), {"subject": subject})
        return [_complete(given, offer.spec) for given in found]
    except KeyboardInterrupt:
        raise
    except Skip as skip:
        reason = str(skip)
    except BaseException as error:  # SystemExit, and panics of extensions that are no Exception
        traceback.print_exc()
        reason = f"{offer.name} failed: {reason_of(error)}"
    return [_without_value(offer.spec, reason)]


def _without_value(spec: MetricSpec, reason: str) -> Measurement:
    verdict = Verdict(level="invalid", reasons=(reason,))
    return Measurement(name=spec.name, value=None, unit=spec.unit, better=spec.better, verdict=verdict)


def _complete(given: object, spec: MetricSpec) -> Measurement:
    """Fill in what the metric's spec says, and refuse a value that is not finite.

    Raises:
        TypeError, ValueError, msgspec.ValidationError: it is no measurement that the spec declares.
    """
    if not isinstance(given, Measurement):
        raise TypeError(f"it gave {type(given).__name__} where Measurement is expected")
    # msgspec checks types where it reads, not where a measurement is made.
    one = msgspec.convert(msgspec.to_builtins(given, enc_hook=_number), Measurement)
    declared = [each.name for each in spec.gives]
    if one.name not in declared:
        raise ValueError(f'it gave "{one.name}", and its spec declares {", ".join(declared)}')
    if not all(map(math.isfinite, itertools.chain.from_iterable(one.samples))):
        raise ValueError(f"a sample of {one.name} is not finite")
    one = msgspec.structs.replace(
        one,
        unit=one.unit or spec.unit,
        better=one.better or spec.better,
        low=one.low if one.low is not None and math.isfinite(one.low) else None,
        high=one.high if one.high is not None and math.isfinite(one.high) else None,
    )
    if one.value is not None and not math.isfinite(one.value):
        reasons = (*one.verdict.reasons, f"the value is {one.value}")
        return msgspec.structs.replace(
            one, value=None, low=None, high=None, verdict=Verdict(level="invalid", reasons=reasons)
        )
    return one


def _number(value: object) -> int | float:
    """Return the number that a scalar of NumPy or torch holds."""
    if not hasattr(value, "__float__"):
        raise TypeError(f"it gave {type(value).__name__} where a number is expected")
    number = float(value)
    return int(number) if number.is_integer() else number
