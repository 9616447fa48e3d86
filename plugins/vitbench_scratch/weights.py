"""A checkpoint into a model: whole or with a new head for other classes, and for images of another size.

Dosovitskiy et al. (arXiv 2010.11929), section 3.2: "we perform 2D interpolation of the pre-trained position
embeddings, according to their location in the original image". The filter is timm's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vitbench.errors import UnusableError
from vitbench.training.card import read_card
from vitbench.training.checkpoint import POSITIONS, State, load_state, read_state

from .positions import Grid, resized


def load(
    model: nn.Module,
    checkpoint: str,
    *,
    head: str,
    classifier: str,
    positions: str = "",
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
        grid: rows and columns of its patches.
        prefix: positions before those of the patches, as that of the class token.

    Raises:
        UnusableError: the checkpoint cannot be read or does not fit, or its positions form no grid.
    """
    if checkpoint:
        state = read_state(checkpoint, names=model.state_dict())
        fill(model, state, checkpoint, head=head, classifier=classifier, positions=positions, grid=grid, prefix=prefix)


def fill(
    model: nn.Module,
    state: State,
    checkpoint: str,
    *,
    head: str,
    classifier: str,
    positions: str = "",
    grid: Grid = (1, 1),
    prefix: int = 1,
) -> None:
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
    said, table = "", state.get(positions)
    if isinstance(table, Tensor) and table.ndim == 3:
        given = _grid_of(table.shape[1] - prefix, checkpoint)
        if given != grid:
            state = State.of({**state, positions: interpolated(table, given, grid, prefix)}, state.taken)
            said = f"interpolated from {given[0]}x{given[1]} to {grid[0]}x{grid[1]}"
    load_state(model, state, source=checkpoint)
    if said:
        model.facts = {**getattr(model, "facts", {}), POSITIONS: said}  # type: ignore[assignment]


def interpolated(positions: Tensor, given: Grid, wanted: Grid, prefix: int) -> Tensor:
    """Return positions ``[1, prefix + h * w, D]`` of one grid of patches for another."""
    first, patches = positions.tensor_split([prefix], dim=1)
    return torch.cat([first, resized(patches.float(), given, wanted, corners=False).to(positions.dtype)], dim=1)


def _grid_of(count: int, path: str) -> Grid:
    """Return rows and columns of so many patches: in proportion to the images that the file names, else a square."""
    height, width = read_card(path).image_size or (1, 1)
    rows = max(1, round(math.sqrt(count * height / width)))
    if rows * (columns := count // rows) != count:
        raise UnusableError(
            f"checkpoint {path} does not fit the model: its {count} positions form no grid of {height}:{width}"
        )
    return rows, columns
