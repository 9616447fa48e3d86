"""Vision Transformer, from scratch.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021 (arXiv 2010.11929), equations 1-4 and appendix A;
initial values as the authors' code has them. Weights carry the names of timm's VisionTransformer, so that a state
dict of one loads into the other, and gives the same logits.

Expected, CIFAR-10 / CIFAR-100 test accuracy in percent:
    vit-small-cifar (192 x 9, patch 4): 93.58 / 73.81 after 100 epochs of AdamW with CutMix, Mixup and AutoAugment
        (SPT_LSA_ViT);
    vit-p8-d12, vit-p4-d12, vit-p4-d8: 57.2 / 37.6, 71.3 / 40.7, 71.9 / 43.8 in the study that they are taken from
        (ra1ph2/Vision-Transformer, whose attention is not scaled; this one is).

Shapes: B images, C channels, S and T height and width of the input, P side of a patch, N = (S / P) * (T / P) + 1 tokens
(the class token is the first), D width, H heads, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.errors import UsageError
from vitbench.training import keep_patches

from .drop_path import DropPath, rising
from .weights import load

LAYER_NORM_EPSILON = 1e-6


class PatchEmbedding(nn.Module):
    """Cut the image into patches and project each to a token: a convolution whose stride is its kernel."""

    def __init__(self, in_channels: int, patch_size: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, width, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, S, T]`` to tokens ``[B, N - 1, D]``, row by row."""
        patches: Tensor = self.proj(images)  # [B, D, S / P, T / P]
        return patches.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention: softmax(q k' / sqrt(D / H)) v for each head, then a projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``[B, N, D]`` to tokens ``[B, N, D]``."""
        batch, tokens, width = x.shape
        x = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = x.permute(2, 0, 3, 1, 4).unbind()  # each [B, H, N, D / H]
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(batch, tokens, width))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two dense layers with GELU between them."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``[B, N, D]`` to tokens ``[B, N, D]``."""
        x = self.fc1(x)
        x = self.dropout(F.gelu(x))
        return self.fc2(x)  # type: ignore[no-any-return]


class Block(nn.Module):
    """One pre-norm encoder block: equations 2 and 3."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPSILON)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPSILON)
        self.mlp = FeedForward(width, hidden, dropout)
        self.dropout = nn.Dropout(dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``[B, N, D]`` to tokens ``[B, N, D]``."""
        x = x + self.drop_path(self.dropout(self.attn(self.norm1(x))))
        return x + self.drop_path(self.dropout(self.mlp(self.norm2(x))))  # type: ignore[no-any-return]


class VisionTransformer(nn.Module):
    """Patches, class token and learned positions; encoder blocks; a linear head on the class token.

    Args:
        num_classes: K.
        image_size: S and T, height and width of the input in pixels.
        in_channels: C.
        patch_size: P, which must divide both.
        depth: encoder blocks.
        width: D, which `heads` must divide.
        heads: H.
        mlp_ratio: hidden width of the feed-forward layers over D.
        dropout: rate after each dense layer but the q, k, v projections, and after the positions (appendix A).
        drop_path: probability with which an image skips a branch of the last block; it rises from 0 at the first.

    Raises:
        UsageError: a size that does not divide, or an option out of its range.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        image_size: tuple[int, int],
        in_channels: int,
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
        self.grid = grid_of(image_size, patch_size)
        num_tokens = math.prod(self.grid) + 1
        check_sizes(depth=depth, width=width, heads=heads, hidden=hidden, dropout=dropout)
        self.patch_embed = PatchEmbedding(in_channels, patch_size, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, num_tokens, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, hidden, dropout, drop) for drop in rising(drop_path, depth)))
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPSILON)
        self.head = nn.Linear(width, num_classes)
        set_initial_values(self)
        nn.init.normal_(self.pos_embed, std=0.02)
        nn.init.zeros_(self.head.weight)  # so that the loss starts at ln K

    def tokens(
        self, images: Tensor, *, replace: Callable[[Tensor], Tensor] | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """Map images ``[B, C, S, T]`` to the encoder's normalised tokens ``[B, N, D]``.

        `replace` and `keep` are as in `vitbench.training.tokens`.
        """
        patches = self.patch_embed(images)  # [B, N - 1, D]
        patches = patches if replace is None else replace(patches)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)  # [B, N, D]
        tokens = keep_patches(self.dropout(tokens + self.pos_embed), keep, prefix=1)
        return self.norm(self.blocks(tokens))  # type: ignore[no-any-return]

    def features(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, S, T]`` to what the head reads ``[B, D]``: the class token."""
        return self.tokens(images)[:, 0]

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, S, T]`` to logits ``[B, K]``."""
        return self.head(self.features(images))  # type: ignore[no-any-return]


def set_initial_values(model: nn.Module) -> None:
    """Give dense layers Xavier's initial values, and convolutions normal ones of variance 1 / inputs; biases are 0."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            # q, k and v are three square projections that are stored as one matrix
            for weight in module.weight.detach().chunk(3 if name.endswith("qkv") else 1):
                nn.init.xavier_uniform_(weight)
            nn.init.zeros_(module.bias)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.trunc_normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def grid_of(image_size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Return rows and columns of patches.

    Raises:
        UsageError: the patch does not divide the image.
    """
    common = math.gcd(*image_size)
    if patch_size < 1 or common % patch_size:
        sizes = ", ".join(str(size) for size in range(1, common + 1) if common % size == 0)
        shown = "x".join(map(str, dict.fromkeys(image_size)))  # one side of a square
        raise UsageError(
            f"patch_size {patch_size} does not divide the input of {shown} pixels: use one of {sizes}, or an "
            "image_size that it divides"
        )
    return image_size[0] // patch_size, image_size[1] // patch_size


def check_sizes(*, depth: int, width: int, heads: int, hidden: int, dropout: float) -> None:
    """Check the sizes of a Vision Transformer's blocks.

    Raises:
        UsageError: a size that does not divide, or an option out of its range.
    """
    if depth < 1:
        raise UsageError(f"depth must be at least 1, not {depth}")
    if heads < 1 or width < 1 or width % heads:
        raise UsageError(f"heads must divide width, and {heads} does not divide {width}")
    if hidden < 1:
        raise UsageError(f"mlp_ratio must give at least one hidden unit for width {width}, and this one gives {hidden}")
    if not 0 <= dropout < 1:
        raise UsageError(f"dropout must be at least 0 and below 1, not {dropout}")


def build(*, checkpoint: str, head: str, **sizes: Any) -> VisionTransformer:
    """Return a Vision Transformer; the named sizes are the options in this package's ``__init__``.

    Args:
        checkpoint: path of a state dict of this model, or of timm's of the same sizes; empty for initial values.
            Positions of images of another size are interpolated.
        head: ``own`` takes the checkpoint's head, ``new`` makes one of zeros for K classes.
        sizes: the keyword arguments of `VisionTransformer`.

    Raises:
        UsageError: a size that does not divide, or an option out of its range.
        UnusableError: the checkpoint cannot be read or does not fit.
    """
    model = VisionTransformer(**sizes)
    load(model, checkpoint, head=head, classifier="head", positions="pos_embed", grid=model.grid)
    return model
