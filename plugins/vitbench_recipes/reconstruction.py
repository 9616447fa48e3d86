"""A Vision Transformer with what predicts its masked patches: a head on its tokens, or a small decoder behind them.

Weights beside the model's own are the mask token, the head and the decoder; the head starts at zero, so that the first
prediction is that of all classes alike, and of a gray patch.

Shapes: B images, C channels, H height and W width, N tokens, of which the last n are a grid of patches, m of these
masked and k kept, D width of the model, E width of the decoder, P outputs for each masked patch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vitbench.errors import UsageError
from vitbench.training import TokenLayout, tokens

HEAD_WIDTH = 32
"""Of the decoder's attention, where its width has such heads; else there is one head."""
TEMPERATURE = 10_000.0
KEPT, ENCODER = "pretraining", "pretrained"
"""The names under which are kept what is trained beside the model, and the model as it is when pretraining ends."""
COUNT, COLOURS = "masked", "colours"
"""The names, among the first of these, of m, and of whether colours are predicted."""


class Reconstruction(nn.Module):
    """Predict masked patches: from the tokens of all, some of them replaced, or from those of the others alone.

    Args:
        model: the encoder.
        layout: of its tokens.
        outputs: P.
        visible: whether the model encodes the kept patches alone, and a decoder predicts the others.
        decoder_width: E, a multiple of 4.
        decoder_depth: its layers.

    Raises:
        UsageError: the decoder's width is not a multiple of 4.
    """

    def __init__(
        self,
        model: nn.Module,
        layout: TokenLayout,
        *,
        outputs: int,
        visible: bool,
        decoder_width: int,
        decoder_depth: int,
    ) -> None:
        super().__init__()
        self.model, self.prefix = model, layout.prefix
        self.decoder = Decoder(layout, width=decoder_width, depth=decoder_depth) if visible else None
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, decoder_width if visible else layout.width))
        self.head = nn.Linear(self.mask_token.shape[2], outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @classmethod
    def of_kept(cls, model: nn.Module, layout: TokenLayout, kept: Mapping[str, Tensor]) -> Reconstruction:
        """Return the network whose `beside` some tensors are, without their values."""
        depth = len({name.split(".")[3] for name in kept if name.startswith("decoder.layers.layers.")})
        outputs, width = kept["head.weight"].shape
        return cls(model, layout, outputs=outputs, visible=depth > 0, decoder_width=width, decoder_depth=depth)

    def forward(self, images: Tensor, masked: Tensor, kept: Tensor, token: Tensor, source: Tensor) -> Tensor:
        """Map a model's input ``[B, C, H, W]`` and a `Corruption` to predictions ``[B, m, P]``."""
        if self.decoder is not None:
            return self.head(self.decoder(tokens(self.model, images, keep=kept), self.mask_token, kept, masked))  # type: ignore[no-any-return]

        def corrupted(patches: Tensor) -> Tensor:
            others = patches.take_along_dim(source[:, :, None], dim=1)
            return torch.where(token[:, :, None], self.mask_token.to(patches.dtype), others)

        encoded = tokens(self.model, images, replace=corrupted)[:, self.prefix :]  # [B, n, D]
        return self.head(encoded.take_along_dim(masked[:, :, None], dim=1))  # type: ignore[no-any-return]

    def no_weight_decay(self) -> set[str]:
        """Return the names of the weights that the model exempts from weight decay."""
        own = getattr(self.model, "no_weight_decay", set)
        return {f"model.{name}" for name in own()}

    def beside(self) -> dict[str, Tensor]:
        """Return what is trained beside the model, by name."""
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("model.")}


class Decoder(nn.Module):
    """Transformer layers on the kept tokens and a mask token for each of the others, all at their places."""

    places: Tensor

    def __init__(self, layout: TokenLayout, *, width: int, depth: int) -> None:
        super().__init__()
        if width % 4:
            raise UsageError(f"decoder_width must be a multiple of 4, not {width}")
        self.prefix = layout.prefix
        self.embed = nn.Linear(layout.width, width)
        heads = width // HEAD_WIDTH if width % HEAD_WIDTH == 0 else 1
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.register_buffer("places", sines_of(layout.grid, width), persistent=False)

    def forward(self, encoded: Tensor, mask_token: Tensor, kept: Tensor, masked: Tensor) -> Tensor:
        """Map tokens ``[B, N - m, D]`` of the kept patches to those of the masked ones, ``[B, m, E]``."""
        x = self.embed(encoded)
        x = torch.cat([x[:, : self.prefix], x[:, self.prefix :] + self.places[kept]], dim=1)
        hidden = mask_token + self.places[masked]
        x = self.layers(torch.cat([x, hidden.to(x.dtype)], dim=1))  # their order says nothing, their places do
        return x[:, -masked.shape[1] :]  # type: ignore[no-any-return]


def sines_of(grid: tuple[int, int], width: int) -> Tensor:
    """Return sines and cosines of each patch's row and column, ``[n, width]``, as the ViT's one-dimensional ones."""
    bands = TEMPERATURE ** -(torch.arange(width // 4) / (width // 4))
    places = torch.cartesian_prod(*(torch.arange(side) for side in grid)).view(-1, 2)
    angles = (places[:, :, None] * bands).flatten(1)  # [n, width / 2]
    return torch.cat([angles.sin(), angles.cos()], dim=1)
