"""Learned positions of a Vision Transformer for images of another size: interpolated as a picture of vectors.

Dosovitskiy et al. (arXiv 2010.11929), section 3.2: "we perform 2D interpolation of the pre-trained position
embeddings, according to their location in the original image". The filter is timm's: bicubic, with antialiasing where
the grid shrinks.

Shapes: h and w, rows and columns of patches; D width of a token.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.errors import UnusableError
from vitbench.training.card import read_card
from vitbench.training.checkpoint import POSITIONS, State, load_state, read_state

NUM_PREFIX = 1
"""Tokens before those of the patches: the class token."""


def load_at_size(model: nn.Module, path: str, *, key: str, grid: tuple[int, int]) -> None:
    """Read a checkpoint into a model; positions of another grid are interpolated, which the model says in its facts.

    Args:
        model: that the rest must fit one to one.
        path: of the checkpoint.
        key: the name of its positions.
        grid: h and w of the model.

    Raises:
        UnusableError: the file cannot be read or does not fit, or its positions form no grid.
    """
    load_with_positions(model, read_state(path, names=model.state_dict()), path=path, key=key, grid=grid)


def load_with_positions(model: nn.Module, state: State, *, path: str, key: str, grid: tuple[int, int]) -> None:
    """Load a state that was read; arguments and errors as those of `load_at_size`."""
    said = ""
    positions = state.get(key)
    if isinstance(positions, Tensor) and positions.ndim == 3:
        height, width = given = _grid_of(positions.shape[1] - NUM_PREFIX, path)
        if given != grid:
            state = State.of({**state, key: interpolated(positions, given, grid)}, state.taken)
            said = f"interpolated from {height}x{width} to {grid[0]}x{grid[1]}"
    load_state(model, state, source=path)
    if said:
        model.facts = {**getattr(model, "facts", {}), POSITIONS: said}  # type: ignore[assignment]


def interpolated(positions: Tensor, given: tuple[int, int], wanted: tuple[int, int]) -> Tensor:
    """Return positions ``[1, 1 + h * w, D]`` of one grid for another."""
    prefix, patches = positions[:, :NUM_PREFIX], positions[:, NUM_PREFIX:]
    picture = patches.float().unflatten(1, given).permute(0, 3, 1, 2)  # [1, D, h, w]
    picture = F.interpolate(picture, size=wanted, mode="bicubic", align_corners=False, antialias=True)
    return torch.cat([prefix, picture.flatten(2).transpose(1, 2).to(positions.dtype)], dim=1)


def _grid_of(count: int, path: str) -> tuple[int, int]:
    """Return rows and columns of so many patches: in proportion to the images that the file names, else a square."""
    height, width = read_card(path).image_size or (1, 1)
    rows = max(1, round(math.sqrt(count * height / width)))
    if rows * (columns := count // rows) != count:
        raise UnusableError(
            f"checkpoint {path} does not fit the model: its {count} positions form no grid of {height}:{width}"
        )
    return rows, columns
