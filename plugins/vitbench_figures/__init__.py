"""The built-in figures: where models look, what their first layers are, where they are wrong."""

from __future__ import annotations

from collections.abc import Iterator

import vitbench
from vitbench import FigureSpec, Option

__all__ = ["vitbench_figures"]

LAYER = Option(0, minimum=0, help="Layer to show, from 1; 0: all")
HEAD = Option(0, minimum=0, help="Head to show, from 1; 0: all")
TARGET = Option("", help="Class to explain, by name or number; empty: the predicted one")
TESTED = Option(64, minimum=0, help="Test images that the tests of the method use; 0: no tests")
NEEDS_PREDICTIONS = ("predictions",)


@vitbench.hookimpl
def vitbench_figures() -> Iterator[FigureSpec]:
    """Give the figures."""
    yield FigureSpec(
        name="attention",
        draw="vitbench_figures.attention:draw",
        summary="Where each layer and head looks: attention maps over the images",
        options={"layer": LAYER, "head": HEAD, "images": TESTED},
    )
    yield FigureSpec(
        name="rollout",
        draw="vitbench_figures.rollout:draw",
        summary="How attention flows through all layers (Abnar and Zuidema)",
        options={
            "layer": Option(0, minimum=0, help="Layer up to which attention is followed, from 1; 0: the last"),
            "images": TESTED,
        },
    )
    yield FigureSpec(
        name="attribution",
        draw="vitbench_figures.attribution:draw",
        summary="Patches that the prediction relies on: attention weighted with its gradient (Chefer et al.), tested",
        options={"target": TARGET, "images": TESTED},
    )
    yield FigureSpec(
        name="saliency",
        draw="vitbench_figures.saliency:draw",
        summary="What a convolutional network's prediction relies on: LayerCAM or Grad-CAM, tested",
        options={
            "method": Option("layercam", choices=("layercam", "gradcam"), help="How channels are weighted"),
            "layer": Option("", help="Name of the layer; empty: the last one with at least 4x4 positions"),
            "target": TARGET,
            "images": TESTED,
        },
        requires=("torchcam",),
    )
    yield FigureSpec(
        name="distance",
        draw="vitbench_figures.distance:draw",
        summary="How far each head looks: mean attention distance by layer",
        options={"images": Option(64, minimum=1, help="Test images to average over")},
    )
    yield FigureSpec(
        name="filters",
        draw="vitbench_figures.filters:draw",
        summary="What the first layer looks for: filters of a convolution, components of a patch embedding",
    )
    yield FigureSpec(
        name="positions",
        draw="vitbench_figures.positions:draw",
        summary="How tokens encode position: position embeddings, relative biases, rotations",
    )
    yield FigureSpec(
        name="confusion",
        draw="vitbench_figures.confusion:draw",
        summary="Which classes are mistaken for which",
        needs=NEEDS_PREDICTIONS,
    )
    yield FigureSpec(
        name="mistakes",
        draw="vitbench_figures.mistakes:draw",
        summary="The most confident mistakes",
        needs=NEEDS_PREDICTIONS,
        options={"images": Option(16, minimum=1, maximum=64, help="Images to show")},
    )
