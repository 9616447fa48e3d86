"""Augmentation of whole batches, each image with draws of its own."""

from __future__ import annotations

from vitbench.training.augmentation.augmentation import Augmentation
from vitbench.training.augmentation.cropping import augment

__all__ = ["Augmentation", "augment"]
