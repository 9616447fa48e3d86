"""What the checks of models share: how a model is built and called, at which sizes, and what it costs.

Shapes: B images in a batch, C channels, H height and W width in pixels, K classes.
"""

from __future__ import annotations

import functools
import pickle
import random
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vitbench import contract
from vitbench.catalog.options import parse_size
from vitbench.errors import Skip, UnusableError, UsageError
from vitbench.measuring.flops import count_macs, count_params
from vitbench.measuring.steps import InvalidOutput, check_output
from vitbench.printable import short_size
from vitbench.specs import load_target
from vitbench.testing.cases import ModelCase
from vitbench.testing.checks import TOO_LARGE, CheckFailed, need, raised
from vitbench.testing.fitting import fit, tensors_of, tiny_problem
from vitbench.worker.build import fill_zeros
from vitbench.worker.runtime import seed_all

__all__ = [
    "CLASSES",
    "alive",
    "build",
    "cheapest_device",
    "counts",
    "generators",
    "larger_size",
    "logits_of",
    "noise",
    "on_meta",
    "own_channels",
    "sample",
    "shape_device",
    "sizes",
]

CLASSES = 10
"""K, where nothing else is asked for."""
Size = tuple[int, int]
"""Height and width."""
SIZES: tuple[Size, ...] = ((32, 32), (8, 8), (32, 64), (64, 64))
"""Sizes that a model may meet which follows the data: CIFAR's, the digits', a rectangle, Tiny ImageNet's. The values of
such a model are checked at the first that it takes."""
LARGE_SIZE: Size = (224, 224)
"""ImageNet's. It is met on the meta device alone, unless the model takes none of the others."""
MOST_PARAMETERS = 40_000_000
MOST_MACS = 6_000_000_000
"""Of one image. A model that costs more (a ResNet-50, a ViT-S or a ConvNeXt-T at 224 pixels do not) has its shapes
checked, on the meta device, and not its values."""


def build(
    case: ModelCase,
    *,
    num_classes: int = CLASSES,
    image_size: Size | None = None,
    in_channels: int | None = None,
    device: str = "cpu",
    fitted: bool = True,
) -> nn.Module:
    """Return the model as `build` gives it, and as its recipe leaves it where it is a baseline.

    Args:
        case: the model.
        num_classes: K.
        image_size: (H, W); None: what the model declares, else the first of `SIZES` that it takes.
        in_channels: C; None: what it declares, else three.
        device: ``cpu`` or ``meta``.
        fitted: whether a baseline's recipe is called.

    Raises:
        CheckFailed: it raised, or gave no module, or a lazy one.
        Skip: what it requires is not installed, or its weights are not available.
        UnusableError: it cannot be imported.
    """
    size, channels = image_size or sizes(case)[0], in_channels or own_channels(case)
    model = _build(case, num_classes, size, channels, device)
    if case.recipe is None or not fitted:
        return model
    return fit(case.recipe, model, tiny_problem(num_classes=num_classes, image_size=size, in_channels=channels))


def _build(case: ModelCase, num_classes: int, image_size: Size, in_channels: int, device: str) -> nn.Module:
    asked = {"num_classes": num_classes, "image_size": image_size, "in_channels": in_channels}
    need(case.spec.requires)
    load_target(case.spec.build)  # what cannot be imported is no broken contract, and is never skipped
    call = f"build({', '.join(f'{name}={value}' for name, value in asked.items())})"
    try:
        model = _call_build(case, asked, device)
    except UnusableError as error:
        if case.spec.downloads:
            raise Skip(f"needs weights: {error}") from error
        raise CheckFailed(f"{call} raised {raised(error)}") from error
    except Exception as error:
        raise CheckFailed(f"{call} {_met(error, device)}") from error
    if not isinstance(model, nn.Module):
        raise CheckFailed(f"{call} returned {type(model).__name__}; return a torch.nn.Module")
    lazy = [name for name, tensor in tensors_of(model) if is_lazy(tensor)]
    if lazy:
        raise CheckFailed(f"{call} leaves the shape of {lazy[0]} open; give a whole model, without lazy modules")
    return model


def _met(error: Exception, device: str) -> str:
    """Return what a model's code raised; on the meta device with what to do about it."""
    words = f"raised {raised(error)}"
    if device != "meta":
        return words
    if "meta tensor" in str(error):
        return f"{words} on the meta device, where tensors have no values; compute numbers without torch"
    return f"{words} on the meta device; register tensors as buffers, and let no value decide a shape"


def _call_build(case: ModelCase, asked: dict[str, Any], device: str) -> Any:
    weightless = {"pretrained": False} if "pretrained" in case.spec.defaults else {}
    options = {**case.spec.defaults, **weightless, **case.options}
    # The CPU is the default already; a context that says so would show in torch's flags.
    with torch.device(device) if device != "cpu" else nullcontext():
        return contract.call(load_target(case.spec.build), asked, case.spec.build_arguments(options))


@functools.cache
def sizes(case: ModelCase) -> tuple[Size, ...]:
    """Return the sizes that the model takes: the chosen or declared one, or all that `build` does not refuse.

    `LARGE_SIZE` is the last of these.

    Raises:
        CheckFailed: `build` refuses all of them with UsageError.
        Skip: it refuses all, or finds no file, and an option that may name one is empty; or what it requires is not
            installed.
    """
    need(case.spec.requires)
    declared, empty = parse_size(case.options.get("image_size")) or case.spec.input_size, _empty_files(case)
    if declared and not empty:
        return (declared,)
    taken, refusal = [], ""
    for size in (declared,) if declared else (*SIZES, LARGE_SIZE):
        try:
            _call_build(case, {"num_classes": CLASSES, "image_size": size, "in_channels": own_channels(case)}, "meta")
        except UsageError as error:
            refusal = str(error)
            continue
        except FileNotFoundError as error:
            if empty:
                raise _lack(case, empty, str(error)) from error
        except Exception:  # no refusal; the checks that build it will tell
            pass
        taken.append(size)
    if not taken and empty:
        raise _lack(case, empty, refusal)
    if not taken:
        asked = ", ".join(str(short_size(size)) for size in sorted((*SIZES, LARGE_SIZE)))
        raise CheckFailed(f"build refuses images of {asked} pixels ({refusal}); declare the image_size that it takes")
    return tuple(taken)


def _empty_files(case: ModelCase) -> list[str]:
    """Return the options that name no file; not ``checkpoint``, without which the core builds every model."""
    files = [name for name, option in case.spec.declared.items() if option.kind == "file" and name != "checkpoint"]
    return [name for name in files if not case.options.get(name, case.spec.defaults[name])]


def _lack(case: ModelCase, empty: list[str], refusal: str) -> Skip:
    """Return why a model is skipped that `build` refuses: for the empty option that it speaks of, or for any."""
    named = [name for name in empty if name in refusal] or empty
    asked = f"{case.spec.name}:{named[0]}=PATH"
    return Skip(f"its option {' or '.join(named)} needs a file, which the kit does not have; check {asked} ({refusal})")


def larger_size(case: ModelCase) -> Size | None:
    """Return the largest size that a model which follows the data can be run at; None: the first is the largest."""
    first, *others = sizes(case)
    return max((size for size in others if first < size < LARGE_SIZE), default=None)


def own_channels(case: ModelCase) -> int:
    """Return the channels that the model declares, else three."""
    return case.spec.in_channels or 3


@functools.cache
def on_meta(case: ModelCase, num_classes: int) -> nn.Module:
    """Return the model in eval mode on the meta device, where shapes are checked; kept for the case's other checks.

    Raises:
        CheckFailed, Skip, UnusableError: as `build`.
    """
    return build(case, num_classes=num_classes, device="meta").to("meta").eval()


@functools.cache
def counts(case: ModelCase) -> tuple[int, int]:
    """Return the parameters, and the multiply-accumulates of one image, as they are counted: on the meta device.

    Raises:
        CheckFailed, Skip, UnusableError: as `build`; or the forward pass raised.
    """
    model = on_meta(case, CLASSES)
    try:
        return count_params(model), count_macs(model, (own_channels(case), *sizes(case)[0]))
    except Exception as error:
        raise CheckFailed(f"forward {_met(error, 'meta')}") from error


def _cost(case: ModelCase) -> tuple[int, int] | None:
    """Return `counts`, or None where there are none."""
    try:
        return None if case.spec.is_baseline else counts(case)
    except (CheckFailed, Skip):
        return None


def shape_device(case: ModelCase) -> str:
    """Return the device on which shapes alone are checked: ``meta`` where the model builds there, else ``cpu``."""
    return "cpu" if _cost(case) is None else "meta"


def cheapest_device(case: ModelCase) -> str:
    """Return ``cpu``, or ``meta`` for a model that is too large to run here."""
    return "meta" if _excess(case) else "cpu"


def _excess(case: ModelCase) -> str:
    """Return how large a model is that is too large to run here; nothing for others."""
    parameters, macs = _cost(case) or (0, 0)
    if parameters <= MOST_PARAMETERS and macs <= MOST_MACS:
        return ""
    return f"{parameters / 1e6:.0f} M parameters, {macs / 1e9:.1f} GMACs"


def sample(case: ModelCase, *, num_classes: int = CLASSES, image_size: Size | None = None) -> nn.Module:
    """Return a model whose values are to be checked, in eval mode, and `alive`.

    Raises:
        Skip: it is too large to run here; or as `build`.
        CheckFailed, UnusableError: as `build`.
    """
    excess = _excess(case)
    if excess:
        raise Skip(f"{TOO_LARGE} ({excess}), its shapes are checked; smaller options show the rest")
    sizes(case)  # found out before the seed is set, since building draws
    seed_all(0)
    return alive(build(case, num_classes=num_classes, image_size=image_size)).eval()


def alive(model: nn.Module) -> nn.Module:
    """Return a model whose parameters are not all zero anywhere."""
    fill_zeros(model, std=0.1, generator=torch.Generator().manual_seed(0))
    return model


def generators() -> dict[str, object]:
    """Return the states of the generators that a plugin might draw from, by name, as values that compare."""
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": pickle.dumps(np.random.get_state()),
        "random": random.getstate(),
    }


def noise(
    case: ModelCase,
    count: int,
    *,
    image_size: Size | None = None,
    in_channels: int | None = None,
    device: str = "cpu",
) -> Tensor:
    """Return images float32 ``[B, C, H, W]`` of normal noise, always the same."""
    size, channels = image_size or sizes(case)[0], in_channels or own_channels(case)
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, channels, *size, generator=generator).to(device)


def logits_of(model: nn.Module, images: Tensor, num_classes: int = CLASSES) -> Tensor:
    """Return the logits ``[B, K]``, or raise CheckFailed where the model raises or gives something else."""
    try:
        output = model(images)
    except Exception as error:
        shape = list(images.shape)
        raise CheckFailed(f"forward of images {shape} raised {raised(error)}") from error
    try:
        check_output(output, images, num_classes)
    except InvalidOutput as error:
        raise CheckFailed(str(error)) from error
    assert isinstance(output, Tensor)
    return output
