"""Does a variant of a model compute what the model computes? Another precision, compiled code, another memory format.

The reference is the same weights in float32 as torch runs them by itself: eager, contiguous, no autocast, no TF32. A
variant may differ from it by rounding and by nothing else; a mistake of a compiler or of a kernel is far larger. On
rounding: Higham, Accuracy and Stability of Numerical Algorithms (2002), chapter 2.

What all logits of an image share is taken off first: softmax sees their differences alone, and beside an offset of 1000
any mistake in them looks small. The offset counts where it does harm: it makes rounding coarser.

Shapes: N images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from vitbench.protocols import Agreement

__all__ = ["ROUNDING", "centred", "compare", "disagreement", "is_variant", "rounding", "unjudged"]

# A number is rounded by 2^-24 of itself in float32, by 2^-11 in TF32 and float16, by 2^-8 in bfloat16. Some fifty
# roundings in a row (twelve blocks of four) add up like a random walk, to seven times as much, and the worst of
# thousands of logits is a few times worse than that: 1e-6, 1e-3 and 1e-2. Seen of the ViT and the
# ResNet-18: up to 1.3e-6, 1.6e-3 and 1.4e-2. Ten times that is no rounding.
TOLERANCES: Mapping[str, float] = MappingProxyType({"float32": 1e-3, "tf32": 2e-2, "float16": 2e-2, "bfloat16": 1e-1})
"""Largest error that a precision explains of what softmax sees of a logit, over the largest such value in float32.
More generous where only the order of additions differs (compiled, channels last), since fast convolutions lose a few
bits more."""
ROUNDING: Mapping[str, float] = MappingProxyType({"float32": 2e-5, "tf32": 2e-3, "float16": 2e-3, "bfloat16": 1.6e-2})
"""What rounding alone does to a logit, as a share of the largest logit, its offset included: a little more than was
seen above, and in float32, where deep models make 1e-5 of it with another batch size."""
TIE = 0.1
"""Share of the tolerance, which is about what rounding does to every logit: of two classes that are nearer than this
in float32, either may come first."""
OTHER_CLASS_SHARE = 0.02
"""Share of the images that may get another class."""


def is_variant(precision: str, compile: str, channels_last: bool) -> bool:  # noqa: A002 - the word of the command line
    """Return whether a cell computes in anything but plain float32."""
    return precision != "float32" or bool(compile) or channels_last


def compare(reference: Tensor, variant: Tensor, *, precision: str, real_images: bool) -> Agreement:
    """Hold a variant's logits against those of plain float32.

    An image counts as one of the same class where the likeliest class is the same, and where float32 has both classes
    so near each other that rounding decides: a model that is undecided is not thereby wrong.

    Args:
        reference: float32 ``[N, K]``.
        variant: float ``[N, K]``, of the same images.
        precision: the variant's.
        real_images: false for noise, of which the likeliest class says nothing.

    Returns:
        How near they are. `largest_error` is infinite where the variant's logits are not finite, and NaN where those
        of an image are all alike in the reference, as with a head that starts at zero, or not finite; see `unjudged`.
    """
    reference, variant = reference.cpu(), variant.cpu()  # where float64 is, which Apple's GPUs lack
    seen = centred(reference)
    # On it classes are near or far, and an error is small or large.
    spread = float(seen.abs().amax())
    difference = (centred(variant) - seen).abs().amax().nan_to_num(nan=math.inf, posinf=math.inf)
    chosen = reference.gather(1, variant.argmax(dim=1, keepdim=True))[:, 0]
    tie = TIE * TOLERANCES[precision] * spread + rounding(reference, "float32")
    same = reference.amax(dim=1) - chosen <= tie
    known = spread > rounding(reference, "float32")
    return Agreement(
        images=len(reference),
        same_top1=int(same.sum()),
        largest_error=float(difference) / spread if known else math.nan,
        tolerance=max(TOLERANCES[precision], rounding(reference, precision) / spread if known else 0.0),
        real_images=real_images,
    )


def centred(logits: Tensor) -> Tensor:
    """Return what softmax sees of logits ``[N, K]``, on the CPU: float64 of the same shape, less each image's mean."""
    exact = logits.cpu().double()
    return exact - exact.mean(dim=1, keepdim=True)


def rounding(logits: Tensor, precision: str) -> float:
    """Return by how much rounding may change the logits ``[N, K]`` of a precision, a common offset included."""
    return ROUNDING[precision] * float(logits.abs().amax())


def disagreement(agreement: Agreement) -> str | None:
    """Return a sentence if a variant does not compute what the model does; None if it does, or cannot be judged.

    It does not if a logit is off by more than the tolerance or if, on real images, more than 2 % of them, and more
    than one, get another class.
    """
    if agreement.largest_error == math.inf:
        return "this variant disagrees with float32: it gives logits that are not finite"
    if math.isnan(agreement.largest_error):
        return None
    others = agreement.images - agreement.same_top1
    many = agreement.real_images and others > max(1, OTHER_CLASS_SHARE * agreement.images)
    if not many and not agreement.largest_error > agreement.tolerance:
        return None
    classes = f"{others} of {agreement.images} images get a different class, " if agreement.real_images else ""
    return (
        f"this variant disagrees with float32: {classes}the largest error is {_percent(agreement.largest_error)} "
        f"of the logits' spread (tolerance {_percent(agreement.tolerance)})"
    )


def unjudged(agreement: Agreement) -> str | None:
    """Return a sentence that says why a variant cannot be compared with float32; None if it can."""
    if math.isnan(agreement.largest_error):
        return "this variant cannot be compared with float32, whose logits are all alike or not finite"
    if agreement.tolerance >= 1:
        return (
            "this variant cannot be compared with float32: all logits share an offset so large that rounding hides "
            "what tells the classes apart"
        )
    return None


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
