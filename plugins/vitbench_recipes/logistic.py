"""Multinomial logistic regression with an L2 penalty, on the whole data, each strength from the weights of the last.

The objective is scikit-learn's over N: the mean cross-entropy, and ``l2 / 2`` times the squared norm of the weights,
intercepts apart, so that scikit-learn's ``C`` is 1 / (l2 N). SciPy's L-BFGS-B minimises it; torch computes it and its
gradient, on the device of the features.

Features are turned onto their principal axes, and each axis is scaled by what the curvature along it is about, so that
many correlated features take few steps: the weights differ there, the objective and its optimum are the same.

Shapes: N images, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

TOLERANCE = 3e-4
"""Largest entry of the scaled gradient at which a fit ends: within a thousandth of the smallest loss."""
MOST_STEPS = 300

Vector = NDArray[np.float64]


def logistic_path(
    x: Tensor, labels: Tensor, *, num_classes: int, strengths: Sequence[float], tolerance: float = TOLERANCE
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield weights ``[K, D]`` and intercepts ``[K]`` for each strength of the penalty, from zero on.

    Args:
        x: float32[N, D], standardised.
        labels: int64[N].
        num_classes: K.
        strengths: of the penalty, from strong to weak.
        tolerance: where a fit ends.
    """
    from scipy.optimize import minimize

    count, width = x.shape
    values, axes = torch.linalg.eigh(x.T @ x / count)
    turned, curvature = x @ axes, values.clamp(min=0) / num_classes
    targets = F.one_hot(labels, num_classes).to(x.dtype)
    zeros = x.new_zeros(num_classes, width)
    weight, bias = zeros, x.new_zeros(num_classes)
    for l2 in strengths:
        scale = (curvature + l2).rsqrt()

        def objective(point: Vector, l2: float = l2, scale: Tensor = scale) -> tuple[float, Vector]:
            scaled, bias = _parts(point, zeros)
            weights = scaled * scale
            log_shares = F.linear(turned, weights, bias).log_softmax(1)
            loss = -(log_shares * targets).sum() / count + l2 / 2 * weights.square().sum()
            error = (log_shares.exp() - targets) / count  # [N, K]
            gradient = (error.T @ turned + l2 * weights) * scale
            return loss.item(), _point(gradient, error.sum(0))

        found = minimize(
            objective,
            _point(weight / scale, bias),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": MOST_STEPS, "gtol": tolerance, "maxls": 50},
        )
        weight, bias = _parts(found.x, zeros)
        weight = weight * scale
        yield weight @ axes.T, bias


def _point(weight: Tensor, bias: Tensor) -> Vector:
    point: Vector = torch.cat([weight.flatten(), bias]).double().cpu().numpy()
    return point


def _parts(point: Vector, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights and intercepts of a point, as float32 on the device of `like`."""
    classes = len(like)
    parts = torch.from_numpy(point).to(like)
    return parts[:-classes].view_as(like), parts[-classes:]
