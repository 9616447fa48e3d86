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
