"""The built-in figures: where models look, what their first layers are, where they are wrong."""

from __future__ import annotations

from collections.abc import Iterator

import vitbench

__all__ = ["vitbench_figures"]


@vitbench.hookimpl
def vitbench_figures() -> Iterator[vitbench.FigureSpec]:
    """Give the figures."""
    yield vitbench.FigureSpec(
        name="filters",
        draw="vitbench_figures.filters:draw",
        summary="What the first layer looks for: filters of a convolution, components of a patch embedding",
    )
    yield from _trusted()


def _trusted() -> Iterator[vitbench.FigureSpec]:
    """Give the figures that say where an answer comes from, each with the tests of its method."""
    target = vitbench.Option("", help="Class to explain, by name or number; empty: the predicted one")
    images = vitbench.Option(
        64, minimum=0, help="Images of the test split, and mosaics of four, that the tests use; 0: no tests"
    )
    yield vitbench.FigureSpec(
        name="attribution",
        draw="vitbench_figures.attribution:draw",
        summary="Patches that a Vision Transformer's answer rests on: attention weighted with its gradient; tested",
        options={"target": target, "images": images},
    )
    yield vitbench.FigureSpec(
        name="saliency",
        draw="vitbench_figures.saliency:draw",
        summary="Where a convolutional network's answer comes from: LayerCAM or Grad-CAM; tested",
        options={
            "method": vitbench.Option("layercam", choices=("layercam", "gradcam"), help="How channels are weighted"),
            "layer": vitbench.Option("", help="Name of the layer; empty: the last that gives at least 4x4 places"),
            "target": target,
            "images": images,
        },
        requires=("torchcam",),
    )
