"""AutoAugment's policy for CIFAR-10 and RandAugment: which operations an image undergoes, and how strong they are.

Strengths are those of torchvision's: 10 steps for AutoAugment, 31 for RandAugment, from 0 to the same largest ones.

Shapes: B images, C channels, H height and W width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vitbench.training.augmentation.operations import apply
from vitbench.training.draws import Draws

__all__ = ["CIFAR10", "LARGEST_MAGNITUDE", "autoaugment", "randaugment"]

LARGEST_MAGNITUDE = 30
"""Of RandAugment's."""

CIFAR10 = (
    (("Invert", 0.1, 7), ("Contrast", 0.2, 6)),
    (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9)),
    (("Sharpness", 0.8, 1), ("Sharpness", 0.9, 3)),
    (("ShearY", 0.5, 8), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.5, 8), ("Equalize", 0.9, 2)),
    (("ShearY", 0.2, 7), ("Posterize", 0.3, 7)),
    (("Color", 0.4, 3), ("Brightness", 0.6, 7)),
    (("Sharpness", 0.3, 9), ("Brightness", 0.7, 9)),
    (("Equalize", 0.6, 5), ("Equalize", 0.5, 1)),
    (("Contrast", 0.6, 7), ("Sharpness", 0.6, 5)),
    (("Color", 0.7, 7), ("TranslateX", 0.5, 8)),
    (("Equalize", 0.3, 7), ("AutoContrast", 0.4, 8)),
    (("TranslateY", 0.4, 3), ("Sharpness", 0.2, 6)),
    (("Brightness", 0.9, 6), ("Color", 0.2, 8)),
    (("Solarize", 0.5, 2), ("Invert", 0.0, 3)),
    (("Equalize", 0.2, 0), ("AutoContrast", 0.6, 0)),
    (("Equalize", 0.2, 8), ("Equalize", 0.6, 4)),
    (("Color", 0.9, 9), ("Equalize", 0.6, 6)),
    (("AutoContrast", 0.8, 4), ("Solarize", 0.2, 8)),
    (("Brightness", 0.1, 3), ("Color", 0.7, 0)),
    (("Solarize", 0.4, 5), ("AutoContrast", 0.9, 3)),
    (("TranslateY", 0.9, 9), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.9, 2), ("Solarize", 0.8, 3)),
    (("Equalize", 0.8, 8), ("Invert", 0.1, 3)),
    (("TranslateY", 0.7, 9), ("AutoContrast", 0.9, 1)),
)
"""Cubuk et al. 2018, table 7: pairs of an operation, its probability and its magnitude in 0..9, of which an image draws
one. Some operations have no use for their magnitude."""

_LARGEST = {
    "ShearX": 0.3,
    "ShearY": 0.3,
    "TranslateX": 150 / 331,  # of the width
    "TranslateY": 150 / 331,
    "Rotate": 30.0,  # degrees
    "Brightness": 0.9,
    "Color": 0.9,
    "Contrast": 0.9,
    "Sharpness": 0.9,
}
"""Strength at the largest magnitude, either way."""
_NAMES = (*_LARGEST, "Posterize", "Solarize", "AutoContrast", "Equalize", "Invert")
_IDENTITY = -1
_RANDOM = (*(name for name in _NAMES if name != "Invert"), "Identity")
"""What RandAugment draws from."""


def autoaugment(images: Tensor, draws: Draws) -> Tensor:
    """Return images uint8[B, C, H, W] after AutoAugment's policy for CIFAR-10; the draws are on the CPU."""
    drawn = draws.integers("autoaugment", 0, len(CIFAR10))
    for step in range(2):
        operation, probability, strength = (table[drawn] for table in _AUTOAUGMENT[step])
        happens = draws.uniform(f"autoaugment chance {step}") < probability
        operation = torch.where(happens, operation, _IDENTITY)
        images = apply(images, operation, _NAMES, _signed(strength, operation, draws, f"autoaugment sign {step}"))
    return images


def randaugment(images: Tensor, draws: Draws, *, operations: int, magnitude: int) -> Tensor:
    """Return images uint8[B, C, H, W] after RandAugment: some operations, each drawn from 14, at one magnitude, 0..30.

    The draws are on the CPU.
    """
    share = magnitude / LARGEST_MAGNITUDE
    numbers = torch.tensor([_NAMES.index(name) if name in _NAMES else _IDENTITY for name in _RANDOM])
    strengths = torch.tensor([_strength(name, share) for name in _RANDOM], dtype=torch.float64)
    for step in range(operations):
        drawn = draws.integers(f"randaugment {step}", 0, len(_RANDOM))
        operation = numbers[drawn]
        strength = _signed(strengths[drawn], operation, draws, f"randaugment sign {step}")
        images = apply(images, operation, _NAMES, strength)
    return images


def _signed(strength: Tensor, operation: Tensor, draws: Draws, purpose: str) -> Tensor:
    """Return strengths of which half, where the operation goes both ways, are negative."""
    either_way = (operation >= 0) & (operation < len(_LARGEST))
    return torch.where(either_way & draws.chance(purpose, 0.5), -strength, strength)


def _strength(name: str, share: float) -> float:
    """Return what an operation takes for a magnitude, given as a share of the largest."""
    if name == "Posterize":
        return 8 - round(4 * share)  # bits that are kept
    if name == "Solarize":
        return 255 * (1 - share)  # the brightness from which it inverts
    return _LARGEST.get(name, 0.0) * share


_AUTOAUGMENT = tuple(
    (
        torch.tensor([_NAMES.index(pair[step][0]) for pair in CIFAR10]),
        torch.tensor([pair[step][1] for pair in CIFAR10]),
        torch.tensor([_strength(pair[step][0], pair[step][2] / 9) for pair in CIFAR10], dtype=torch.float64),
    )
    for step in range(2)
)
"""The policy as tensors, for the first and the second operation: the operation's number, probability, strength."""
