"""What masked patch prediction hides, and what is to be predicted there: pure functions of pixels and random numbers.

The ViT paper, appendix B.1.2 (arXiv 2010.11929): half of the patch embeddings are corrupted, 80 % of them by a learned
mask token and 10 % by another patch of the image, and the mean colour of each is predicted in 3 bits per channel. The
masked autoencoder (He et al. 2021, arXiv 2111.06377): 75 % are left out, and their normalised pixels are predicted.

Shapes: B images, C channels, a grid of n patches of p x q pixels, m of them masked, k = n - m kept.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vitbench import Preprocess
from vitbench.errors import UsageError
from vitbench.training import Draws, convert

TOKEN_SHARE, OTHER_SHARE = 0.8, 0.1
"""Of the masked patches: those that the mask token replaces, and those that another patch does. The rest stays."""
COLOUR_LEVELS = 8
"""Of each channel: 3 bits."""
NO_NORMALISATION = Preprocess(mean=(0.0,), std=(1.0,))
EPSILON = 1e-6
"""Added to the variance of a patch, whose pixels may all be alike."""

Grid = tuple[int, int]


class Corruption(NamedTuple):
    """Which patches of each image are masked, and how."""

    masked: Tensor
    """int64[B, m], the patches to predict."""
    kept: Tensor
    """int64[B, k], the others."""
    token: Tensor
    """bool[B, n], whether the mask token replaces a patch."""
    source: Tensor
    """int64[B, n], whose embedding a patch has otherwise: its own, or that of another patch."""

    def to(self, device: torch.device) -> Corruption:
        """Return the same on a device."""
        return Corruption(*(part.to(device) for part in self))


def masked_count(mask: float, patches: int) -> int:
    """Return m for a share of n patches.

    Raises:
        UsageError: it masks none, or all.
    """
    count = round(mask * patches)
    if 0 < count < patches:
        return count
    if patches < 2:
        raise UsageError("an image of a single patch leaves nothing to predict it from: use a smaller patch_size")
    found = "masks none" if count <= 0 else "leaves none to predict them from"
    raise UsageError(
        f"mask = {mask:g} of {patches} patches {found}: use a share of at least {1 / patches:.2g}, below 1"
    )


def corruption(draws: Draws, *, patches: int, count: int) -> Corruption:
    """Draw which patches are masked, `count` of each image, and what stands in their places.

    Args:
        draws: of a batch.
        patches: n, two at least.
        count: m.
    """
    order = draws.uniform("masked patches", patches).argsort(dim=1, stable=True)
    masked, kept = order[:, :count], order[:, count:]
    is_masked = torch.zeros_like(order, dtype=torch.bool).scatter(1, masked, True)
    fate = draws.uniform("corruption", patches)
    token = is_masked & (fate < TOKEN_SHARE)
    other = is_masked & ~token & (fate < TOKEN_SHARE + OTHER_SHARE)
    own = torch.arange(patches, device=order.device).expand_as(order)
    source = torch.where(other, (own + draws.integers("other patch", 1, patches, patches)) % patches, own)
    return Corruption(masked=masked, kept=kept, token=token, source=source)


def pixels_of(inputs: Tensor, how: Preprocess) -> Tensor:
    """Return the pixels uint8[B, C, H, W] that became a model's input float32[B, C, H, W], as it sees them.

    Args:
        inputs: of `vitbench.training.preprocess`.
        how: it was told.
    """
    size = (inputs.shape[2], inputs.shape[3])
    shares = convert(inputs, how, NO_NORMALISATION, image_size=size, in_channels=inputs.shape[1])
    return shares.mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def patches_of(pixels: Tensor, grid: Grid) -> Tensor:
    """Return the pixels of each patch, ``[B, n, C, p * q]``, of images ``[B, C, H, W]``, row by row of the grid.

    Raises:
        UsageError: the grid does not divide the image.
    """
    height, width = pixels.shape[2:]
    if height % grid[0] or width % grid[1]:
        raise UsageError(
            f"an input of {height}x{width} pixels has no {grid[0]}x{grid[1]} patches of equal size: use another "
            "image_size"
        )
    tiles = pixels.unflatten(3, (grid[1], -1)).unflatten(2, (grid[0], -1))  # [B, C, rows, p, columns, q]
    return tiles.permute(0, 2, 4, 1, 3, 5).flatten(4).flatten(1, 2)


def image_of(patches: Tensor, grid: Grid, size: tuple[int, int]) -> Tensor:
    """Return images ``[B, C, H, W]`` of patches ``[B, n, C, p * q]``: the inverse of `patches_of`.

    Args:
        patches: row by row of the grid.
        grid: its rows and columns.
        size: H and W.
    """
    tiles = patches.unflatten(3, (size[0] // grid[0], size[1] // grid[1])).unflatten(1, grid)
    return tiles.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)  # of [B, rows, columns, C, p, q]


def colour_codes(pixels: Tensor, grid: Grid) -> Tensor:
    """Return the class of each patch's mean colour, int64[B, n], of uint8[B, C, H, W].

    It is the sum over channels c of floor(mean / 32) * 8^(C - 1 - c): black is 0, white 8^C - 1.
    """
    patches = patches_of(pixels, grid)
    levels = patches.sum(3, dtype=torch.int64) // (256 // COLOUR_LEVELS * patches.shape[3])  # [B, n, C]
    places = COLOUR_LEVELS ** torch.arange(levels.shape[2] - 1, -1, -1, device=levels.device)
    return (levels * places).sum(2)


def colours_of(codes: Tensor, channels: int) -> Tensor:
    """Return the colours in the middle of classes int64[B, n] of `colour_codes`: uint8[B, n, C]."""
    places = COLOUR_LEVELS ** torch.arange(channels - 1, -1, -1, device=codes.device)
    width = 256 // COLOUR_LEVELS
    return (codes[:, :, None] // places % COLOUR_LEVELS * width + width // 2).to(torch.uint8)


def normalised_pixels(pixels: Tensor, grid: Grid) -> Tensor:
    """Return each patch's pixels, less their mean and over their standard deviation: float32[B, n, C * p * q].

    Mean and deviation are those of all channels together, as in the masked autoencoder.
    """
    values, mean, deviation = _spread(pixels, grid)
    return (values - mean) / deviation


def denormalised(predicted: Tensor, masked: Tensor, pixels: Tensor, grid: Grid) -> Tensor:
    """Return predictions of `normalised_pixels` as pixels, uint8[B, m, C * p * q].

    Args:
        predicted: float32[B, m, C * p * q].
        masked: int64[B, m], which patches they are of.
        pixels: uint8[B, C, H, W], whose patches have the mean and the deviation that a prediction lacks.
        grid: of the patches.
    """
    mean, deviation = (part.take_along_dim(masked[:, :, None], dim=1) for part in _spread(pixels, grid)[1:])
    return (predicted * deviation + mean).mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def _spread(pixels: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Return each patch's pixels from 0 to 1, float32[B, n, C * p * q], their mean and deviation, float32[B, n, 1]."""
    values = patches_of(pixels, grid).flatten(2).float().div_(255)
    variance, mean = torch.var_mean(values, dim=2, keepdim=True)
    return values, mean, (variance + EPSILON).sqrt()
