"""Metrics on variants: what is shown of real images and of noise, and with which verdict."""

from __future__ import annotations

import math

import pytest
from vitbench_metrics.agreement import agreement

from vitbench import Measurement, Skip
from vitbench.protocols import Agreement, Subject
from vitbench.statistics import wilson


def measured(**changes: object) -> dict[str, Measurement]:
    fields = {"images": 200, "same_top1": 199, "largest_error": 0.02, "tolerance": 0.1, "real_images": True}
    found = Agreement(**{**fields, **changes})  # type: ignore[arg-type]
    return {one.name: one for one in agreement(subject(found))}


def subject(found: Agreement | None) -> Subject:
    return Subject(num_classes=10, input_shape=(1, 8, 8), device="cpu", precision="bfloat16", agreement=found)


def test_real_images_have_a_share_with_its_interval_and_an_error() -> None:
    found = measured()
    assert list(found) == ["variant_agreement", "variant_error"]
    share, error = found.values()
    assert (share.value, (share.low, share.high), share.n) == (0.995, wilson(199, 200), 200)
    assert (error.value, error.unit, error.better, error.n) == (0.02, "1", "lower", 200)
    assert share.unit == share.better == "", "as the metric's spec says"
    assert {one.verdict.level for one in found.values()} == {"valid"}


def test_noise_has_an_error_only() -> None:
    assert list(measured(real_images=False)) == ["variant_error"]


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"same_top1": 190}, "invalid", "10 of 200 images get a different class"),
        ({"largest_error": 0.31}, "invalid", "the largest error is 31% of the logits' spread (tolerance 10%)"),
        ({"largest_error": math.inf}, "invalid", "not finite"),
        ({"largest_error": math.nan}, "warn", "cannot be compared with float32"),
    ],
)
def test_the_verdict_says_why_in_words(changes: dict[str, float], level: str, words: str) -> None:
    found = measured(**changes)
    for one in found.values():
        assert one.verdict.level == level
        [reason] = one.verdict.reasons
        assert words in reason
    finite = math.isfinite(changes.get("largest_error", 0))
    assert (found["variant_error"].value is not None) == finite


def test_float32_as_it_is_has_none() -> None:
    with pytest.raises(Skip):
        list(agreement(subject(None)))
