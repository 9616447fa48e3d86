"""What is stored of a measurement on each image, or on resamples of the images: what a paired comparison rests on.

It is read by the measurement's name alone. N images, B resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitbench.array_files import read_arrays
from vitbench.statistics import freedom_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Known", "Outcomes", "Resampled", "read_outcomes"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcomes:
    """One model's score on each of N test images; the measurement is their mean."""

    scores: NDArray[np.bool_] | NDArray[np.float64]
    """bool[N] where each image is right or wrong, else float64[N]: the mean of them is that of the measurement."""
    images: str
    """Digest of the test images: scores of different ones are never paired."""

    @property
    def value(self) -> float:
        """The mean."""
        return float(self.scores.mean(dtype=float))

    @property
    def size(self) -> int:
        """N."""
        return len(self.scores)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the variance of the scores; N - 1 of right and wrong."""
        return self.size - 1.0 if self.scores.dtype == bool else freedom_of(self.scores)


@dataclass(frozen=True, kw_only=True, slots=True)
class Resampled:
    """One model's value on all of N test images, and on resamples of them that are the same for all models."""

    value: float
    replicates: NDArray[np.float64]
    """float64[B], NaN where a resample has no value."""
    step: float
    """The most that another answer for one image would change the value, as far as it is known."""
    size: int
    """N"""
    images: str
    """Digest of the test images: scores of different ones are never paired."""

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the variance over images: N - 1."""
        return self.size - 1.0


Known = Outcomes | Resampled


def read_outcomes(path: Path, name: str) -> Known | None:
    """Read what is stored behind a measurement; nothing in the file is run.

    Args:
        path: written by `vitbench.worker.scores.save_scores`.
        name: of the measurement.

    Returns:
        None where nothing is stored of it, or the file is missing or damaged.
    """

    def taken(file: Any) -> Known:
        images = str(file["images"])
        if f"{name}/scores" in file:
            return Outcomes(scores=file[f"{name}/scores"], images=images)
        return Resampled(
            value=float(file[f"{name}/value"]),
            replicates=file[f"{name}/replicates"],
            step=float(file[f"{name}/step"]),
            size=int(file["count"]),
            images=images,
        )

    return read_arrays(path, taken)
