"""What the page and the pictures share of training curves: names in words, and the looks that tell models apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["CLOCK", "COLOURS", "DASHES", "MOST_NAMED", "Quantity", "quantity_of", "recorded"]

CLOCK = "train_seconds"
"""The column of a curve that counts the seconds of training; see `vitbench.protocols.FitRun`."""


class Quantity(NamedTuple):
    """A column of training curves as people read it."""

    words: str
    scale: float = 1.0
    """What its values are multiplied by."""


_KNOWN = {
    "val_top1": Quantity("validation accuracy (%)", 100.0),
    "loss": Quantity("training loss"),
    "lr": Quantity("learning rate"),
    "images_per_second": Quantity("training images per second"),
    "wait_seconds": Quantity("seconds waiting for data"),
}
"""In the order in which they are offered."""

COLOURS = ("#0b5cad", "#c2410c", "#00795c", "#a8478f", "#8a6400", "#3b4650")
"""Colours that differ for people who do not see red or green, each 4.5 : 1 and more against white; after Okabe and Ito,
https://jfly.uni-koeln.de/color/. The page's style sheet has lighter ones for the dark, as ``--line-0`` and so on."""
DASHES: tuple[tuple[int, ...], ...] = ((), (6, 3), (2, 2), (9, 3, 2, 3))
"""Lines of one colour differ in these."""
MOST_NAMED = len(COLOURS) * len(DASHES)
"""Models with a look and a name of their own, the best first; further ones are grey."""


def quantity_of(name: str) -> Quantity:
    """Return how a column of a curve is read."""
    return _KNOWN.get(name, Quantity(name))


def recorded(names: Iterable[str]) -> list[str]:
    """Return the columns that can be drawn, of all that some curves have: known ones first, then as they come."""
    found = dict.fromkeys(names)
    return [name for name in dict.fromkeys([*_KNOWN, *found]) if name in found and name not in ("epoch", CLOCK)]
