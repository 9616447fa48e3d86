"""A checkpoint into a model: whole or with a new head for other classes, and for images of another size.

Dosovitskiy et al. (arXiv 2010.11929), section 3.2: "we perform 2D interpolation of the pre-trained position
embeddings, according to their location in the original image". The filter is timm's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from vitbench.errors import UnusableError
from vitbench.training.card import read_card
from vitbench.training.checkpoint import POSITIONS, State, load_state, read_state

from .positions import Grid, offsets, resized, resized_biases


def load(
    model: nn.Module,
    checkpoint: str,
    *,
    head: str,
    classifier: str,
    positions: str = "",
    biases: Sequence[str] = (),
    grid: Grid = (1, 1),
    prefix: int = 1,
) -> None:
    """Fill a model with a checkpoint.

    Args:
        model: what is filled, in place. It says in its facts whether positions were interpolated.
        checkpoint: path of a state dict of the same model; empty for none, which leaves the initial values.
        head: ``own`` takes the checkpoint's head, too; ``new`` is one of zeros, as the ViT paper fine-tunes.
        classifier: name of the model's head.
        positions: name of its learned positions, which are interpolated where the checkpoint's are of another grid;
            empty where it has none.
        biases: names of its biases of relative positions, likewise.
        grid: rows and columns of its patches.
        prefix: tokens before the patches, such as the class token.

    Raises:
        UnusableError: the checkpoint cannot be read or does not fit.
    """
    if checkpoint:
        state = read_state(checkpoint, names=model.state_dict())
        fill(
            model,
            state,
            checkpoint,
            head=head,
            classifier=classifier,
            positions=positions,
            biases=biases,
            grid=grid,
            prefix=prefix,
        )


def fill(
    model: nn.Module,
    state: State,
    checkpoint: str,
    *,
    head: str,
    classifier: str,
    positions: str = "",
    biases: Sequence[str] = (),
    grid: Grid = (1, 1),
    prefix: int = 1,
) -> None:
    """Fill a model with what was read of a checkpoint; arguments and errors are those of `load`."""
    layer, weight = model.get_submodule(classifier), state.get(f"{classifier}.weight")
    if head == "new":
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
        new = {f"{classifier}.{name}": tensor for name, tensor in layer.state_dict().items()}
        state = State.of({**state, **new}, state.taken)
    elif weight is not None and weight.ndim == 2 and len(weight) != len(layer.weight):  # type: ignore[arg-type]
        raise UnusableError(
            f"checkpoint {checkpoint} has a head for {len(weight)} classes, but the data has {len(layer.weight)}; "
            "head=new makes a new head"  # type: ignore[arg-type]
        )
    moved, said = dict[str, Tensor](), ""
    for name in (positions, *biases):
        table = state.get(name)
        if table is None or table.ndim != (2 if name in biases else 3):
            continue  # `load_state` says what does not fit
        if name in biases:
            given, move = _grid_of(len(table) - 3 * prefix, offsets, grid, checkpoint), resized_biases
        else:
            given = _grid_of(table.shape[1] - prefix, math.prod, grid, checkpoint)
            move = partial(interpolated, prefix=prefix)
        if given is not None and given != grid:
            moved[name] = move(table.float(), given, grid).to(table.dtype)
            said = f"interpolated from {given[0]}x{given[1]} to {grid[0]}x{grid[1]}"
    load_state(model, State.of({**state, **moved}, state.taken), source=checkpoint)
    if said:
        model.facts = {**getattr(model, "facts", {}), POSITIONS: said}  # type: ignore[assignment]


def interpolated(positions: Tensor, given: Grid, wanted: Grid, prefix: int) -> Tensor:
    """Return positions ``[1, prefix + h * w, D]`` of one grid of patches for another."""
    first, patches = positions.tensor_split([prefix], dim=1)
    return torch.cat([first, resized(patches, given, wanted, corners=False)], dim=1)


def _grid_of(count: int, rows_for: Callable[[Grid], int], own: Grid, path: str) -> Grid | None:
    """Return the grid for which a table has so many rows; None: there is none.

    It has the shape of the images that the file names. Where it names none, it is the model's own or a square.
    """
    size = read_card(path).image_size
    if size is None and rows_for(own) == count:
        return own
    height, width = size or (1, 1)
    fitting = list[Grid]()
    for rows in range(1, count + 1):
        least = max(1, rows * width // height)
        if rows_for((rows, least)) > count:
            break
        fitting += [(rows, each) for each in (least, least + 1) if rows_for((rows, each)) == count]
    return min(fitting, key=lambda grid: abs(grid[0] * width - grid[1] * height), default=None)
