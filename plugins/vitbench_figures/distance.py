"""How far each head looks: the mean distance between a patch and those that it attends to.

Dosovitskiy et al. 2021 (arXiv 2010.11929), figure 7, right, and appendix D.7.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from vitbench import Skip
from vitbench.attention import attention_distance
from vitbench.figures import FigureSubject, Points

from .layers import look, whole


def draw(subject: FigureSubject, *, images: int) -> Iterator[Points]:
    """Give a point for each head of each layer, and for comparison one that attends to all patches alike.

    Args:
        subject: the model and its images.
        images: how many of it, evenly spread.

    Raises:
        Skip: a layer's attention is not between all patches of the image.
    """
    count = min(images, len(subject.images))
    rows = subject.images.index[np.linspace(0, len(subject.images) - 1, count).astype(int)]
    total: dict[int, torch.Tensor] = {}
    uniform: dict[int, float] = {}
    for row in rows:
        seen = look(subject, subject.inputs([subject.images.images[row]]))
        for layer in whole(seen, "mean attention distance"):
            if layer.is_pool:
                continue
            patch = subject.input_shape[1] / layer.grid[0]
            distance = attention_distance(layer.weights[None].float(), layer.grid, patch=patch)[0].cpu()
            total[layer.number] = total.get(layer.number, torch.zeros(())) + distance / count
            if layer.number not in uniform:
                patches = layer.grid[0] * layer.grid[1]
                alike = torch.full((1, 1, patches, patches), 1 / patches)
                uniform[layer.number] = attention_distance(alike, layer.grid, patch=patch).item()
    if not total:
        raise Skip("mean attention distance needs attention between patches, but this model has only its pool's")
    heads = [(number, value) for number, values in total.items() for value in values.tolist()]
    x, y = zip(*heads, *uniform.items(), strict=True)
    yield Points(
        title="Mean attention distance",
        x=np.asarray(x, np.float32),
        y=np.asarray(y, np.float32),
        series=("head",) * len(heads) + ("uniform attention",) * len(uniform),
        x_label="layer",
        y_label="distance (pixels of the input)",
        note=f"One point per head: its mean over {count} images, for attention from patches to patches.",
    )
