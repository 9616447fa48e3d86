"""The units that a condition on a metric can be written in, by the unit that the metric is stored in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["DIMENSIONS", "Dimension", "Unit"]


@dataclass(frozen=True, slots=True)
class Unit:
    """How a number in this unit becomes one in the base unit: ``number * 10**power * factor``, rounded as little."""

    power: int = 0
    factor: int = 1


@dataclass(frozen=True, slots=True)
class Dimension:
    """What can be written for metrics of one base unit."""

    name: str
    units: Mapping[str, Unit]
    """By what is written; the first few are those that errors name."""
    bare: bool = True
    """Whether a number without a unit is clear: not where tables show another unit than programs get."""


_COUNTS = {"K": Unit(3), "M": Unit(6), "G": Unit(9), "T": Unit(12)}
DIMENSIONS: Mapping[str, Dimension] = {
    "s": Dimension(
        "time",
        {
            "s": Unit(),
            "ms": Unit(-3),
            "us": Unit(-6),
            "\u00b5s": Unit(-6),
            "\u03bcs": Unit(-6),
            "min": Unit(0, 60),
            "h": Unit(0, 3600),
        },
        bare=False,
    ),
    "B": Dimension(
        "memory",
        {name: Unit(0, 2**bits) for name, bits in (("MiB", 20), ("GiB", 30), ("KiB", 10), ("TiB", 40))}
        | {name: Unit(power) for name, power in (("B", 0), ("kB", 3), ("MB", 6), ("GB", 9), ("TB", 12))},
        bare=False,
    ),
    "fraction": Dimension("shares", {"%": Unit(-2)}),
    "images/s": Dimension("speed", {"images/s": Unit(), "img/s": Unit()}),
    "J": Dimension("energy", {"J": Unit(), "mJ": Unit(-3), "J/image": Unit(), "mJ/image": Unit(-3)}, bare=False),
    "1": Dimension("counts", {**_COUNTS, **{f"{name}MACs": unit for name, unit in _COUNTS.items()}}),
}
"""By base unit, which is that of the stored numbers. A metric of another unit takes this unit, or a bare number."""
