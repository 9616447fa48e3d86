"""A model is built on trial before anything is written: a wrong option, or a size that does not do, shows at once."""

from __future__ import annotations

from dataclasses import dataclass

from vitbench.errors import UnusableError, UsageError, reason_of
from vitbench.planning.resolve import Fault, ResolvedModel
from vitbench.records import KeyedCell

__all__ = ["Trial", "try_build"]

USUAL_SIZE = (224, 224)
"""Of a model that follows the data, when its size is tried beside one that a user chose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What came of building a model on trial."""

    fault: Fault | None = None
    said: tuple[str, ...] = ()
    """What it did with its checkpoint, in words."""


def try_build(planned: KeyedCell, model: ResolvedModel) -> Trial:
    """Build a model as its cell will, without weights unless it has a checkpoint.

    At a size that a user chose it is called, too, on the meta device. Any other failure waits for the cell, since what
    fails on the meta device may do elsewhere.

    Returns:
        What `build` refuses with UsageError or UnusableError, that it cannot be imported, or that it does not take the
        size.
    """
    from vitbench.training.checkpoint import FACT, POSITIONS
    from vitbench.worker.build import build_model, facts_of, meta_architecture

    num_classes, said = planned.outputs, list[str]()
    try:
        if "checkpoint" in model.files:
            facts = facts_of(build_model(planned, model.spec, num_classes))
            said += [f"it takes the weights {facts[FACT]} of its checkpoint"] if facts.get(FACT) else []
            said += [f"the positions of its checkpoint are {facts[POSITIONS]}"] if facts.get(POSITIONS) else []
        else:
            meta_architecture(planned, model.spec, num_classes)()
        if "image_size" in model.options:
            return Trial(fault=_size_fault(planned, model, num_classes), said=tuple(said))
    except (UsageError, UnusableError) as error:
        return Trial(fault=Fault(reason=reason_of(error), exit_code=error.exit_code))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, and panics of extensions that are no Exception
        if "image_size" in model.options and isinstance(error, Exception):
            return Trial(fault=_size_fault(planned, model, num_classes), said=tuple(said))
    return Trial(said=tuple(said))


def _size_fault(planned: KeyedCell, model: ResolvedModel, num_classes: int) -> Fault | None:
    """Return that a model does not take the size of its input; None where it does, or where it fails at any size."""
    error = _failure(planned, model, num_classes, planned.image_size)
    if error is None or _failure(planned, model, num_classes, model.own_size or USUAL_SIZE) is not None:
        return None
    height, width = planned.image_size
    words = f"it does not take images of {height}x{width} pixels ({reason_of(error)})"
    return Fault(reason=words, exit_code=UsageError.exit_code)


def _failure(
    planned: KeyedCell, model: ResolvedModel, num_classes: int, image_size: tuple[int, int]
) -> Exception | None:
    """Return what two images of a size make a model raise on the meta device, where nothing is computed."""
    import msgspec
    import torch

    from vitbench.worker.build import meta_architecture

    sized = msgspec.structs.replace(planned, image_size=image_size)
    try:
        with torch.no_grad():
            images = torch.empty(2, planned.in_channels, *image_size, device="meta")
            meta_architecture(sized, model.spec, num_classes)()(images)
    except Exception as error:
        return error
    return None
