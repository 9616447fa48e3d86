"""Optimisers by name: torch's fused AdamW and SGD, and all others as timm has them; none is written here."""

from __future__ import annotations

import difflib
from typing import Any

import torch

from vitbench.errors import UnusableError, UsageError

__all__ = ["named_optimizer"]


def named_optimizer(
    name: str, groups: list[dict[str, Any]], *, lr: float, precision: str = "float32"
) -> torch.optim.Optimizer:
    """Return an optimiser of parameter groups, such as those of `decay_groups`.

    ``adamw`` and ``sgd`` (with momentum 0.9 of Nesterov's) are torch's own and fused; the second is not under float16,
    where the fused one takes over momentum that nobody has set once the gradient scaler skips the first step. Any other
    name is one of ``timm.optim.list_optimizers()``, such as ``muon`` or ``lamb``, with timm's defaults: momentum 0.9.

    Raises:
        UsageError: there is no such optimiser, or it needs more than gradients.
        UnusableError: it needs a package that is not installed, or a GPU.
    """
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, fused=True)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True, fused=precision != "float16")
    try:
        import timm.optim
    except ImportError as error:
        raise UnusableError(f'optimizer "{name}" comes from timm, which is not installed') from error
    timms: Any = timm.optim
    known: list[str] = timms.list_optimizers()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"similar names: {', '.join(near)}" if near else "see timm.optim.list_optimizers()"
        raise UsageError(f'there is no optimizer "{name}"; {hint}')
    if timms.get_optimizer_info(name).second_order:
        raise UsageError(f'optimizer "{name}" needs second derivatives, which no recipe takes')
    try:
        optimizer: torch.optim.Optimizer = timms.create_optimizer_v2(groups, opt=name, lr=lr)
    except (AssertionError, ImportError) as error:  # of apex and bitsandbytes
        raise UnusableError(f'optimizer "{name}" is not available here: {error}') from error
    return optimizer
