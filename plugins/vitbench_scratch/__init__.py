"""Models written from scratch in torch: Vision Transformers, plain and spatial, ResNets and hybrids.

The options of the specs below are the size table: `build` takes each of them, and has no defaults of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from vitbench import ModelSpec, Option, Preprocess, hookimpl
from vitbench.specs import OptionValue

VIT_PAPER = "Dosovitskiy et al. 2021, arXiv 2010.11929"
RESNET_PAPER = "He et al. 2016, arXiv 1512.03385"
STUDY = "ra1ph2/Vision-Transformer"
IMAGENET = Preprocess(
    mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), interpolation="bilinear", crop_fraction=0.875
)
NESTEROV = {"supervised": {"optimizer": "sgd", "lr": 0.1, "weight_decay": 5e-4}}
"""What convolutions with batch normalisation want of a recipe."""

CHECKPOINT = Option("", kind="file", help="Weights of the same model: .safetensors, or a state dict of torch.save")
"""Path of a state dict; empty for none."""
HEAD = Option("own", choices=("own", "new"), help="The checkpoint's own head, or a new one for the data's classes")
STARTS = {"checkpoint": CHECKPOINT, "head": HEAD}
STEM = Option(
    "", kind="file", help="Weights of the same model, or of a ResNet whose stem and first stage become the stem's"
)

DROP_PATH = "Probability that an image skips the last block in training, rising from 0 at the first"


def _sizes(**defaults: OptionValue) -> dict[str, OptionValue | Option]:
    """Return the options of a transformer with these defaults; each means the same in every model."""
    return {
        name: Option(default, help=meaning, minimum=minimum, maximum=0.99 if name in _RATES else None)
        for name, default in defaults.items()
        for meaning, minimum in (_MEANING[name],)
    }


_MEANING = {
    "patch_size": ("Side of a patch, in pixels of the image or positions of the stem's output", 1),
    "depth": ("Transformer layers", 1),
    "width": ("Width of a token", 1),
    "heads": ("Attention heads; must divide the width", 1),
    "mlp_ratio": ("Hidden width of the MLP, as a multiple of the width", 0.01),
    "dropout": ("Share of activations dropped in training", 0),
    "drop_path": (DROP_PATH, 0),
    "stem_width": ("Channels of the stem", 1),
    "stem_blocks": ("Residual blocks of the stem", 0),
}
"""What each option means, and its least value."""
_RATES = ("dropout", "drop_path")


@hookimpl
def vitbench_models() -> Iterator[ModelSpec]:
    """Give the models of this package."""
    yield from _vits()
    yield _vit2d()
    yield from _resnets()
    yield from _hybrids()


def _vits() -> Iterator[ModelSpec]:
    def vit(
        name: str,
        image_size: int | None,
        patch_size: int,
        depth: int,
        width: int,
        heads: int,
        mlp_ratio: float,
        dropout: float,
        summary: str,
        source: str = VIT_PAPER,
    ) -> ModelSpec:
        sizes = _sizes(
            patch_size=patch_size,
            depth=depth,
            width=width,
            heads=heads,
            mlp_ratio=mlp_ratio,
            dropout=dropout,
            drop_path=0.0,
        )
        return ModelSpec(
            name=name,
            build="vitbench_scratch.vit:build",
            summary=summary,
            source=source,
            image_size=image_size,
            any_size=True,
            options={**sizes, **STARTS},
        )

    study = f"{VIT_PAPER}; sizes of {STUDY}"
    # name, image size, patch, depth, width, heads, MLP ratio, dropout
    yield vit("vit", None, 4, 6, 192, 6, 2.0, 0.0, "Vision Transformer of any size, for images of any size")
    yield vit("vit-p8-d12", 32, 8, 12, 512, 16, 1.0, 0.1, "ViT of the study: patch 8, 12 layers, 32 px", study)
    yield vit("vit-p4-d12", 32, 4, 12, 512, 16, 1.0, 0.1, "ViT of the study: patch 4, 12 layers, 32 px", study)
    yield vit("vit-p4-d8", 32, 4, 8, 512, 16, 1.0, 0.1, "ViT of the study: patch 4, 8 layers, 32 px", study)
    yield vit(
        "vit-small-cifar",
        32,
        4,
        9,
        192,
        12,
        2.0,
        0.0,
        "ViT 192x9 for 32 px, 2.7 M parameters",
        "Lee et al. 2021, arXiv 2112.13492",
    )
    yield vit("vit-tiny", 224, 16, 12, 192, 3, 4.0, 0.0, "ViT-Ti/16, 224 px", "Touvron et al. 2021, arXiv 2012.12877")
    yield vit("vit-small", 224, 16, 12, 384, 6, 4.0, 0.0, "ViT-S/16, 224 px", "Touvron et al. 2021, arXiv 2012.12877")
    yield vit("vit-base", 224, 16, 12, 768, 12, 4.0, 0.0, "ViT-B/16, 224 px")


def _vit2d() -> ModelSpec:
    def one_of(meaning: str, *choices: str) -> Option:
        return Option(choices[0], choices=choices, help=meaning)

    sizes = _sizes(patch_size=4, depth=6, width=128, heads=4, mlp_ratio=2.0, dropout=0.1, drop_path=0.0)
    return ModelSpec(
        name="vit2d",
        build="vitbench_scratch.vit2d:build",
        summary="ViT for two-dimensional images: a choice of stems, positions, attention and pooling",
        source=f"{VIT_PAPER}; sizes of s-chh/2D-Positional-Encoding-Vision-Transformer",
        options={
            "stem": one_of("How an image becomes tokens", "patch", "spt", "conv", "cct"),
            "position": one_of(
                "How tokens encode position",
                *("learned", "none", "sincos", "relative", "relative-kv", "rope", "rope-mixed", "cpe"),
            ),
            "attention": one_of("Which tokens a token sees", "full", "local", "axial", "lsa"),
            "pool": one_of("What the head reads: the class token or a mean", "cls", "mean", "seqpool"),
            "window": Option(3, help="Rows and columns of patches that local attention sees", minimum=1),
            **sizes,
            **STARTS,
        },
    )


def _resnets() -> Iterator[ModelSpec]:
    for name, block, depths in (
        ("resnet18", "basic", (2, 2, 2, 2)),
        ("resnet34", "basic", (3, 4, 6, 3)),
        ("resnet50", "bottleneck", (3, 4, 6, 3)),
    ):
        yield ModelSpec(
            name=name,
            build="vitbench_scratch.resnet:build",
            summary=f"ResNet-{name.removeprefix('resnet')}; CIFAR stem below 64 px, ImageNet stem from 64 px on",
            source=RESNET_PAPER,
            arguments={"block": block, "depths": depths},
            options={
                "width": Option(64, help="Channels of the first stage", minimum=1),
                "drop_path": Option(0.0, help=DROP_PATH, minimum=0, maximum=0.99),
                **STARTS,
            },
            recipe_options=NESTEROV,
        )
    yield ModelSpec(
        name="resnet9",
        build="vitbench_scratch.resnet9:build",
        summary="ResNet-9 for small images, trained in minutes",
        source='David Page 2018, "How to train your ResNet", https://github.com/davidcpage/cifar10-fast',
        options={
            "width": Option(64, help="Channels of the first layer", minimum=1),
            **STARTS,
        },
        recipe_options=NESTEROV,
    )


def _hybrids() -> Iterator[ModelSpec]:
    yield ModelSpec(
        name="hybrid",
        build="vitbench_scratch.hybrid:build",
        summary="Hybrid of the study: pretrained ResNet-34 stem, frozen, into a ViT of 12 layers, 224 px",
        source=f"{VIT_PAPER}, section 3.1; sizes of {STUDY}",
        image_size=224,
        any_size=True,
        in_channels=3,
        preprocess=IMAGENET,
        recipe="recipes/supervised",
        options={
            **_sizes(patch_size=7, depth=12, width=512, heads=16, mlp_ratio=1.0, dropout=0.1, drop_path=0.0),
            "frozen": Option(True, help="Freeze the stem's weights"),
            "pretrained": Option(True, help="Load the stem's weights from the hub"),
            "checkpoint": STEM,
            "head": HEAD,
        },
        pretrained_on="ImageNet-1k",
        licence="BSD-3-Clause",
        downloads=True,
    )
    yield ModelSpec(
        name="hybrid-cifar",
        build="vitbench_scratch.hybrid:build_cifar",
        summary="Small hybrid for small images: residual stem and ViT, trained together",
        source=f"{VIT_PAPER}, section 3.1; Xiao et al. 2021, arXiv 2106.14881",
        recipe="recipes/supervised",  # with a ResNet's stem as well, behind which all is new
        options={
            **_sizes(
                stem_width=64,
                stem_blocks=2,
                patch_size=4,
                depth=6,
                width=192,
                heads=6,
                mlp_ratio=2.0,
                dropout=0.0,
                drop_path=0.0,
            ),
            "frozen": Option(False, help="Freeze the stem's weights"),
            "checkpoint": STEM,
            "head": HEAD,
        },
    )
