"""What a recipe sets up before its loop: the model on its device, parameter groups, reduced precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from vitbench.protocols import FitRun
from vitbench.records import Compile

__all__ = [
    "autocast",
    "compiled",
    "decay_groups",
    "grad_scaler",
    "on_device",
    "placed",
    "reduced_dtype",
    "scaler_of",
    "sent",
]

_REDUCED = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def on_device(model: nn.Module, run: FitRun) -> tuple[nn.Module, nn.Module]:
    """Move a model to the run's device and memory format; return the model itself, and the one to call.

    The second is compiled if the run asks for it; both share their parameters. A recipe calls the second and
    returns the first, whose parameter names are the model's own.
    """
    return placed(model, run.device, channels_last=run.channels_last, compile=run.compile)


def placed(
    model: nn.Module,
    device: torch.device,
    *,
    channels_last: bool,
    compile: Compile,  # noqa: A002 - the word of the command line
) -> tuple[nn.Module, nn.Module]:
    """Move a model as `on_device` does, whatever asks for it."""
    model = model.to(device)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    return model, compiled(model, compile) if compile else model


def compiled(model: nn.Module, mode: str) -> nn.Module:
    """Return a model compiled in a mode of torch.compile; calling it is the same in each.

    CUDA graphs, which ``reduce-overhead`` records, give each output in the memory of the last one. So that nobody finds
    another batch's logits in a tensor that he keeps, each call begins a new step of theirs and gives a copy
    (https://docs.pytorch.org/docs/stable/torch.compiler_cudagraph_trees.html).
    """
    if mode == "default":
        return cast(nn.Module, torch.compile(model))
    net = cast(nn.Module, torch.compile(model, mode=mode))
    net.register_forward_pre_hook(lambda *_: torch.compiler.cudagraph_mark_step_begin())  # type: ignore[no-untyped-call]
    net.register_forward_hook(lambda _, __, output: tree_map_only(Tensor, torch.clone, output))
    return net


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; neither the copy to a GPU nor what follows is waited for."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which a model computes in bfloat16 or float16; for float32 and tf32 it does nothing."""
    dtype = reduced_dtype(precision)
    return torch.autocast(device.type, dtype=dtype) if dtype else nullcontext()


def reduced_dtype(precision: str) -> torch.dtype | None:
    """Return what autocast casts to; None for float32 and tf32."""
    return _REDUCED.get(precision)


def grad_scaler(run: FitRun) -> torch.amp.GradScaler:
    """Return the scaler that keeps float16 gradients from vanishing; in other precisions it does nothing."""
    return scaler_of(run.precision, run.device)


def scaler_of(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Return the scaler of a precision: float16 alone needs it."""
    return torch.amp.GradScaler(device.type, enabled=precision == "float16")


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the trainable parameters in two groups for an optimiser: with weight decay, and without.

    No decay for vectors (norms, biases), for positions and tokens (by the last part of their names), nor for what
    the model's own ``no_weight_decay()`` names, as timm's models do.
    """
    model = getattr(model, "_orig_mod", model)  # the names of a compiled model's parameters begin with another part
    exempt = set(model.no_weight_decay()) if hasattr(model, "no_weight_decay") else set()  # type: ignore[operator]
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        leaf = name.rpartition(".")[2]
        decays = parameter.ndim > 1 and "pos" not in leaf and "token" not in leaf and name not in exempt
        if parameter.requires_grad:
            groups[decays].append(parameter)
    return [
        {"params": groups[True], "weight_decay": weight_decay},
        # An optimiser of matrices, such as timm's Muon, has another one for what this names.
        {"params": groups[False], "weight_decay": 0.0, "use_fallback": True},
    ]
