"""One live process that times a Vision Transformer: ours or timm's, forward or train step, on one CPU thread.

It is told by a line on stdin how many calls to time as one block, and answers with the block's seconds. Arguments:
``scratch|timm forward|train image_size patch_size width depth heads batch_size``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
from torch import nn

CLASSES = 10


def build(who: str, *, image_size: int, patch_size: int, width: int, depth: int, heads: int) -> nn.Module:
    if who == "timm":
        from timm.models.vision_transformer import VisionTransformer

        return VisionTransformer(
            img_size=image_size,
            patch_size=patch_size,
            num_classes=CLASSES,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
        )
    from vitbench_scratch.vit import VisionTransformer

    return VisionTransformer(
        num_classes=CLASSES,
        image_size=image_size,
        in_channels=3,
        patch_size=patch_size,
        depth=depth,
        width=width,
        heads=heads,
        mlp_ratio=4.0,
        dropout=0.0,
    )


def forward(model: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    model.eval()

    @torch.inference_mode()
    def call() -> object:
        return model(images)

    return call


def train_step(model: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    model.train()
    labels = torch.arange(len(images)) % CLASSES
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def call() -> object:
        loss = nn.functional.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss

    return call


def main() -> None:
    who, mode = sys.argv[1:3]
    image_size, patch_size, width, depth, heads, batch_size = map(int, sys.argv[3:])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build(who, image_size=image_size, patch_size=patch_size, width=width, depth=depth, heads=heads)
    call = (forward if mode == "forward" else train_step)(model, torch.randn(batch_size, 3, image_size, image_size))
    for line in sys.stdin:
        start = time.perf_counter_ns()
        for _ in range(int(line)):
            call()
        print((time.perf_counter_ns() - start) / 1e9, flush=True)


if __name__ == "__main__":
    main()
