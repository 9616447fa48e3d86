"""Variants: what rounding makes passes, what a mistake makes is called by its name."""

from __future__ import annotations

import math

import pytest
import torch

from vitbench.measuring.numerics import centred, compare, disagreement, is_variant, unjudged
from vitbench.protocols import Agreement

PRECISIONS = ("float32", "tf32", "float16", "bfloat16")


def logits() -> torch.Tensor:
    """Those of a model that is sure of each image."""
    drawn = torch.randn(128, 10, generator=torch.Generator().manual_seed(0))
    drawn[torch.arange(128), torch.arange(128) % 10] += 8
    return drawn


def compared(
    variant: torch.Tensor,
    *,
    precision: str = "bfloat16",
    real_images: bool = True,
    reference: torch.Tensor | None = None,
) -> Agreement:
    return compare(logits() if reference is None else reference, variant, precision=precision, real_images=real_images)


def test_what_is_a_variant() -> None:
    assert not is_variant("float32", compile="", channels_last=False)
    assert is_variant("tf32", compile="", channels_last=False)
    assert is_variant("float32", compile="default", channels_last=False)
    assert is_variant("float32", compile="", channels_last=True)


@pytest.mark.parametrize(("precision", "offset"), [*zip(PRECISIONS, (1000.0, 0.0, 0.0, -1000.0), strict=True)])
def test_the_error_is_a_share_of_what_softmax_sees_and_may_reach_the_tolerance(precision: str, offset: float) -> None:
    reference = logits() + offset
    scale = float(centred(reference).abs().max())
    for factor, agrees in ((0.9, True), (1.1, False)):
        variant = reference.clone()
        tolerance = compared(variant, precision=precision, reference=reference).tolerance
        variant[3, 2] -= factor * tolerance * scale / 0.9  # a tenth of it moves the mean of the ten logits
        found = compared(variant, precision=precision, reference=reference)
        assert found.largest_error == pytest.approx(factor * tolerance, rel=0.02)
        assert found.images == 128
        assert (disagreement(found) is None) == agrees


def test_what_all_logits_of_an_image_share_is_no_error() -> None:
    variant = logits() + 1000 * torch.randn(128, 1, generator=torch.Generator().manual_seed(2))
    found = compared(variant, precision="float32")
    assert found.largest_error < 1e-4
    assert disagreement(found) is None


@pytest.mark.parametrize(("offset", "real_images"), [(-1000.0, True), (1000.0, False)])
def test_a_common_offset_hides_no_mistake_in_float32(offset: float, real_images: bool) -> None:
    """A twentieth of the spread is far beyond rounding, also beside an offset of 1000."""
    reference = logits() + offset
    assert disagreement(compared(reference + 1e-4, precision="float32", reference=reference)) is None
    drawn = torch.randn(reference.shape, generator=torch.Generator().manual_seed(3))
    found = compared(reference + 0.1 * drawn, precision="float32", reference=reference, real_images=real_images)
    assert disagreement(found) is not None


def test_an_offset_that_a_precision_cannot_hold_is_said() -> None:
    reference = logits() + 1000
    rounded = reference.bfloat16().float()
    noise = compared(rounded, reference=reference, real_images=False)
    assert unjudged(noise) == (
        "this variant cannot be compared with float32: all logits share an offset so large that rounding hides what "
        "tells the classes apart"
    )
    lost = torch.full_like(reference, 1000.0)
    assert disagreement(compared(lost, reference=reference)) is not None, "real images get other classes"
    assert unjudged(compared(reference.half().float(), precision="float16", reference=reference)) is None


def test_the_tolerances_follow_the_bits() -> None:
    tolerances = [compared(logits(), precision=precision).tolerance for precision in PRECISIONS]
    assert tolerances == sorted(tolerances)
    assert tolerances[1] == tolerances[2], "TF32 and float16 have ten bits of fraction each"


@pytest.mark.parametrize(
    ("precision", "dtype", "classes"), [("float16", torch.float16, 2), ("bfloat16", torch.bfloat16, 1000)]
)
def test_a_network_in_reduced_precision_agrees_but_not_with_the_tolerance_of_float32(
    precision: str, dtype: torch.dtype, classes: int
) -> None:
    torch.manual_seed(0)
    layers = [layer for _ in range(12) for layer in (torch.nn.Linear(64, 64), torch.nn.LayerNorm(64), torch.nn.GELU())]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(64, classes))
    images = torch.randn(128, 64)
    with torch.inference_mode():
        reference = model(images)
        with torch.autocast("cpu", dtype):
            variant = model(images)
    found = compare(reference, variant, precision=precision, real_images=True)
    assert disagreement(found) is None
    assert found.largest_error < 0.4 * found.tolerance, "there is room for deeper models"
    assert disagreement(compare(reference, variant, precision="float32", real_images=True)) is not None


def test_other_classes_count_beyond_two_per_cent_of_the_images() -> None:
    """128 images allow two; the changes themselves are within the tolerance that is set."""
    reference = logits()
    reference[:5, :] = 0
    reference[torch.arange(5), torch.arange(5)] = 0.5  # a lead of 4 per cent of the largest logit
    for others, agrees in ((2, True), (3, False)):
        variant = reference.clone()
        variant[torch.arange(others), torch.arange(others) + 1] = 0.6
        found = compare(reference, variant, precision="bfloat16", real_images=True)
        assert found.same_top1 == 128 - others
        assert found.largest_error < found.tolerance
        assert (disagreement(found) is None) == agrees
        noise = compare(reference, variant, precision="bfloat16", real_images=False)
        assert disagreement(noise) is None


def test_one_image_of_few_may_differ() -> None:
    reference = torch.tensor([[0.5, 0.0], [0.5, 0.0], [10.0, 0.0]])
    for others, agrees in ((1, True), (2, False)):
        variant = reference.clone()
        variant[:others, 1] = 0.6
        found = compare(reference, variant, precision="bfloat16", real_images=True)
        assert (disagreement(found) is None) == agrees


def test_classes_between_which_float32_is_undecided_may_swap() -> None:
    undecided = torch.randn(128, 10, generator=torch.Generator().manual_seed(1))
    undecided[:, 0] = 5.0
    for lead, same in ((0.02, 128), (0.2, 0)):
        undecided[:, 1] = 5.0 - lead
        variant = undecided.clone()
        variant[:, 1] = 5.0 + lead
        found = compare(undecided, variant, precision="bfloat16", real_images=True)
        assert found.same_top1 == same


def test_a_common_offset_does_not_hide_other_classes() -> None:
    """The error is small beside an offset of 1000, but the classes are told apart by the rest alone."""
    reference = logits() + 1000
    found = compare(reference, reference.flip(0), precision="bfloat16", real_images=True)
    assert found.largest_error < found.tolerance
    assert disagreement(found) is not None


def test_the_words() -> None:
    variant = logits()
    variant[:7] = variant[:7].roll(1, dims=1)
    sentence = disagreement(compared(variant))
    assert sentence is not None
    assert sentence.startswith(
        "this variant disagrees with float32: 7 of 128 images get a different class, the largest "
    )
    assert sentence.endswith("% of the logits' spread (tolerance 10%)")
    sentence = disagreement(compared(variant, real_images=False, precision="float32"))
    assert sentence is not None
    assert sentence.startswith("this variant disagrees with float32: the largest error is ")
    assert sentence.endswith("% of the logits' spread (tolerance 0.1%)")


@pytest.mark.parametrize(("value", "real_images"), [(math.nan, True), (-math.inf, False)])
def test_a_logit_that_is_not_finite_disagrees(value: float, real_images: bool) -> None:
    variant = logits()
    variant[9, 4] = value
    found = compared(variant, real_images=real_images)
    assert found.largest_error == math.inf
    assert disagreement(found) == "this variant disagrees with float32: it gives logits that are not finite"


@pytest.mark.parametrize(
    ("value", "variant"), [(0.0, "the same"), (-1000.1, "another"), (math.nan, "the same"), (math.inf, "another")]
)
def test_a_reference_that_says_nothing_is_no_pass(value: float, variant: str) -> None:
    spoilt = torch.full((128, 10), value)
    found = compare(spoilt, spoilt if variant == "the same" else logits(), precision="bfloat16", real_images=True)
    assert disagreement(found) is None
    assert unjudged(found) == "this variant cannot be compared with float32, whose logits are all alike or not finite"


def test_a_device_without_float64_is_asked_for_none() -> None:
    class OnAppleGpu(torch.Tensor):
        def double(self) -> torch.Tensor:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

        def cpu(self) -> torch.Tensor:  # type: ignore[override]
            return self.as_subclass(torch.Tensor)

    reference, variant = logits().as_subclass(OnAppleGpu), logits().bfloat16().float().as_subclass(OnAppleGpu)
    assert disagreement(compared(variant, reference=reference)) is None
    assert not isinstance(centred(reference), OnAppleGpu)
