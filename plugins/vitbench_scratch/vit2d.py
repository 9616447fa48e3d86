"""Vision Transformers that know that images are two-dimensional: `vit` with seams, each of which takes several forms.

stem: patch; spt, shifted patches (Lee et al. 2021, arXiv 2112.13492); conv, strided convolutions (Xiao et al. 2021,
    2106.14881); cct, convolutions and pooling (Hassani et al. 2021, 2104.05704).
position: none, learned, sincos, relative, relative-kv, rope, rope-mixed, cpe; see `positions`.
attention: full; local, the nearest `window` x `window` patches (Hassani et al. 2022, 2204.07143); axial, those of the
    same row or column; lsa, all tokens but itself, with learned temperatures (Lee et al. 2021).
pool: cls, the class token; mean, of the patches; seqpool, a learned mean of them (Hassani et al. 2021).

Weights have the names of timm's VisionTransformer, VisionTransformerRelPos and Eva, so that a state dict of one loads
into the other and gives the same logits. Expected of 128 x 6, patch 4, 200 epochs, CIFAR-10 / CIFAR-100 in percent
(s-chh/2D-Positional-Encoding-Vision-Transformer): none 79.6 / 53.3, learned 86.5 / 60.9, rope 88.5 / 62.9,
relative-kv 90.6 / 65.1.

Shapes: B images, C channels, S and T height and width of the input, P side of a patch, a grid (S / P, T / P) of
n patches, N tokens (a class token, where there is one, then the patches), D width, H heads, E = D / H, K classes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.errors import UsageError
from vitbench.training import keep_patches

from .drop_path import DropPath, rising
from .positions import POSITIONS, Grid, Position, coordinates
from .vit import LAYER_NORM_EPSILON, FeedForward, PatchEmbedding, check_sizes, grid_of, set_initial_values
from .weights import load


class ShiftedPatches(nn.Module):
    """Patches of the image and of four copies, each moved by half a patch along a diagonal: 5 * C * P * P inputs."""

    def __init__(self, in_channels: int, patch_size: int, width: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.norm = nn.LayerNorm(5 * in_channels * patch_size**2, eps=LAYER_NORM_EPSILON)
        self.proj = nn.Linear(5 * in_channels * patch_size**2, width)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, S, T]`` to tokens ``[B, n, D]``."""
        by = self.patch_size // 2
        shifts = ((by, -by, by, -by), (-by, by, by, -by), (by, -by, -by, by), (-by, by, -by, by))
        stacked = torch.cat([images, *(F.pad(images, shift) for shift in shifts)], dim=1)  # [B, 5 C, S, T]
        patches = F.unfold(stacked, self.patch_size, stride=self.patch_size).transpose(1, 2)  # [B, n, 5 C P P]
        return self.proj(self.norm(patches))  # type: ignore[no-any-return]


class Convolutions(nn.Module):
    """log2(P) convolutions, 3x3, that halve the sides and double the channels: by their stride, or by pooling."""

    def __init__(self, in_channels: int, patch_size: int, width: int, *, pooled: bool) -> None:
        super().__init__()
        count = int(math.log2(patch_size))
        channels = [in_channels, *(max(1, width >> left) for left in reversed(range(count)))]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(channels):
            layers.append(nn.Conv2d(before, after, 3, stride=1 if pooled else 2, padding=1, bias=False))
            layers += [nn.ReLU(), nn.MaxPool2d(3, 2, 1)] if pooled else [nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Identity() if pooled else nn.Conv2d(width, width, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, S, T]`` to tokens ``[B, n, D]``."""
        return self.layers(images).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


STEMS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "patch": PatchEmbedding,
    "spt": ShiftedPatches,
    "conv": partial(Convolutions, pooled=False),
    "cct": partial(Convolutions, pooled=True),
}
FORMS = {
    "stem": tuple(STEMS),
    "position": tuple(POSITIONS),
    "attention": ("full", "local", "axial", "lsa"),
    "pool": ("cls", "mean", "seqpool"),
}


def visible(attention: str, grid: Grid, prefix: int, window: int) -> Tensor | None:
    """Return which token sees which, bool ``[N, N]``; None: each sees all. A class token sees patches and is seen."""
    if attention == "full":
        return None
    if attention == "lsa":
        return ~torch.eye(prefix + math.prod(grid), dtype=torch.bool)
    places = coordinates(grid)
    if attention == "axial":
        seen = (places[:, None] == places).any(dim=2)
    else:  # at the border a window stays within the grid
        sides = torch.tensor(grid[::-1])
        size = sides.clamp(max=window)
        first = (places - size // 2).clamp(min=0).minimum(sides - size)[:, None]
        seen = ((first <= places) & (places < first + size)).all(dim=2)
    return F.pad(seen, (prefix, 0, prefix, 0), value=True)


class Attention(nn.Module):
    """Multi-head self-attention whose queries, keys and values know their places, and see what a mask lets them."""

    def __init__(self, width: int, heads: int, *, temperature: bool) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.temperature = nn.Parameter(torch.full((heads,), self.scale)) if temperature else None

    def forward(self, x: Tensor, position: Position, mask: Tensor | None, block: int, grid: Grid) -> Tensor:
        """Map tokens ``[B, N, D]`` to tokens ``[B, N, D]``."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()  # each [B, H, N, E]
        scale = self.scale
        if self.temperature is not None:
            q, scale = q * self.temperature[:, None, None], 1.0
        q, k = position.rotate(q, k, block, grid)
        if (bias := position.bias(block, grid)) is not None:
            bias = bias[None].to(q.dtype)
            mask = bias if mask is None else bias.masked_fill(~mask, -torch.inf)
        x = F.scaled_dot_product_attention(q, k, position.mark(v, grid), attn_mask=mask, scale=scale)
        x = position.read(x, block, grid)
        return self.proj(x.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Block(nn.Module):
    """One pre-norm encoder block, as in `vit`."""

    def __init__(
        self, width: int, heads: int, hidden: int, dropout: float, drop_path: float, *, temperature: bool
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPSILON)
        self.attn = Attention(width, heads, temperature=temperature)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPSILON)
        self.mlp = FeedForward(width, hidden, dropout)
        self.dropout = nn.Dropout(dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, position: Position, mask: Tensor | None, block: int, grid: Grid) -> Tensor:
        """Map tokens ``[B, N, D]`` to tokens ``[B, N, D]``."""
        x = x + self.drop_path(self.dropout(self.attn(self.norm1(x), position, mask, block, grid)))
        return x + self.drop_path(self.dropout(self.mlp(self.norm2(x))))  # type: ignore[no-any-return]


class SpatialTransformer(nn.Module):
    """A stem; encoder blocks whose tokens know their places; a pool and a linear head.

    It takes images of any size that the patch divides: positions that are tables are interpolated for other grids.

    Args:
        stem, position, attention, pool: as above.
        window: rows and columns of patches that ``local`` attention sees.
        others: as of `VisionTransformer`.

    Raises:
        UsageError: a size that does not divide or fit, or an option out of its range.
    """

    mask: Tensor | None

    def __init__(
        self,
        *,
        num_classes: int,
        image_size: tuple[int, int],
        in_channels: int,
        stem: str,
        position: str,
        attention: str,
        pool: str,
        window: int,
        patch_size: int,
        depth: int,
        width: int,
        heads: int,
        mlp_ratio: float,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.grid, self.patch_size, self.prefix = grid_of(image_size, patch_size), patch_size, int(pool == "cls")
        check_sizes(depth=depth, width=width, heads=heads, hidden=hidden, dropout=dropout)
        forms = {"stem": stem, "position": position, "attention": attention, "pool": pool}
        _check_forms(forms, self.grid, window, patch_size, width, heads)
        self.attention, self.window = attention, window
        self.patch_embed = STEMS[stem](in_channels, patch_size, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width)) if pool == "cls" else None
        self.position = POSITIONS[position](grid=self.grid, prefix=self.prefix, width=width, heads=heads, depth=depth)
        self.register_buffer("mask", visible(attention, self.grid, self.prefix, window), persistent=False)
        self.dropout = nn.Dropout(dropout)
        drops, tempered = rising(drop_path, depth), attention == "lsa"
        self.blocks = nn.ModuleList(Block(width, heads, hidden, dropout, drop, temperature=tempered) for drop in drops)
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPSILON)
        self.score = nn.Linear(width, 1) if pool == "seqpool" else None
        self.head = nn.Linear(width, num_classes)
        set_initial_values(self)
        nn.init.zeros_(self.head.weight)  # so that the loss starts at ln K
        self.timm_names = {"position.pos_embed": "pos_embed", "position.freqs": "rope.freqs"}
        for block in range(depth):
            self.timm_names[f"position.tables.{block}"] = f"blocks.{block}.attn.rel_pos.relative_position_bias_table"
        self.register_state_dict_post_hook(_name_as_timm)
        self.register_load_state_dict_pre_hook(_name_as_here)

    def tokens(
        self, images: Tensor, *, replace: Callable[[Tensor], Tensor] | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """Map images ``[B, C, S, T]`` to the encoder's normalised tokens ``[B, N, D]``.

        `replace` and `keep` are as in `vitbench.training.tokens`.

        Raises:
            UsageError: some patches are to be left out, and the blocks need all of them.
        """
        if keep is not None:
            self._check_keeps()
        grid, mask = grid_of((images.shape[2], images.shape[3]), self.patch_size), self.mask
        if mask is not None and grid != self.grid:
            mask = visible(self.attention, grid, self.prefix, self.window).to(mask)  # type: ignore[union-attr]
        x = self.patch_embed(images)  # [B, n, D]
        x = x if replace is None else replace(x)
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)  # [B, N, D]
        x = keep_patches(self.dropout(self.position.add(x, 0, grid)), keep, prefix=self.prefix)
        if mask is not None and keep is not None:  # of lsa, which is the same for any tokens
            mask = mask[: x.shape[1], : x.shape[1]]
        for number, block in enumerate(self.blocks):
            x = self.position.add(block(x, self.position, mask, number, grid), number + 1, grid)
        return self.norm(x)  # type: ignore[no-any-return]

    def _check_keeps(self) -> None:
        """Raise UsageError where a block needs each patch at its place in the grid."""
        if not self.position.at_start:
            [position] = [name for name, kind in POSITIONS.items() if kind is type(self.position)]
            starting = [name for name, kind in POSITIONS.items() if kind.at_start]
            raise UsageError(
                f"position {position} needs all patches in each block, so none can be left out: encode all of "
                f"them, or use position {', '.join(starting[:-1])} or {starting[-1]}"
            )
        if self.attention in ("local", "axial"):
            raise UsageError(
                f"attention {self.attention} needs all patches, so none can be left out: encode all of them, or "
                "use attention full or lsa"
            )

    def features(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, S, T]`` to what the head reads ``[B, D]``."""
        tokens = self.tokens(images)
        if self.cls_token is not None:
            return tokens[:, 0]
        if self.score is None:
            return tokens.mean(dim=1)
        return (self.score(tokens).softmax(dim=1) * tokens).sum(dim=1)  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, S, T]`` to logits ``[B, K]``."""
        return self.head(self.features(images))  # type: ignore[no-any-return]

    def no_weight_decay(self) -> set[str]:
        """Return the names of the weights of positions."""
        return {name for name, _ in self.position.named_parameters(prefix="position")}


def _name_as_timm(model: SpatialTransformer, state: dict[str, Tensor], prefix: str, _: object) -> None:
    _rename(state, prefix, model.timm_names)


def _name_as_here(model: SpatialTransformer, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    _rename(state, prefix, {theirs: ours for ours, theirs in model.timm_names.items()})


def _rename(state: dict[str, Tensor], prefix: str, names: dict[str, str]) -> None:
    for before, after in names.items():
        if prefix + before in state:
            state[prefix + after] = state.pop(prefix + before)


def _check_forms(forms: dict[str, str], grid: Grid, window: int, patch_size: int, width: int, heads: int) -> None:
    for name, given in forms.items():
        if given not in FORMS[name]:
            raise UsageError(f"{name} must be one of {', '.join(FORMS[name])}, not {given}")
    stem, position, attention = forms["stem"], forms["position"], forms["attention"]
    if stem in ("conv", "cct") and (patch_size < 2 or patch_size & (patch_size - 1)):
        raise UsageError(f"stem {stem} needs a patch_size that is a power of two, 2 or more, not {patch_size}")
    if position == "sincos" and width % 4:
        raise UsageError(f"position sincos needs a width that is a multiple of 4, not {width}")
    parts = {"rope": 4, "rope-mixed": 4, "relative-kv": 2}.get(position, 1)
    if width // heads % parts:
        fitting = [str(each) for each in range(1, width + 1) if width % each == 0 and width // each % parts == 0]
        raise UsageError(
            f"position {position} needs heads whose width is a multiple of {parts}, and {heads} heads of width {width} "
            f"have {width // heads}: " + (f"use {', '.join(fitting)} heads" if fitting else "use another width")
        )
    if attention == "local" and not 1 <= window <= min(grid):
        raise UsageError(f"window must be 1 to {min(grid)} for a grid of {grid[0]}x{grid[1]} patches, not {window}")
    if attention == "lsa" and math.prod(grid) + (forms["pool"] == "cls") < 2:
        raise UsageError("attention lsa needs at least two tokens, but a single patch is one: use a smaller patch_size")


def build(*, checkpoint: str, head: str, **options: Any) -> SpatialTransformer:
    """Return a spatial Vision Transformer; the named options are those in this package's ``__init__``.

    Args:
        checkpoint: path of a state dict of this model, or of timm's of the same sizes; empty for initial values.
            Positions that are tables are interpolated for images of another size.
        head: ``own`` takes the checkpoint's head, ``new`` makes one of zeros for K classes.
        options: the keyword arguments of `SpatialTransformer`.

    Raises:
        UsageError: a size that does not divide or fit, or an option out of its range.
        UnusableError: the checkpoint cannot be read or does not fit.
    """
    model = SpatialTransformer(**options)
    biases = [name for own, name in model.timm_names.items() if own.startswith("position.tables.")]
    tables: dict[str, Any] = {"positions": "pos_embed", "biases": biases, "grid": model.grid, "prefix": model.prefix}
    load(model, checkpoint, head=head, classifier="head", **tables)
    return model
