"""What tells a model's tokens their places: found in any model, by the names and shapes that models give it.

Shapes: N tokens, of which n = rows x columns are patches, D width, H heads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitbench.attention import patch_grid
from vitbench.errors import UnusableError

from .layers import grid_of

Size = tuple[int, int]

_ADDED = re.compile(
    r"(^|\.)(pos|position|positions|positional|patch_pos)(_?(emb|embed|embeds|embedding|embeddings|encoding))?(_?\d+)?"
    r"(\.weight)?$"
)
"""Names of vectors that are added to tokens: pos_embed, pos_embedding, position_embeddings, positional_embedding."""
_ABOUT_PLACES = re.compile(
    r"(^|[._])(r?pos|position|positions|positional|rel|relative|rope|rotary|cpb)([._]|$|_?emb|_?enc)"
)
_BY_OFFSET = {"rel_pos_h": "row", "rel_pos_w": "column"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """Vectors that are added to the tokens."""

    name: str
    vectors: Tensor
    """float[rows, columns, D], of the patches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Biases:
    """What is added to the logits of one attention, by the offset from query to key."""

    name: str
    table: Tensor
    """float[H, 2 rows - 1, 2 columns - 1]: the middle is the query's own position."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OffsetVectors:
    """A vector for each offset along one axis."""

    name: str
    vectors: Tensor
    """float[offsets, D]"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turns:
    """Angles by which queries and keys are turned."""

    name: str
    layers: tuple[tuple[Tensor, Tensor], ...]
    """Of each layer, one where all are alike: cosine and sine, float[H, n, angles], of one head where all are alike."""
    grid: Size


Places = Added | Biases | OffsetVectors | Turns


def places_of(model: nn.Module, size: Size) -> tuple[list[Places], list[str]]:
    """Return all that is known to tell places, and the names of what seems to and is not known.

    Args:
        model: left as it is.
        size: height and width of its input.
    """
    found: list[Places] = []
    taken: list[str] = []
    with torch.no_grad():
        for name, module in model.named_modules():
            for read in (_turns, _biases, _offset_vectors):
                several = list(read(name, module, model, size))
                found += several
                if several or (read is _biases and hasattr(module, "relative_position_index")):
                    taken.append(name)
        tensors = {name: one.detach() for name, one in (*model.named_parameters(), *model.named_buffers())}
        for name, tensor in tensors.items():
            if any(name.startswith(f"{each}.") for each in taken if each):
                continue
            if (added := _added(name, tensor, model, size)) is not None:
                found.append(added)
                taken.append(name)
    unknown = [
        name
        for name, tensor in tensors.items()
        if _ABOUT_PLACES.search(name)
        and tensor.is_floating_point()
        and not any(name == each or name.startswith(f"{each}.") for each in taken)
    ]
    return found, unknown


def _added(name: str, tensor: Tensor, model: nn.Module, size: Size) -> Added | None:
    if not (_ADDED.search(name) or name.endswith("position.table")) or not tensor.is_floating_point():
        return None
    table = tensor[0] if tensor.dim() in (3, 4) and len(tensor) == 1 else tensor
    try:
        if table.dim() == 2:  # [N, D]
            prefix, grid = grid_of(len(table), model, size)
            return Added(name=name, vectors=table[prefix:].unflatten(0, grid))
        if table.dim() == 3:  # [D, rows, columns] or [rows, columns, D]
            for vectors in (table.permute(1, 2, 0), table):
                rows, columns = vectors.shape[:2]
                if rows * size[1] == columns * size[0] and vectors.shape[2] not in (rows, columns):
                    return Added(name=name, vectors=vectors)
    except UnusableError:
        pass
    return None


def _biases(name: str, module: nn.Module, model: nn.Module, size: Size) -> Iterator[Biases]:
    """Give what is found in one module, of bias[q, k] for each head, as a table by offset."""
    window = getattr(module, "window_size", None)
    shape = tuple(window) if isinstance(window, tuple | list) and len(window) == 2 else size
    for several, bias in _matrices(module):
        if (table := by_offset(bias, shape, model)) is not None:
            yield Biases(name=f"{name}.{several}" if several else name, table=table)


def _matrices(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Give biases [H, N, N], as each kind of module makes them of its table."""
    table, index = (
        getattr(module, "relative_position_bias_table", None),
        getattr(module, "relative_position_index", None),
    )
    if isinstance(table, Tensor) and isinstance(index, Tensor) and table.dim() == 2:  # Swin, BEiT
        tokens = round(index.numel() ** 0.5)
        yield "", table[index.reshape(-1)].view(tokens, tokens, -1).permute(2, 0, 1)
    elif callable(bias := getattr(module, "get_bias", None)):  # timm's relative positions
        yield "", bias()[0]
    table, index = getattr(module, "attention_biases", None), getattr(module, "attention_bias_idxs", None)
    if isinstance(table, Tensor) and isinstance(index, Tensor):  # LeViT
        yield "", table[:, index]
    tables, index = getattr(module, "tables", None), getattr(module, "table", None)
    if isinstance(tables, nn.ParameterList) and isinstance(index, Tensor):  # this project's vit2d
        for number, one in enumerate(tables):
            yield f"tables.{number}", one[index].permute(2, 0, 1)


def by_offset(bias: Tensor, shape: Size, model: nn.Module) -> Tensor | None:
    """Return bias[H, q, k] of patches as a table by the offset from query to key; None where they are not a grid."""
    if bias.dim() != 3 or bias.shape[1] != bias.shape[2]:
        return None
    try:
        prefix, (rows, columns) = grid_of(bias.shape[1], model, shape)
    except UnusableError:
        try:
            prefix, (rows, columns) = patch_grid(bias.shape[1], (1, 1))
        except UnusableError:
            return None
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).to(bias.device)
    down, right = (places[None] - places[:, None]).unbind(2)
    table = bias.new_zeros(len(bias), 2 * rows - 1, 2 * columns - 1)
    table[:, down + rows - 1, right + columns - 1] = bias[:, prefix:, prefix:]
    return table


def _offset_vectors(name: str, module: nn.Module, model: nn.Module, size: Size) -> Iterator[OffsetVectors]:
    for own, axis in _BY_OFFSET.items():  # MViT, SAM
        if isinstance(table := getattr(module, own, None), Tensor):
            yield OffsetVectors(name=f"{name}, {axis}s", vectors=table.detach())
    for own in ("keys", "values"):  # this project's vit2d, [layers, 2, a class token and offsets, D]
        table = getattr(module, own, None)
        if isinstance(table, nn.Parameter) and table.dim() == 4 and table.shape[1] == 2:
            for number, (columns, rows) in enumerate(table.detach()):
                for axis, one in (("rows", rows), ("columns", columns)):
                    yield OffsetVectors(name=f"layer {number + 1}, {own}, {axis}", vectors=one[1:])


def _turns(name: str, module: nn.Module, model: nn.Module, size: Size) -> Iterator[Turns]:
    layers: list[tuple[Tensor, Tensor]]
    if callable(turns := getattr(module, "turns", None)):  # this project's vit2d: [2, n, angles] or [2, H, n, angles]
        grid = module.grid
        layers = [tuple(turns(block, grid)) for block in range(module.depth)]
    elif callable(embed := getattr(module, "get_embed", None)):  # timm's: sine and cosine in one, or a pair of them
        made = _embedding(embed, model)
        if made is None:
            return
        sine, cosine = made if isinstance(made, tuple) else made.chunk(2, dim=-1)
        layers = list(zip(cosine, sine, strict=True)) if sine.dim() > 2 else [(cosine, sine)]
        try:
            grid = patch_grid(sine.shape[-2], size, 0)[1]
        except UnusableError:
            return
    else:
        return
    whole = [(cosine, sine) if cosine.dim() == 3 else (cosine[None], sine[None]) for cosine, sine in layers]
    first = whole[0]
    alike = all(torch.equal(one, other) for layer in whole for one, other in zip(layer, first, strict=True))
    yield Turns(name=name, layers=tuple(whole[:1] if alike else whole), grid=grid)


def _embedding(embed: Callable[..., Tensor | tuple[Tensor, Tensor] | None], model: nn.Module):  # type: ignore[no-untyped-def]
    """Return what a rotary module of timm's gives for the model's own grid; None where it gives nothing."""
    grid = next((each.grid_size for each in model.modules() if hasattr(each, "grid_size")), None)
    try:
        return embed(shape=list(grid)) if grid is not None else embed()
    except (AssertionError, TypeError, ValueError):
        return None
