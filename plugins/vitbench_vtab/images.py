"""Images of a task, by rows of what holds them.

Shapes: N images in a split, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

OWN_SPLIT = "own split"
"""The lineage of splits that are cut here."""


class Source(Protocol):
    """What gives an image by its row."""

    def image(self, i: int) -> Pixels:
        """Return [C, H, W]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """A whole split as its files have it."""

    source: Source
    labels: NDArray[np.int64]
    """int64[N]"""
    class_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Some rows of a pool: one split of a task."""

    source: Source
    rows: NDArray[np.int64]
    """int64[N]"""
    labels: NDArray[np.int64]
    """int64[N]"""
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    lineage: str

    def image(self, i: int) -> Pixels:
        """Return [C, H, W]. Raises ValueError for an image that cannot be read."""
        return self.source.image(int(self.rows[i]))

    @property
    def names(self) -> Sequence[str] | None:
        """What each image is called; None where the files do not say."""
        names = getattr(self.source, "names", None)
        return None if names is None else [names[row] for row in self.rows.tolist()]

    @property
    def conversions(self) -> Mapping[str, int]:
        """How many of the images read so far are what, in words."""
        found: Mapping[str, int] = getattr(self.source, "conversions", {})
        return found
