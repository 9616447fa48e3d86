"""Hybrids: a convolutional stem whose feature map a Vision Transformer reads in place of the image.

Dosovitskiy et al. (arXiv 2010.11929), section 3.1, "Hybrid architecture". `hybrid` is the one of the study
(ra1ph2/Vision-Transformer): ResNet-34 up to its first stage, pretrained on ImageNet-1k and frozen, then 12 blocks of
width 512 on patches of 7; it reports 80.0 / 54.6 percent on CIFAR-10 / CIFAR-100 at 224 pixels. `hybrid-cifar` keeps
the idea at 32 pixels, where a stem of early convolutions is what a ViT lacks most (Xiao et al., arXiv 2106.14881), and
trains its stem with the rest unless it is frozen; the stem and the first stage of a ResNet of its width can be its
stem's weights.

Shapes: B images, C channels, H height and W width of the input, K classes; the stem's feature map of F = 64 channels is
``[B, F, H / 4, W / 4]`` in `hybrid`, ``[B, F, H, W]`` in `hybrid-cifar`; N tokens of width D, as in `vit`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

from torch import Tensor, nn

from vitbench.errors import UnusableError, UsageError
from vitbench.training.checkpoint import State, load_state, read_state

from .resnet import BasicBlock, trunk
from .vit import VisionTransformer
from .weights import fill

STEM_WEIGHTS = "resnet34.tv_in1k"
"""torchvision's ResNet-34, by its name in timm and on the hub."""
STEM_WIDTH = 64


class Hybrid(nn.Module):
    """A stem, then a ViT on its feature map: images ``[B, C, H, W]`` to logits ``[B, K]``.

    Args:
        stem: maps images to a feature map.
        vit: maps the feature map to logits.
        frozen: keep the stem as it is, its batch statistics too, whatever mode the model is put in.
    """

    def __init__(self, stem: nn.Sequential, vit: VisionTransformer, *, frozen: bool) -> None:
        super().__init__()
        self.stem = stem
        self.vit = vit
        self.frozen = frozen
        self.facts: dict[str, str] = {}
        stem.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but a frozen stem, whose BatchNorm stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.stem.eval()
        return self

    def tokens(
        self, images: Tensor, *, replace: Callable[[Tensor], Tensor] | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """Map images ``[B, C, H, W]`` to the ViT's normalised tokens ``[B, N, D]``, as `VisionTransformer.tokens`."""
        return self.vit.tokens(self.stem(images), replace=replace, keep=keep)

    def features(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, H, W]`` to what the head reads ``[B, D]``."""
        return self.vit.features(self.stem(images))

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``[B, C, H, W]`` to logits ``[B, K]``."""
        return self.vit(self.stem(images))  # type: ignore[no-any-return]


def build(
    *,
    image_size: tuple[int, int],
    in_channels: int,
    frozen: bool,
    pretrained: bool,
    checkpoint: str,
    head: str,
    **sizes: Any,
) -> Hybrid:
    """Return the study's hybrid.

    Args:
        image_size: height and width.
        in_channels: C.
        frozen: do not train the stem, even one with initial values.
        pretrained: take the stem's weights from the hub, unless `checkpoint` is given.
        checkpoint: path of a ResNet-34's state dict, for the stem, or of a whole hybrid's; empty for neither.
        head: of a whole hybrid, ``own`` takes the checkpoint's, ``new`` makes one of zeros for K classes.
        sizes: the other keyword arguments of `VisionTransformer`; a patch is cut from the feature map.

    Raises:
        UsageError: a size that does not divide, or an option out of its range.
        UnusableError: the hub cannot be reached, or the checkpoint cannot be read or does not fit.
    """
    stem = nn.Sequential(trunk(BasicBlock, [3], in_channels=in_channels, width=STEM_WIDTH, stem="imagenet"))
    # The stem's convolution and its pooling each halve the sides, and round up.
    map_size = (math.ceil(image_size[0] / 4), math.ceil(image_size[1] / 4))
    patch_size = max(1, sizes["patch_size"])
    if any(side % patch_size for side in map_size):
        shown = "the stem's map of {}x{} positions, a quarter of the image's sides".format(*map_size)
        wanted = f"use an image_size that is a multiple of {4 * patch_size}, or another patch_size"
        raise UsageError(f"patch_size {patch_size} does not divide {shown}: {wanted}")
    vit = VisionTransformer(image_size=map_size, in_channels=STEM_WIDTH, **sizes)
    model = Hybrid(stem, vit, frozen=frozen)
    weights = "initial values"
    if checkpoint:
        weights = checkpoint
        _load(model, checkpoint, head=head)
    elif pretrained:
        weights = f"timm/{STEM_WEIGHTS}"
        load_state(stem, _first_stage(_fetch_resnet34()), source=weights)
    model.facts |= {"stem": "imagenet", "stem_weights": weights, "stem_trained": "no" if frozen else "yes"}
    return model


def _load(model: Hybrid, checkpoint: str, *, head: str) -> None:
    """Fill a hybrid with its own weights, or its stem alone with those of a ResNet.

    Raises:
        UnusableError: the checkpoint cannot be read or does not fit.
    """
    state = read_state(checkpoint, names={*model.state_dict(), *model.stem.state_dict()})
    if any(name.startswith("vit.") for name in state):
        fill(
            model,
            state,
            checkpoint,
            head=head,
            classifier="vit.head",
            positions="vit.pos_embed",
            grid=model.vit.grid,
        )
        return
    try:
        load_state(model.stem, State.of(_first_stage(state), state.taken), source=checkpoint)
    except UnusableError as error:
        raise UnusableError(f"{error} (its stem is the stem and the first stage of a ResNet)") from error


def _first_stage(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a ResNet's state without what follows its first stage."""
    beyond = ("layer2.", "layer3.", "layer4.", "fc.")
    return {name: tensor for name, tensor in state.items() if not name.startswith(beyond)}


def _fetch_resnet34() -> dict[str, Tensor]:
    import timm

    try:
        return timm.create_model(STEM_WEIGHTS, pretrained=True).state_dict()
    except OSError as error:  # what huggingface_hub raises for a missing network, host or file
        raise UnusableError(
            f"the stem's pretrained weights (timm/{STEM_WEIGHTS}) could not be fetched from the Hugging Face hub; "
            "set checkpoint=PATH (a ResNet-34) or pretrained=false"
        ) from error


def build_cifar(
    *,
    image_size: tuple[int, int],
    in_channels: int,
    stem_width: int,
    stem_blocks: int,
    frozen: bool,
    checkpoint: str,
    head: str,
    **sizes: Any,
) -> Hybrid:
    """Return a small hybrid whose stem keeps the size of the image.

    Args:
        image_size: height and width.
        in_channels: C.
        stem_width: F.
        stem_blocks: residual blocks after the stem's first convolution.
        frozen: do not train the stem.
        checkpoint: path of a state dict of a ResNet of basic blocks, for the stem, or of a whole hybrid's; empty for
            initial values.
        head: of a whole hybrid, ``own`` takes the checkpoint's, ``new`` makes one of zeros for K classes.
        sizes: the other keyword arguments of `VisionTransformer`; a patch is cut from the feature map.

    Raises:
        UsageError: a size that does not divide, or an option out of its range.
        UnusableError: the checkpoint cannot be read or does not fit.
    """
    if stem_width < 1 or stem_blocks < 0:
        raise UsageError(
            f"stem_width must be at least 1 and stem_blocks at least 0, not {stem_width} and {stem_blocks}"
        )
    stem = nn.Sequential(trunk(BasicBlock, [stem_blocks], in_channels=in_channels, width=stem_width, stem="cifar"))
    vit = VisionTransformer(image_size=image_size, in_channels=stem_width, **sizes)
    model = Hybrid(stem, vit, frozen=frozen)
    if checkpoint:
        _load(model, checkpoint, head=head)
    model.facts |= {
        "stem": "cifar",
        "stem_weights": checkpoint or "initial values",
        "stem_trained": "no" if frozen else "yes",
    }
    return model
