"""Blocks of two sides in turn, A B B A: a drift of the machine falls on both alike, and divides out of their ratio.

A run times a model so beside the reference network (vitbench/measuring/in_turn.py), lockstep two live processes
(vitbench/lockstep/compare.py). One rule says what a disturbed quad is and which quads count: those that the kernel says
were disturbed are left out whole, never more than half of them, the most disturbed first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

__all__ = ["DISTURBED", "Quad", "is_sharp", "median_log_ratio", "undisturbed"]

DISTURBED = 0.05
"""Share of the processor that was taken from a quad (`vitbench.measuring.evidence.disturbance`), from which on it is
disturbed: a quad of four blocks loses so much to a single time slice of another process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quad:
    """Four blocks in turn: one side's, the other's two, and the first one's again."""

    first: tuple[float, float]
    """Seconds of the first side's two blocks."""
    second: tuple[float, float]
    """Seconds of the second side's two blocks."""
    images: tuple[int, int]
    """Images in a block of each side."""
    remarks: tuple[str, ...] = ()
    """What may make it doubtful, in words."""
    disturbance: float = 0.0
    """Share of the processor that the machine took from it, 0 to 1."""

    @property
    def disturbed(self) -> bool:
        """Whether the machine disturbed it by more than does not matter."""
        return self.disturbance > DISTURBED

    @property
    def log_ratio(self) -> float:
        """Natural logarithm of the second's images per second over the first's."""
        seconds = (
            math.log(self.first[0]) + math.log(self.first[1]) - math.log(self.second[0]) - math.log(self.second[1])
        )
        return math.log(self.images[1] / self.images[0]) + seconds / 2


def undisturbed(quads: Sequence[Quad]) -> list[Quad]:
    """Return the quads that count, in their order: without the disturbed ones, but at least half of all."""
    least = (len(quads) + 1) // 2
    by_calm = sorted(range(len(quads)), key=lambda i: quads[i].disturbance)
    calm = sum(not quad.disturbed for quad in quads)
    return [quads[i] for i in sorted(by_calm[: max(calm, least)])]


def median_log_ratio(quads: Sequence[Quad]) -> float:
    """Return the median over some quads of the logarithm of the second's images per second over the first's."""
    return median(quad.log_ratio for quad in quads)


def is_sharp(quads: Sequence[Quad], error: float) -> bool:
    """Return whether the median log ratio is known well: its standard error, under normal noise of the quads' IQR.

    Args:
        quads: two at least.
        error: the largest standard error that is small enough.
    """
    lower, _, upper = quantiles((quad.log_ratio for quad in quads), n=4)
    sigma = (upper - lower) / 1.349
    return math.sqrt(math.pi / 2 / len(quads)) * sigma <= error
