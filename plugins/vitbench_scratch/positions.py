"""How the tokens of `vit2d` know where in the image they are: a class for each scheme, all with the same methods.

learned and sincos are added to the tokens (Dosovitskiy et al. 2021); relative is Swin's table of biases (Liu et al.
2021, arXiv 2103.14030); relative-kv has tables on keys and values (Shaw et al. 2018, 1803.02155; in two dimensions as
in s-chh/2D-Positional-Encoding-Vision-Transformer); rope and rope-mixed turn queries and keys (Heo et al. 2024,
2403.13298); cpe is a convolution (Chu et al. 2021, 2102.10882).

Shapes: B images, a grid of rows and columns with n patches, N tokens (a class token, where there is one, then the
patches row by row), D width, H heads, E = D / H.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Grid = tuple[int, int]
"""Rows and columns of patches."""


def coordinates(grid: Grid) -> Tensor:
    """Return column and row of each patch, ``[n, 2]``."""
    return torch.cartesian_prod(*(torch.arange(side) for side in grid)).flip(1)


def bands(count: int, temperature: float) -> Tensor:
    """Return frequencies that fall from 1 towards 1 / temperature, ``[count]``."""
    return temperature ** -(torch.arange(count) / count)


def resized(table: Tensor, before: Grid, after: Grid, *, corners: bool) -> Tensor:
    """Interpolate a table ``[B, h * w, D]`` to another grid; `corners`: the outermost entries stay the outermost."""
    square = table.transpose(1, 2).unflatten(2, before)
    square = F.interpolate(square, after, mode="bicubic", align_corners=corners, antialias=not corners)
    return square.flatten(2).transpose(1, 2)


def offsets(grid: Grid) -> int:
    """Return how many offsets there are between two patches."""
    return (2 * grid[0] - 1) * (2 * grid[1] - 1)


def resized_biases(table: Tensor, before: Grid, after: Grid) -> Tensor:
    """Interpolate biases of offsets ``[offsets + rest, H]`` to those of another grid; the rest stays as it is."""
    spans = [(2 * rows - 1, 2 * columns - 1) for rows, columns in (before, after)]
    patches, rest = table.tensor_split([offsets(before)])
    return torch.cat([resized(patches[None], *spans, corners=True)[0], rest])


class Position(nn.Module):
    """No positions at all. Each scheme overrides what it does; `grid` is that of the images, often the model's own.

    Args:
        grid: the model's own.
        prefix: tokens before the patches, which have no place: 1 or 0.
        width: D.
        heads: H.
        depth: number of blocks, of which the first is 0.
    """

    at_start = True
    """Whether tokens have their places before the first block, and no block adds any: then some can be left out."""
    table: Tensor

    def __init__(self, *, grid: Grid, prefix: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.grid, self.prefix, self.width, self.heads, self.depth = grid, prefix, width, heads, depth
        self.register_buffer("table", self.constants(grid), persistent=False)

    def constants(self, grid: Grid) -> Tensor | None:
        """Return what is not learned."""
        return None

    def at(self, grid: Grid) -> Tensor:
        """Return the constants for a grid, on the model's device."""
        return self.table if grid == self.grid else self.constants(grid).to(self.table)  # type: ignore[union-attr]

    def add(self, x: Tensor, block: int, grid: Grid) -> Tensor:
        """Add places to the tokens ``[B, N, D]`` before a block; the depth stands for the end."""
        return x

    def rotate(self, q: Tensor, k: Tensor, block: int, grid: Grid) -> tuple[Tensor, Tensor]:
        """Give queries and keys ``[B, H, N, E]`` their places."""
        return q, k

    def bias(self, block: int, grid: Grid) -> Tensor | None:
        """Return what is added to the logits, ``[H, N, N]``."""
        return None

    def mark(self, v: Tensor, grid: Grid) -> Tensor:
        """Give values ``[B, H, N, E]`` their places."""
        return v

    def read(self, x: Tensor, block: int, grid: Grid) -> Tensor:
        """Map the means of marked values to those of values ``[B, H, N, E]``."""
        return x


class Learned(Position):
    """A vector for each token, added at the start; interpolated for another grid."""

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, self.prefix + math.prod(self.grid), self.width))

    def add(self, x: Tensor, block: int, grid: Grid) -> Tensor:
        """Add them before the first block."""
        if block or grid == self.grid:
            return x if block else x + self.pos_embed
        first, places = self.pos_embed[:, : self.prefix], self.pos_embed[:, self.prefix :]
        return x + torch.cat([first, resized(places, self.grid, grid, corners=False)], dim=1)


class Sincos(Position):
    """Sines and cosines of column and row, added to the patches at the start."""

    def constants(self, grid: Grid) -> Tensor:
        """Return ``[N, D]``."""
        angles = coordinates(grid).flip(1)[:, :, None] * bands(self.width // 4, 10_000.0)  # [n, 2, D / 4]
        return F.pad(torch.cat([angles.sin(), angles.cos()], dim=1).flatten(1), (0, 0, self.prefix, 0))

    def add(self, x: Tensor, block: int, grid: Grid) -> Tensor:
        """Add them before the first block."""
        return x if block else x + self.at(grid)


class Relative(Position):
    """In each block and head, a bias for each offset between patches, and three for what involves the class token.

    As a mask it rules out flash attention on a GPU, and in training, since it is learned, the CPU's fused kernel.
    """

    at_start = False

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        tables = (
            nn.init.trunc_normal_(torch.empty(offsets(self.grid), self.heads), std=0.02) for _ in range(self.depth)
        )
        # last, in timm's order: from the class token to patches, from them to it, and from it to itself
        self.tables = nn.ParameterList(F.pad(table, (0, 0, 0, 3 * self.prefix)) for table in tables)

    def constants(self, grid: Grid) -> Tensor:
        """Return which row of a table holds what a query adds for a key, ``[N, N]``."""
        places, last = coordinates(grid), offsets(grid)
        x, y = (places[:, None] - places).unbind(2)
        rows = (y + grid[0] - 1) * (2 * grid[1] - 1) + x + grid[1] - 1
        if self.prefix:
            rows = F.pad(F.pad(rows, (1, 0), value=last + 1), (0, 0, 1, 0), value=last)
            rows[0, 0] = last + 2
        return rows

    def bias(self, block: int, grid: Grid) -> Tensor:
        """Return ``[H, N, N]``."""
        table = self.tables[block]
        if grid != self.grid:
            table = resized_biases(table, self.grid, grid)
        return table[self.at(grid)].permute(2, 0, 1)


class RelativeKeysValues(Position):
    """In each block, a vector for each offset of columns and rows, clipped at 2, added to keys and another to values.

    It is half as wide as a head for columns, and half for rows. Queries, keys and values get a channel for each column
    and row, so that the sums over pairs are within attention, and any fused kernel takes them.
    """

    at_start = False
    REACH = 2

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        shape = (self.depth, 2, 2 * self.REACH + 2, self.width // self.heads // 2)  # the first row: the class token's
        self.keys, self.values = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.randn(shape))

    def constants(self, grid: Grid) -> Tensor:
        """Return a token's row of the tables for each column and row, and whether it is in it: ``[2, N, channels]``."""
        rows, members = [], []
        for axis, (places, side) in enumerate(zip(coordinates(grid).T, reversed(grid), strict=True)):
            offsets = (torch.arange(side) - places[:, None]).clamp(-self.REACH, self.REACH) + self.REACH + 1
            rows.append(F.pad(offsets, (0, 1, self.prefix, 0)) + axis * (2 * self.REACH + 2))
            members.append(F.one_hot(F.pad(places, (self.prefix, 0), value=side), side + 1))
        return torch.stack([torch.cat(rows, dim=1), torch.cat(members, dim=1)])

    def _marked(self, x: Tensor, grid: Grid) -> Tensor:
        members = self.at(grid)[1].to(x.dtype)
        return torch.cat([x, members.expand(*x.shape[:2], -1, -1)], dim=-1)

    def rotate(self, q: Tensor, k: Tensor, block: int, grid: Grid) -> tuple[Tensor, Tensor]:
        """Return them with their channels."""
        vectors = torch.block_diag(*self.keys[block])[self.at(grid)[0]]  # [N, channels, E]
        return torch.cat([q, torch.einsum("bhne,nce->bhnc", q, vectors)], dim=-1), self._marked(k, grid)

    def mark(self, v: Tensor, grid: Grid) -> Tensor:
        """Return them with their channels."""
        return self._marked(v, grid)

    def read(self, x: Tensor, block: int, grid: Grid) -> Tensor:
        """Replace the channels by their vectors."""
        vectors = torch.block_diag(*self.values[block])[self.at(grid)[0]]
        width = vectors.shape[-1]
        return x[..., :width] + torch.einsum("bhnc,nce->bhne", x[..., width:], vectors)


class Rotary(Position):
    """Pairs of channels of queries and keys turned by angles that grow with column and row; half of them for each."""

    at_start = False

    def constants(self, grid: Grid) -> Tensor:
        """Return cosine and sine, ``[2, n, E / 2]``."""
        angles = (coordinates(grid)[:, :, None] * bands(self.width // self.heads // 4, 100.0)).flatten(1)
        return torch.stack([angles.cos(), angles.sin()])

    def turns(self, block: int, grid: Grid) -> Tensor:
        """Return cosine and sine of each patch, ``[2, n, E / 2]`` or ``[2, H, n, E / 2]``."""
        return self.at(grid)

    def rotate(self, q: Tensor, k: Tensor, block: int, grid: Grid) -> tuple[Tensor, Tensor]:
        """Return them turned, the class token as it is."""
        cosine, sine = self.turns(block, grid)

        def turned(x: Tensor) -> Tensor:
            even, odd = x[:, :, self.prefix :].unflatten(3, (-1, 2)).unbind(4)
            patches = torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1).flatten(3)
            return torch.cat([x[:, :, : self.prefix], patches.to(x.dtype)], dim=2)

        return turned(q), turned(k)


class RotaryMixed(Rotary):
    """Angles of column and row together, with frequencies that each block and head learns."""

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        turn = 2 * math.pi * torch.rand(self.depth, self.heads, 1)
        turn = torch.cat([turn, turn + math.pi / 2], dim=2)[..., None]
        mixed = torch.stack([turn.cos(), turn.sin()]) * bands(self.width // self.heads // 4, 10.0)
        self.freqs = nn.Parameter(mixed.flatten(3))  # [2, depth, H, E / 2]

    def constants(self, grid: Grid) -> Tensor:
        """Return the coordinates, ``[2, n, 1]``."""
        return coordinates(grid).T[..., None]

    def turns(self, block: int, grid: Grid) -> Tensor:
        """Return cosine and sine, ``[2, H, n, E / 2]``."""
        angles = sum(self.freqs[axis, block, :, None].float() * self.at(grid)[axis] for axis in range(2))
        return torch.stack([angles.cos(), angles.sin()])  # type: ignore[union-attr]


class Convolved(Position):
    """A depthwise convolution of the patches after the first block, whose border tells the place."""

    at_start = False

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        self.conv = nn.Conv2d(self.width, self.width, 3, padding=1, groups=self.width)

    def add(self, x: Tensor, block: int, grid: Grid) -> Tensor:
        """Add it after the first block."""
        if block != 1:
            return x
        patches = x[:, self.prefix :].transpose(1, 2).unflatten(2, grid)
        return x + F.pad(self.conv(patches).flatten(2).transpose(1, 2), (0, 0, self.prefix, 0))


POSITIONS: dict[str, type[Position]] = {
    "none": Position,
    "learned": Learned,
    "sincos": Sincos,
    "relative": Relative,
    "relative-kv": RelativeKeysValues,
    "rope": Rotary,
    "rope-mixed": RotaryMixed,
    "cpe": Convolved,
}
