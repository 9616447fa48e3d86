"""Swin Transformer (Liu et al. 2021, arXiv 2103.14030), for images of any size.

Attention stays within windows; in every second block these are shifted by half a window, so that neighbours meet.
Maps that no number of windows covers are padded; tokens meet only those of their own region, padding apart. Where a
map is not larger than a window, the window shrinks to it, and is not shifted.

Shapes: B images, C channels, H height, W width, N windows, T tokens of a window.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WindowAttention(nn.Module):
    """Attention among the tokens of a window, with a learned bias for each relative position."""

    def __init__(self, width: int, size: tuple[int, int], window: int, shifted: bool, head_width: int) -> None:
        super().__init__()
        self.window = tuple(min(window, side) for side in size)
        self.shift = tuple(window // 2 if shifted and side > window else 0 for side in size)
        self.padding = tuple(-side % min(window, side) for side in size)
        self.heads = max(1, width // head_width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.bias = nn.Parameter(0.02 * torch.randn(self.heads, *(2 * own - 1 for own in self.window)))
        self.register_buffer("regions", self.windows(self.region_map(size))[0, :, :, 0])

    def region_map(self, size: tuple[int, int]) -> Tensor:
        """Number what may meet, [1, H, W, 1]: what a shift brings from the other border, and padding, are apart."""
        axes = []
        for side, own, shift, more in zip(size, self.window, self.shift, self.padding, strict=True):
            place = torch.arange(side + more)
            axes.append((place >= side + more - own) * 1 + (place >= side + more - shift) * 1)
        rows, columns = axes
        padded = F.pad(torch.zeros(size), (0, self.padding[1], 0, self.padding[0]), value=9.0)
        return (padded.roll([-s for s in self.shift], (0, 1)) + 3 * rows[:, None] + columns)[None, :, :, None]

    def windows(self, x: Tensor) -> Tensor:
        """Cut a map [B, H, W, C] into windows [B, N, T, C]."""
        (b, h, w, c), (wh, ww) = x.shape, self.window
        x = x.reshape(b, h // wh, wh, w // ww, ww, c).transpose(2, 3)
        return x.reshape(b, -1, wh * ww, c)

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        x = F.pad(x, (0, 0, 0, self.padding[1], 0, self.padding[0])).roll([-s for s in self.shift], (1, 2))
        (_, high, wide, _), (wh, ww) = x.shape, self.window
        tokens = self.windows(x)
        qkv = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)  # [3, B, N, heads, T, D]
        apart = self.regions[:, None, :, None] != self.regions[:, None, None, :]  # [N, 1, T, T]
        mask = self.relative_bias().masked_fill(apart, -torch.inf)
        met = F.scaled_dot_product_attention(*qkv, attn_mask=mask.to(qkv.dtype))
        x = self.out(met.transpose(2, 3).flatten(-2))
        x = x.reshape(b, high // wh, wide // ww, wh, ww, c).transpose(2, 3).reshape(b, high, wide, c)
        return x.roll(self.shift, (1, 2))[:, :h, :w]

    def relative_bias(self) -> Tensor:
        """Return the bias of each pair of tokens, [heads, T, T]."""
        (wh, ww), device = self.window, self.bias.device
        rows, columns = torch.arange(wh, device=device), torch.arange(ww, device=device)
        rows, columns = rows[:, None] - rows + wh - 1, columns[:, None] - columns + ww - 1
        return self.bias[:, rows[:, None, :, None], columns[None, :, None, :]].reshape(self.heads, wh * ww, wh * ww)


class Block(nn.Module):
    """Attention, then a perceptron, each on normalised tokens beside a residual path."""

    def __init__(self, width: int, size: tuple[int, int], window: int, shifted: bool, head_width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = WindowAttention(width, size, window, shifted, head_width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Merge(nn.Module):
    """Make one token of each 2 x 2, with twice the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.reduce = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        parts = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduce(self.norm(torch.cat(parts, dim=-1)))


class Swin(nn.Module):
    """Patches, stages of blocks with a merge between two, the mean of all tokens, a linear head."""

    def __init__(
        self,
        num_classes: int,
        image_size: tuple[int, int],
        in_channels: int,
        *,
        patch: int,
        window: int,
        depths: tuple[int, ...],
        width: int,
        head_width: int,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.embed = nn.Conv2d(in_channels, width, kernel_size=patch, stride=patch)
        size = (-(-image_size[0] // patch), -(-image_size[1] // patch))
        stages: list[nn.Module] = []
        for stage, depth in enumerate(depths):
            if stage:
                stages.append(Merge(width))
                width, size = 2 * width, ((size[0] + 1) // 2, (size[1] + 1) // 2)
            stages += [Block(width, size, window, shifted=i % 2 == 1, head_width=head_width) for i in range(depth)]
        self.stages = nn.Sequential(*stages)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        images = F.pad(images, (0, -images.shape[3] % self.patch, 0, -images.shape[2] % self.patch))
        x = self.stages(self.embed(images).permute(0, 2, 3, 1))
        return self.head(self.norm(x).mean(dim=(1, 2)))


def build(
    num_classes: int,
    image_size: tuple[int, int],
    in_channels: int,
    patch: int,
    window: int,
    depths: tuple[int, ...],
    width: int,
    head_width: int,
    checkpoint: str,
) -> nn.Module:
    """Return a module that maps images [B, C, H, W] to logits [B, K]."""
    from vitbench import UsageError
    from vitbench.training.checkpoint import load_checkpoint

    if width % head_width:
        raise UsageError(f"a width of {width} is not a multiple of head_width={head_width}; give one that is.")
    model = Swin(
        num_classes,
        image_size,
        in_channels,
        patch=patch,
        window=window,
        depths=depths,
        width=width,
        head_width=head_width,
    )
    if checkpoint:
        load_checkpoint(model, Path(checkpoint))
    return model
