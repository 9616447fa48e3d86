"""Weights of classes of unequal size, beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from vitbench.training import class_weights


def test_they_are_scikit_learns_and_their_mean_over_images_is_one() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [3], dtype=np.int64)
    weights = class_weights(labels, 5)
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    torch.testing.assert_close(weights, torch.tensor([expected[0], expected[1], 0, expected[2], 0]).float())
    assert weights[labels].mean().item() == pytest.approx(1.0)
