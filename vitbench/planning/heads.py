"""The head of weights that are scored as they are: how many classes it has, and which of them judge which data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitbench.errors import UnusableError
from vitbench.planning.class_map import read_class_map
from vitbench.planning.resolve import ResolvedModel
from vitbench.records import DataInfo, Head
from vitbench.specs import OptionValue

if TYPE_CHECKING:
    from vitbench.worker.heads import Outputs

__all__ = ["CLASSES", "CLASS_MAP", "OwnHead", "describe_head", "own_head", "resolve_head"]

CLASS_MAP, CLASSES = "class_map", "classes"
"""Options that a recipe which trains nothing may have: a file that says which classes of a head mean which class of the
data, and whether the others are left out (``subset``) or compete (``all``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnHead:
    """The head that weights bring with them."""

    outputs: int
    """How many classes it tells apart."""
    names: tuple[tuple[str, ...], ...] = ()
    """The names of each output's class; empty where nothing says them."""


def own_head(model: ResolvedModel, data: DataInfo) -> OwnHead:
    """Return the head of a model whose weights are scored; where nothing is known of it, it has the data's classes.

    Raises:
        UnusableError: its checkpoint has another number of classes than the user names.
    """
    from vitbench.worker.weights import BY_FILE, BY_NAME

    names = model.outputs
    counted = _outputs_in_checkpoint(model, data) if model.names_source != BY_FILE else None
    if counted is not None and counted != len(names):
        if model.names_source == BY_NAME:
            raise UnusableError(
                f"the head in its checkpoint has {counted:,} classes, and its class_names are {len(names):,}; give one "
                "line for each output"
            )
        names = ()
    return OwnHead(outputs=len(names) or counted or len(data.class_names), names=names)


def resolve_head(own: OwnHead, data: DataInfo, options: Mapping[str, OptionValue]) -> tuple[Head, str]:
    """Return a head as it is scored on some data, and by what its classes were matched, in words.

    Args:
        own: of the weights.
        data: what they are scored on.
        options: of the recipe, complete.

    Raises:
        UnusableError: the classes do not meet, or the class map cannot be used.
    """
    from vitbench.worker.heads import match, match_map

    of_classes: Outputs
    if path := options.get(CLASS_MAP):
        given, how = read_class_map(str(path)), "by the class map"
        of_classes = match_map(data.class_names, own.names, own.outputs, given)
    else:
        of_classes, how = match(data.class_names, own.names, own.outputs)
    others = tuple(_others(data, own, of_classes)) if options.get(CLASSES) == "all" else ()
    return Head(outputs=own.outputs, of_classes=of_classes, others=others), how


def describe_head(model: ResolvedModel, data: DataInfo, head: Head, how: str) -> Iterator[str]:
    """Yield how the classes of a model's weights meet those of some data, where they are not the same."""
    from vitbench.worker.heads import BY_NAME
    from vitbench.worker.weights import BY_SPEC

    owner, order = f"model {model.label}", f"the order of {data.title}'s"
    if not how:
        names = ", ".join(data.class_names[:3]) + (", ..." if len(data.class_names) > 3 else "")
        words = f"the classes of its weights are unnamed; its outputs are taken in {order} ({names})"
        yield f"{owner}: {words}. Specify them: :class_names=FILE"
        return
    named = f", as {model.names_source} names them" if model.names_source and how == BY_NAME else ""
    if head.in_words:
        yield f"{owner}: scored on {head.in_words}, matched {how}{named}"
    elif head.of_classes:
        yield (
            f"{owner}: its weights' classes are in a different order from {data.title}'s, and are matched {how}{named}"
        )
    elif how != BY_NAME or (model.names_source == BY_SPEC and "checkpoint" in model.files):
        yield f"{owner}: its outputs are {data.title}'s classes in their order, matched {how}{named}"


def _others(data: DataInfo, own: OwnHead, of_classes: Outputs) -> Iterator[str]:
    """Yield a name for each output that means no class of the data; none of them is that of a class of the data."""
    used = {output for outputs in of_classes for output in outputs} or {*range(own.outputs)}
    taken = {*data.class_names}
    for output in range(own.outputs):
        if output not in used:
            name = next(iter(own.names[output] if own.names else ()), f"output {output}")
            yield name if name not in taken else f"{name} (output {output})"


def _outputs_in_checkpoint(model: ResolvedModel, data: DataInfo) -> int | None:
    """Return how many classes the head in a model's checkpoint has; None where it has none, or that cannot be told.

    The head is what has another shape in a model for another number of classes.
    """
    from vitbench.training.checkpoint import read_state

    path = model.options.get("checkpoint") if "checkpoint" in model.files else None
    if not path:
        return None
    try:
        two, three = (_shapes(model, data, number) for number in (2, 3))
        state = read_state(str(path), names=two)
        found = {
            state[name].shape[axis]
            for name, shape in two.items()
            if name in state and state[name].ndim == len(shape) == len(three.get(name, ()))
            for axis, (side, other) in enumerate(zip(shape, three[name], strict=True))
            if other == side + 1
        }
    except KeyboardInterrupt:
        raise
    except BaseException:  # what it is, building the model tells
        return None
    return found.pop() if len(found) == 1 else None


def _shapes(model: ResolvedModel, data: DataInfo, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a model's state for so many classes, by name."""
    import torch

    from vitbench import contract
    from vitbench.specs import load_target
    from vitbench.worker.build import without_weights

    spec = model.spec
    offered: dict[str, Any] = {
        "num_classes": num_classes,
        "image_size": spec.input_size or data.shape[1:],
        "in_channels": spec.in_channels or data.shape[0],
    }
    with torch.device("meta"):
        built = contract.call(load_target(spec.build), offered, spec.build_arguments(without_weights(model.options)))
    return {
        name: tuple(tensor.shape) for name, tensor in built.state_dict().items() if isinstance(tensor, torch.Tensor)
    }
