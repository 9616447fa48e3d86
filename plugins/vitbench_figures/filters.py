"""What the first layer looks for.

Of a patch embedding, the principal components of its filters: Dosovitskiy et al. 2021 (arXiv 2010.11929), figure 7,
left. Of any other convolution, the filters themselves.

Shapes: D filters, C channels, h and w their height and width in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vitbench.figures import FigureSubject, Grid, Scale, Tile

from .first_layer import first_layer

MOST_COMPONENTS = 28
MOST_FILTERS = 64


def draw(subject: FigureSubject) -> Iterator[Grid]:
    """Give a tile for each component or filter.

    Raises:
        Skip: the model's first layer is not a linear map of pixels.
    """
    layer = first_layer(subject.model, subject.input_shape)
    filters = layer.filters.float().cpu()
    height, width = filters.shape[2:]
    if layer.is_embedding:
        shown, shares = principal_components(filters, MOST_COMPONENTS)
        titles = [f"{share:.1%}" for share in shares]
        title = f"Patch embedding, principal components of {len(filters)} filters"
        notes = ["Above each: its share of the filters' variance."]
    else:
        shown = filters[:MOST_FILTERS]
        titles = [""] * len(shown)
        title = (
            f"First layer, {len(shown)} of {len(filters)} filters"
            if len(shown) < len(filters)
            else (f"First layer, {len(filters)} filters")
        )
        notes = []
    notes.insert(0, f"{layer.name}: {height}x{width} pixels.")
    columns = 7 if layer.is_embedding else 8
    tiles, scale, how = _tiles(shown, titles)
    yield Grid(
        title=title,
        tiles=tiles,
        columns=min(columns, len(tiles)),
        scale=scale,
        note=" ".join([*notes, how, layer.note]).strip(),
    )


def principal_components(filters: Tensor, most: int) -> tuple[Tensor, list[float]]:
    """Return the first principal components of filters float[D, C, h, w], of the same shape, and their shares.

    Each has length 1, and the sign that makes its value of largest size positive. Those without a share are left out.
    """
    flat = filters.flatten(1).double()
    _, sizes, components = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    shares = sizes**2 / (sizes**2).sum().clamp(min=torch.finfo(sizes.dtype).tiny)
    count = max(1, min(most, int((shares > 1e-12).sum())))
    components = components[:count]
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    signed = components * largest.sign()
    return signed.unflatten(1, filters.shape[1:]).float(), shares[:count].tolist()


def _tiles(filters: Tensor, titles: list[str]) -> tuple[tuple[Tile, ...], Scale | None, str]:
    """Return a tile for each filter, the scale of its values, and how to read it."""
    if filters.shape[1] == 3:
        sizes = filters.abs().flatten(1).amax(1).clamp(min=1e-12)[:, None, None, None]
        colours = (127.5 + 127.5 * filters / sizes).round().byte().numpy()
        tiles = tuple(Tile(pixels=one, title=title) for one, title in zip(colours, titles, strict=True))
        return tiles, None, "Gray is 0; each tile has its own scale."
    flat = filters.sum(1)
    flat = flat / flat.abs().flatten(1).amax(1).clamp(min=1e-12)[:, None, None]
    tiles = tuple(Tile(values=one.numpy(), title=title) for one, title in zip(flat, titles, strict=True))
    scale = Scale(label="weight (1: the tile's largest)", low=-1.0, high=1.0, diverging=True)
    channels = "" if filters.shape[1] == 1 else f"The sum over {filters.shape[1]} channels."
    return tiles, scale, channels
