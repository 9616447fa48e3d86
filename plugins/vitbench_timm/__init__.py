"""Any model of timm, with its pretrained weights and its own preprocessing.

The open family ``timm/<any timm name>`` is completed by timm itself; the models below are listed by hand, so that a
listing imports nothing heavy, and a test holds each against timm's own configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from vitbench import ModelSpec, Option, Preprocess, hookimpl
from vitbench.specs import OptionValue

BUILD = "vitbench_timm.models:build"
REVISION = "vitbench_timm.models:revision"
CLASS_NAMES = "vitbench_timm.models:class_names"
OPTIONS: dict[str, OptionValue | Option] = {
    "pretrained": Option(True, help="Load the weights of the name's tag from the hub"),
    "checkpoint": Option("", kind="file", help="Weights of the same architecture, instead of the hub's"),
    "head": Option("new", choices=("new", "own"), help="A new head for the data's classes, or that of the weights"),
}
HALF = (0.5, 0.5, 0.5)


@hookimpl
def vitbench_models() -> Iterator[ModelSpec]:
    """Give the listed models, and the family of all others."""
    augreg = "Steiner et al. 2021, arXiv 2106.10270"
    bit = "Kolesnikov et al. 2020, arXiv 1912.11370"
    yield _listed("vit_base_patch16_224.augreg_in21k", "ViT-B/16, ImageNet-21k", augreg, "bicubic", 0.9)
    yield _listed("vit_small_patch16_224.augreg_in21k", "ViT-S/16, ImageNet-21k", augreg, "bicubic", 0.9)
    yield _listed("resnetv2_50x1_bit.goog_in21k", "BiT-M R50x1, ImageNet-21k", bit, "bilinear", 0.875)
    yield _listed("resnetv2_152x4_bit.goog_in21k", "BiT-M R152x4, ImageNet-21k", bit, "bilinear", 0.875)
    yield _listed(
        "vit_base_r50_s16_224.orig_in21k",
        "Hybrid R50+ViT-B/16, ImageNet-21k",
        "Dosovitskiy et al. 2021, arXiv 2010.11929",
        "bicubic",
        0.9,
    )
    yield _listed(
        "efficientnet_b0.ra_in1k",
        "EfficientNet-B0, ImageNet-1k",
        "Tan and Le 2019, arXiv 1905.11946",
        "bicubic",
        0.875,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    yield ModelSpec(
        name="*",
        build=BUILD,
        summary="Any timm model by its name, such as timm/convnext_tiny.in12k_ft_in1k",
        source="https://github.com/huggingface/pytorch-image-models",
        options=OPTIONS,
        pretrained_on="what its tag names",
        downloads=True,
        requires=("timm",),
        resolve="vitbench_timm.models:resolve",
        members="vitbench_timm.models:members",
    )


def _listed(
    name: str,
    title: str,
    source: str,
    interpolation: Literal["bilinear", "bicubic"],
    crop_fraction: float,
    mean: tuple[float, ...] = HALF,
    std: tuple[float, ...] = HALF,
) -> ModelSpec:
    """Return the spec of a model that takes 224 pixels; the title ends in what its weights were trained on."""
    return ModelSpec(
        name=name,
        build=BUILD,
        summary=f"{title}, 224 px",
        source=source,
        image_size=224,
        any_size=True,
        preprocess=Preprocess(mean=mean, std=std, interpolation=interpolation, crop_fraction=crop_fraction),
        options=OPTIONS,
        arguments={"architecture": name},
        pretrained_on=title.rpartition(", ")[2],
        licence="Apache-2.0",
        downloads=True,
        revision=REVISION,
        class_names=CLASS_NAMES,
        requires=("timm",),
    )
