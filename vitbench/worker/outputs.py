"""Whether a recipe failed because its model gives something other than logits: then that is told, of the model.

What a recipe makes of such an output is its own: an AttributeError of a tuple, a loss that is not finite. So, where it
failed, the model is built once more and asked for its output.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vitbench.measuring.steps import InvalidOutput, check_finite, check_output
from vitbench.training import DivergedError

__all__ = ["fault_behind"]

_CAUSED = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What code raises that got something else than it works on."""


def fault_behind(
    error: Exception, build: Callable[[], nn.Module], images: Callable[[], Tensor], num_classes: int
) -> InvalidOutput | None:
    """Return what is wrong with the output of a model, as it is built, that a recipe failed with; None: nothing is.

    Args:
        error: of the recipe.
        build: builds the model again, on the CPU.
        images: gives a few images ``[B, C, H, W]`` as the recipe would, on the CPU.
        num_classes: K.
    """
    if not isinstance(error, (DivergedError, *_CAUSED)) or isinstance(error, torch.OutOfMemoryError):
        return None
    # Of an optimiser without parameters, and of a backward pass without a gradient. A recipe may do without.
    learns = any(words in str(error) for words in ("grad", "parameter list"))
    try:
        model, some = build(), images()
        in_training = _fault(model.train(), some, num_classes, learns=learns)
        # A recipe may know what to make of more outputs in training, such as those of auxiliary heads.
        return in_training if in_training and _fault(model.eval(), some, num_classes, learns=learns) else None
    except Exception:  # it says no more than what the recipe met
        return None


def _fault(model: nn.Module, images: Tensor, num_classes: int, *, learns: bool) -> InvalidOutput | None:
    try:
        output = model(images)
        check_output(output, images, num_classes, learns=learns)
        check_finite(output)
    except InvalidOutput as fault:
        return fault
    return None
