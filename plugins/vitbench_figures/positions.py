"""How a model encodes the positions of its tokens.

Vectors that are added to tokens, by their cosine similarity: Dosovitskiy et al. 2021 (arXiv 2010.11929), figure 7,
middle. Biases by offset (Liu et al. 2021, arXiv 2103.14030), rotations (Su et al. 2021, arXiv 2104.09864; Heo et al.
2024, 2403.13298) and vectors by offset (Shaw et al. 2018, 1803.02155) as what they are.

Shapes: H heads, a grid of rows x columns patches, n in all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vitbench import Skip
from vitbench.figures import FigureSubject, Grid, Scale, Tile

from .position_tables import Added, Biases, OffsetVectors, Turns, places_of

TITLE = "Positions"
MOST_SIDE = 8
"""Rows of tiles of a grid; of more patches every second or third is shown."""
COSINE = Scale(label="cosine similarity", low=-1.0, high=1.0, diverging=True)


def draw(subject: FigureSubject) -> Iterator[Grid]:
    """Give pictures of each way in which the model tells places.

    Raises:
        Skip: there is none, or none that is known.
    """
    found, unknown = places_of(subject.model, (subject.input_shape[1], subject.input_shape[2]))
    if not found and unknown:
        kinds = f"{unknown[0]}" + (f" and {len(unknown) - 1} more" if unknown[1:] else "")
        raise Skip(f"positions of this kind are not supported: {kinds}")
    if not found:
        raise Skip("none: the model has no position embeddings, biases or rotations")
    for each in found:
        if isinstance(each, Added):
            yield _grid_of_grids(
                similarity(each.vectors.flatten(0, 1)).unflatten(0, each.vectors.shape[:2]),
                step=f"embeddings ({each.name})",
                note="Each tile: how similar the embedding of its patch is to that of each patch.",
            )
        elif isinstance(each, Turns):
            yield _turned(each)
    yield from _biases([each for each in found if isinstance(each, Biases)])
    yield from _by_offset([each for each in found if isinstance(each, OffsetVectors)])


def similarity(vectors: Tensor) -> Tensor:
    """Return the cosine similarity of each two of some vectors float[n, D]: float[n, n]."""
    unit = F.normalize(vectors.double(), dim=-1)
    return (unit @ unit.mT).clamp(-1, 1).float()


def turned_alike(cosine: Tensor, sine: Tensor) -> Tensor:
    """Return how alike one vector, equally long in all pairs, is to itself turned at another place: float[H, n, n]."""
    return ((cosine @ cosine.mT + sine @ sine.mT) / cosine.shape[-1]).clamp(-1, 1).float()


def _grid_of_grids(alike: Tensor, *, step: str, note: str) -> Grid:
    """Return a tile for each patch, or each second or third, of float[rows, columns, n]."""
    rows, columns = alike.shape[:2]
    every = -(-max(rows, columns) // MOST_SIDE)
    downs, rights = (range((side - 1) % every // 2, side, every) for side in (rows, columns))
    values = alike.cpu().unflatten(2, (rows, columns)).numpy()
    ordinal = {2: "second", 3: "third"}.get(every, f"{every}th")
    return Grid(
        title=TITLE,
        tiles=tuple(Tile(values=values[down, right]) for down in downs for right in rights),
        columns=len(rights),
        row_labels=tuple(f"{down + 1}" for down in downs),
        column_labels=tuple(f"{right + 1}" for right in rights),
        scale=COSINE,
        note=note + (f" Every {ordinal} row and column of {rows}x{columns} patches." if every > 1 else ""),
        step=step,
    )


def _turned(turns: Turns) -> Grid:
    """Return rotations as a grid of grids where all are alike, else the middle patch's for each layer and head."""
    alike = [turned_alike(cosine.cpu(), sine.cpu()) for cosine, sine in turns.layers]
    step = f"rotations ({turns.name})"
    how = "how similar a query is to an equal key once both are rotated"
    if len(alike) == 1 and len(alike[0]) == 1:
        note = f"Each tile: {how}, from its patch to each patch."
        return _grid_of_grids(alike[0][0].unflatten(0, turns.grid), step=step, note=note)
    rows, columns = turns.grid
    middle = rows // 2 * columns + columns // 2
    tiles = [Tile(values=head[middle].unflatten(0, turns.grid).numpy()) for layer in alike for head in layer]
    return Grid(
        title=TITLE,
        tiles=tuple(tiles),
        columns=len(alike[0]),
        row_labels=tuple(f"layer {number + 1}" for number in range(len(alike))),
        column_labels=tuple(f"head {head + 1}" for head in range(len(alike[0]))),
        scale=COSINE,
        note=f"Each tile: {how}, from the middle patch to each patch.",
        step=step,
    )


def _biases(found: Sequence[Biases]) -> Iterator[Grid]:
    """Give tables of biases, those of one shape in one grid: layers as rows, heads as columns."""
    if not found:
        return
    scale = Scale.of(
        torch.cat([each.table.flatten() for each in found]).float().cpu().numpy(),
        "bias added to the attention logit",
        diverging=True,
    )
    numbered = enumerate(found, 1)
    for shape, group in itertools.groupby(numbered, key=lambda pair: pair[1].table.shape):
        layers = list(group)
        first, last = layers[0][0], layers[-1][0]
        which = f"layer {first}" if first == last else f"layers {first} to {last}"
        yield Grid(
            title=TITLE,
            tiles=tuple(Tile(values=head.float().cpu().numpy()) for _, each in layers for head in each.table),
            columns=shape[0],
            row_labels=tuple(f"layer {number}" for number, _ in layers),
            column_labels=tuple(f"head {head + 1}" for head in range(shape[0])),
            scale=scale,
            note="Each tile: the bias by the offset from query to key; the middle is the query's own position.",
            step=f"relative biases, {which}",
        )


def _by_offset(found: Sequence[OffsetVectors]) -> Iterator[Grid]:
    """Give the likeness of the vectors of each two offsets."""
    if not found:
        return
    columns = min(4, len(found))
    yield Grid(
        title=TITLE,
        tiles=tuple(Tile(values=similarity(each.vectors).cpu().numpy(), title=each.name) for each in found),
        columns=columns,
        scale=COSINE,
        note="Each tile: how similar the vectors of each two offsets are, from the most negative to the most positive.",
        step="vectors by offset",
    )
