"""Call the metrics on a subject. One that fails loses only its own measurement."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from vitbench.catalog import Catalog, Offer
from vitbench.errors import Skip
from vitbench.protocols import Subject
from vitbench.records import Measurement, Verdict
from vitbench.specs import MetricSpec, load_target
from vitbench.worker.runtime import kept_flags

__all__ = ["measure"]

_NOTHING: Mapping[str, str] = MappingProxyType({})


def measure(catalog: Catalog, subject: Subject, lacking: Mapping[str, str] = _NOTHING) -> tuple[Measurement, ...]:
    """Return the measurements of all metrics whose part the subject has, each with its unit and direction.

    Args:
        catalog: has the metrics.
        subject: what is measured.
        lacking: why a part that the subject should have is missing; its metrics are recorded without a value.
    """
    measurements: list[Measurement] = []
    with kept_flags():
        for offer in catalog.metrics.values():
            if offer.spec.needs in lacking:
                measurements.append(_complete(_without_value(offer.spec.name, lacking[offer.spec.needs]), offer.spec))
            elif getattr(subject, offer.spec.needs) is not None:
                measurements.extend(_complete(measured, offer.spec) for measured in _call(offer, subject))
    return tuple(measurements)


def _call(offer: Offer[MetricSpec], subject: Subject) -> Iterable[Measurement]:
    try:
        return list(load_target(offer.spec.measure)(subject))
    except Skip as skip:
        reason = str(skip)
    except Exception as error:
        traceback.print_exc()
        reason = f"{offer.name} failed: {type(error).__name__}: {' '.join(str(error).split())}"
    return [_without_value(offer.spec.name, reason)]


def _without_value(name: str, reason: str) -> Measurement:
    return Measurement(name=name, value=None, verdict=Verdict(level="invalid", reasons=(reason,)))


def _complete(measured: Measurement, spec: MetricSpec) -> Measurement:
    """Fill in what the metric's spec says, and refuse a value that is no number."""
    complete = msgspec.structs.replace(measured, unit=measured.unit or spec.unit, better=measured.better or spec.better)
    if complete.value is not None and not math.isfinite(complete.value):
        reasons = (*complete.verdict.reasons, f"the value is {complete.value}")
        return msgspec.structs.replace(
            complete, value=None, low=None, high=None, verdict=Verdict(level="invalid", reasons=reasons)
        )
    return complete
