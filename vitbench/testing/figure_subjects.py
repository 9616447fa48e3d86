"""Made-up subjects for the checks of figures: small networks of four kinds that have seen a few handwritten digits.

The digits are those that ship with scikit-learn, 8x8 pixels and gray. As in the image cache they are smaller than some
networks' input, and lie among images that are not part of the split. The positions of the images in the test split do
not begin with 0, as under ``--limit``.

Shapes: B images in a batch, C channels, H height, W width, N tokens, D width of a token, K classes.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vitbench.errors import Skip
from vitbench.figures import FigureSubject, Picture
from vitbench.measuring.predictions import summarise
from vitbench.protocols import Predictions, Split
from vitbench.specs import FigurePart, Preprocess
from vitbench.training import preprocess

__all__ = ["KINDS", "FigureScene", "subject_of"]

IMAGES, OTHER_IMAGES = 30, 10
FIRST = 500
"""Position of the first image in the test split."""
STEPS, RATE = 20, 0.01
"""Of training: the networks are right in many images and wrong in some, as real ones are."""
WIDTH, HEADS, PATCH = 16, 2, 4
PREPROCESS, IDENTITY = Preprocess(mean=(0.5,), std=(0.25,)), Preprocess(mean=(0.0,), std=(1.0,))


class _Attention(nn.Module):
    """Self-attention by torch's fused function."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``[B, N, D]`` to tokens ``[B, N, D]``."""
        parts = self.qkv(x).view(*x.shape[:2], 3, HEADS, WIDTH // HEADS)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind()
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Attention and a dense layer, each beside a path that skips it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(WIDTH), _Attention()
        self.norm2, self.mlp = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``[B, N, D]`` to tokens ``[B, N, D]``."""
        x = x + self.attn(self.norm1(x))
        return x + F.gelu(self.mlp(self.norm2(x)))


class _Patches(nn.Module):
    """A convolution whose stride is its kernel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, WIDTH, PATCH, stride=PATCH)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, H, W]`` to tokens ``[B, N, D]``."""
        return self.proj(images).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


class _Transformer(nn.Module):
    """A Vision Transformer with a class token; its parts have the names that timm gives them."""

    def __init__(self, channels: int, grid: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.grid, self.num_prefix_tokens = grid, 1
        self.patch_embed = _Patches(channels)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + grid[0] * grid[1], WIDTH))
        self.blocks = nn.Sequential(_Block(), _Block())
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, H, W]`` to logits ``[B, K]``."""
        patches = self.patch_embed(images)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(tokens))[:, 0])  # type: ignore[no-any-return]


class _Encoder(nn.Module):
    """torch's own encoder over patches, without a class token: the head reads the mean of the tokens."""

    def __init__(self, channels: int, tokens: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, WIDTH, PATCH, stride=PATCH)
        self.positions = nn.Parameter(0.02 * torch.randn(tokens, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.classify = nn.Linear(WIDTH, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, H, W]`` to logits ``[B, K]``."""
        tokens = self.embed(images).flatten(2).transpose(1, 2) + self.positions
        return self.classify(self.encoder(tokens).mean(1))  # type: ignore[no-any-return]


def _convolutional(channels: int, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, WIDTH, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(WIDTH, classes),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureScene:
    """One kind of network with images for it; always the same."""

    name: str
    """The network in words."""
    input_shape: tuple[int, int, int]
    classes: int
    build: Callable[[tuple[int, int]], nn.Module]
    """Builds the network for an input of a height and a width; raises Skip for a size that it does not take."""
    images: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    """Makes the network's cached images, uint8[M, C, H, W], of digits uint8[M, 8, 8]."""


def _whole(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return digits[:, None]


def _coloured(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([digits, 255 - digits, digits // 2], 1)


def _in_pairs(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([digits, digits[:, ::-1]], 2)[:, None]


def _transformer(size: tuple[int, int]) -> nn.Module:
    if size[0] % PATCH or size[1] % PATCH:
        raise Skip(f"patches of {PATCH} pixels do not divide {size[0]}x{size[1]}")
    return _Transformer(3, (size[0] // PATCH, size[1] // PATCH), 10)


def _only(size: tuple[int, int], build: Callable[[], nn.Module]) -> Callable[[tuple[int, int]], nn.Module]:
    """Return a function that builds a network for its own size alone."""

    def build_for(asked: tuple[int, int]) -> nn.Module:
        if asked != size:
            raise Skip(f"the model takes images of {size[0]}x{size[1]} pixels alone, not {asked[0]}x{asked[1]}")
        return build()

    return build_for


KINDS: tuple[FigureScene, ...] = (
    FigureScene(
        name="a Vision Transformer",
        input_shape=(3, 16, 16),
        classes=10,
        build=_transformer,
        images=_whole,
    ),
    FigureScene(
        name="an encoder without a class token, of wide images",
        input_shape=(1, 8, 16),
        classes=10,
        build=_only((8, 16), lambda: _Encoder(1, 8, 10)),
        images=_in_pairs,
    ),
    FigureScene(
        name="a convolutional network",
        input_shape=(3, 8, 8),
        classes=10,
        build=lambda size: _convolutional(3, 10),
        images=_coloured,
    ),
    FigureScene(
        name="a linear model of two classes, always right",
        input_shape=(1, 8, 8),
        classes=2,
        build=_only((8, 8), lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 2))),
        images=_whole,
    ),
)
"""With attention of torch's two kinds and without, with convolutions and without."""


def subject_of(
    scene: FigureScene, needs: Sequence[FigurePart] = (), *, others: int = 0, device: str = "cpu"
) -> FigureSubject:
    """Return a subject of its own: whatever a figure does to it, the next one is the same.

    Args:
        scene: the network.
        needs: parts that the figure needs; the others are not there.
        others: seed of the cached images that are not part of the split.
        device: where the model is.
    """
    channels, height, width = scene.input_shape
    split, model = _split(scene, others), copy.deepcopy(_trained(scene)).to(device)

    def prepared(given: Sequence[NDArray[np.uint8]], how: Preprocess) -> Tensor:
        each = (torch.from_numpy(np.array(image))[None].to(device) for image in given)
        return torch.cat([preprocess(one, how, image_size=(height, width), in_channels=channels) for one in each])

    def resized(*size: int) -> nn.Module:
        other = scene.build((size[0], size[1]))
        state = dict(model.state_dict())
        if isinstance(model, _Transformer) and isinstance(other, _Transformer):
            state["pos_embed"] = _stretched(model, other.grid)
        other.load_state_dict(state)
        return other.to(device).eval()

    shown = [split.images[row] for row in split.index[:3]]
    names = tuple(f"digit {digit}" for digit in range(scene.classes))
    own = np.kron(shown[0], np.ones((1, 3, 4), dtype=np.uint8)).repeat(3 // len(shown[0]), axis=0)  # in colour
    return FigureSubject(
        name="kit/model",
        model=model,
        device=device,
        input_shape=scene.input_shape,
        class_names=names,
        inputs=lambda given: prepared(given, PREPROCESS),
        pixels=lambda given: prepared(given, IDENTITY).mul(255).round().byte().cpu().numpy(),
        fresh=lambda seed: _built(scene, seed).to(device).eval(),
        resized=resized,
        pictures=(
            *(
                Picture(name=names[label], pixels=pixels, label=label)
                for pixels, label in zip(shown, split.labels.tolist(), strict=False)
            ),
            Picture(name="mine.png", pixels=own),
        ),
        images=split,
        predictions=_predicted(scene, split, names) if "predictions" in needs else None,
        kept={"of-the-kit": {"weight": torch.ones(2, 3, device=device)}} if "kept" in needs else {},
    )


@functools.cache
def _digits(classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the first digits of some classes, uint8[N, 8, 8], and which they are, int64[N]."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    rows = np.flatnonzero(labels < classes)[:IMAGES]
    pixels = (images[rows] * (255 / 16)).round().astype(np.uint8)
    return pixels.reshape(-1, 8, 8), labels[rows].astype(np.int64)


def _split(scene: FigureScene, others: int) -> Split:
    digits, labels = _digits(scene.classes)
    pool = np.random.default_rng(others).integers(0, 256, (IMAGES + OTHER_IMAGES, 8, 8), dtype=np.uint8)
    rows = np.random.default_rng(0).permutation(len(pool))[:IMAGES]
    pool[rows] = digits
    return Split(images=scene.images(pool), index=rows.astype(np.int64), labels=labels.copy())


def _built(scene: FigureScene, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return scene.build(scene.input_shape[1:])


@functools.cache
def _trained(scene: FigureScene) -> nn.Module:
    """Return the network, in eval mode on the CPU, after a few steps on its own images."""
    model, (inputs, labels) = _built(scene, 0), _inputs(scene)
    parameters = list(model.parameters())
    with torch.enable_grad():
        for step in range(STEPS):  # by hand, since torch.optim imports the compiler, which takes seconds
            slopes = torch.autograd.grad(F.cross_entropy(model(inputs), labels), parameters)
            with torch.no_grad():
                for parameter, slope in zip(parameters, slopes, strict=True):
                    parameter.sub_(slope.sign(), alpha=RATE * (1 - step / STEPS))
    return model.eval()


def _inputs(scene: FigureScene) -> tuple[Tensor, Tensor]:
    split, (channels, *size) = _split(scene, 0), scene.input_shape
    images = torch.from_numpy(split.images[split.index])
    inputs = preprocess(images, PREPROCESS, image_size=(size[0], size[1]), in_channels=channels)
    return inputs, torch.from_numpy(split.labels)


def _predicted(scene: FigureScene, split: Split, names: tuple[str, ...]) -> Predictions:
    with torch.no_grad():
        logits = _trained(scene)(_inputs(scene)[0])
    return summarise(logits, split.labels, index=FIRST + np.arange(IMAGES, dtype=np.int64), class_names=names)


def _stretched(model: _Transformer, grid: tuple[int, int]) -> Tensor:
    """Return the positions of a transformer for another grid of patches, float[1, N, D]."""
    first, patches = model.pos_embed[:, :1], model.pos_embed[:, 1:]
    plane = patches.reshape(1, *model.grid, WIDTH).permute(0, 3, 1, 2)  # [1, D, rows, columns]
    plane = F.interpolate(plane, size=grid, mode="bilinear", align_corners=False)
    return torch.cat([first, plane.flatten(2).transpose(1, 2)], 1).detach()
