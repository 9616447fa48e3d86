"""A checkpoint into a model: whole, or with a new head for other classes."""

from __future__ import annotations

from torch import nn

from vitbench.errors import UnusableError
from vitbench.training.checkpoint import State, load_state, read_state


def load(model: nn.Module, checkpoint: str, *, head: str, classifier: str) -> None:
    """Fill a model with a checkpoint.

    Args:
        model: what is filled, in place.
        checkpoint: path of a state dict of the same model; empty for none, which leaves the initial values.
        head: ``own`` takes the checkpoint's head, too; ``new`` is one of zeros, as the ViT paper fine-tunes
            (arXiv 2010.11929, section 3.2).
        classifier: name of the model's head.

    Raises:
        UnusableError: the checkpoint cannot be read or does not fit.
    """
    if checkpoint:
        fill(model, read_state(checkpoint, names=model.state_dict()), checkpoint, head=head, classifier=classifier)


def fill(model: nn.Module, state: State, checkpoint: str, *, head: str, classifier: str) -> None:
    """Fill a model with what was read of a checkpoint; arguments and errors are those of `load`."""
    layer, weight = model.get_submodule(classifier), f"{classifier}.weight"
    if head == "new":
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
        new = {f"{classifier}.{name}": tensor for name, tensor in layer.state_dict().items()}
        state = State.of({**state, **new}, state.taken)
    elif weight in state and len(state[weight]) != len(layer.weight):  # type: ignore[arg-type]
        raise UnusableError(
            f"checkpoint {checkpoint} has a head for {len(state[weight])} classes, and the data have "
            f"{len(layer.weight)}; head=new makes a new head"  # type: ignore[arg-type]
        )
    load_state(model, state, source=checkpoint)
