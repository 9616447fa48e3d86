"""Families of models with attention, with random weights, as small as their options allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
import torch
import torchvision
from torch import nn
from vitbench_scratch import hybrid, vit2d

SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 4}
TIMM: dict[str, tuple[int, dict[str, Any]]] = {
    "vit_tiny_patch16_224": (64, SMALL),
    "deit_tiny_distilled_patch16_224": (64, SMALL),
    "deit3_small_patch16_224": (64, SMALL),
    "beit_base_patch16_224": (64, SMALL),
    "eva02_tiny_patch14_224": (56, {"depth": 2}),
    "vit_small_patch16_dinov3": (64, {"depth": 2}),
    "vit_small_patch16_rope_mixed_224": (64, {"depth": 2}),
    "vit_relpos_small_patch16_224": (64, {"depth": 2}),
    "vit_base_patch16_siglip_224": (64, SMALL),
    "swin_tiny_patch4_window7_224": (224, {"depths": (1, 1, 2, 1), "embed_dim": 24}),
    "cait_xxs24_224": (64, SMALL),
    "vit_small_r26_s32_224": (64, {"depth": 2}),
    "convit_tiny": (64, {"depth": 2, "local_up_to_layer": 1}),
    "levit_128s": (224, {}),
    "mvitv2_tiny": (64, {}),
    "pvt_v2_b0": (64, {}),
    "visformer_tiny": (224, {}),
    "fastvit_sa12": (64, {}),
    "hiera_tiny_224": (224, {"stages": (1, 1, 2, 1)}),
    "volo_d1_224": (224, {}),
    "xcit_nano_12_p16_224": (64, {"depth": 2}),
}
"""Side of the input in pixels, and options."""
OF_ANY_SIZE = ("pvt_v2_b0", "fastvit_sa12")


class Encoder(nn.Module):
    """Torch's own encoder on patches of eight pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.positions = nn.Parameter(torch.randn(1, 16, 16))
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.patches(x).flatten(2).mT + self.positions).mean(1))


def _torchvision_vit() -> nn.Module:
    sizes = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 16}
    return torchvision.models.VisionTransformer(**sizes, num_classes=10)


def _torchvision_swin() -> nn.Module:
    sizes = {"patch_size": [4, 4], "embed_dim": 12, "depths": [2, 1], "num_heads": [2, 4], "window_size": [4, 4]}
    return torchvision.models.SwinTransformer(**sizes, num_classes=10)


SIZES = {"depth": 2, "width": 16, "heads": 2, "mlp_ratio": 1.0, "dropout": 0.0, "drop_path": 0.0, "patch_size": 8}
COMMON: dict[str, Any] = {"num_classes": 10, "image_size": (32, 32), "in_channels": 3, "checkpoint": "", "head": "own"}


def _spatial() -> nn.Module:
    forms = {"stem": "spt", "position": "rope", "attention": "full", "pool": "seqpool", "window": 3}
    return vit2d.build(**COMMON, **forms, **SIZES)


def _hybrid() -> nn.Module:
    return hybrid.build_cifar(**COMMON, **SIZES, stem_width=8, stem_blocks=1, frozen=False)


OTHERS: dict[str, Callable[[], nn.Module]] = {
    "torchvision ViT": _torchvision_vit,
    "torchvision Swin": _torchvision_swin,
    "torch encoder": Encoder,
    "scratch vit2d": _spatial,
    "scratch hybrid": _hybrid,
}
"""Their inputs have 32 pixels."""
NAMES = (*TIMM, *OTHERS)


def family(name: str) -> tuple[nn.Module, int]:
    """Return a model of ten classes, in eval mode, and the side of its input."""
    torch.manual_seed(0)
    if name in OTHERS:
        return OTHERS[name]().eval(), 32
    side, options = TIMM[name]
    size = {} if side == 224 or name in OF_ANY_SIZE else {"img_size": side}
    return timm.create_model(name, num_classes=10, **size, **options).eval(), side
