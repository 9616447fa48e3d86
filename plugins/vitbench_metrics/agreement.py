"""Metrics on variants: how near another precision, compiled code or another memory format comes to plain float32."""

from __future__ import annotations

import math
from collections.abc import Iterator

from vitbench import Measurement, Skip, Verdict
from vitbench.measuring.numerics import disagreement, unjudged
from vitbench.protocols import Agreement, Subject
from vitbench.statistics import wilson


def agreement(subject: Subject) -> Iterator[Measurement]:
    """Give the share of images that keep their class, with Wilson's 95 % interval, and the largest error of a logit.

    Classes between which float32 itself is undecided count as one; of noise there is only the error. Both are invalid
    where the variant computes something else than the model, and without a value where that cannot be told.
    """
    found = subject.agreement
    if found is None:
        raise Skip("plain float32 has nothing to be compared with")
    verdict = _verdict(found)
    if found.real_images:
        low, high = wilson(found.same_top1, found.images)
        yield Measurement(
            name="variant_agreement",
            value=found.same_top1 / found.images,
            low=low,
            high=high,
            n=found.images,
            verdict=verdict,
        )
    error = found.largest_error
    yield Measurement(
        name="variant_error",
        value=error if math.isfinite(error) else None,
        unit="1",
        better="lower",
        n=found.images,
        verdict=verdict,
    )


def _verdict(found: Agreement) -> Verdict:
    wrong, doubtful = disagreement(found), unjudged(found)
    if wrong:
        return Verdict(level="invalid", reasons=(wrong,))
    return Verdict(level="warn", reasons=(doubtful,)) if doubtful else Verdict()
