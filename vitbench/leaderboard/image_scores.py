"""What stored predictions say of each image: what a paired comparison of two models rests on."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Outcomes", "read_outcomes", "read_predictions"]

Taken = TypeVar("Taken")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcomes:
    """One model's score on each of N test images."""

    scores: NDArray[np.bool_] | NDArray[np.float32]
    """bool[N] where each image is right or wrong, else float32[N]; the metric is their mean."""
    images: str
    """Digest of the true labels in their order: scores of different ones are never paired."""


def read_outcomes(path: Path, metric: str) -> Outcomes | None:
    """Read the scores behind a metric from a file of predictions; nothing in the file is run.

    Args:
        path: written by `vitbench.measuring.predictions.save_predictions`.
        metric: top1, top5 or nll.

    Returns:
        None where the metric is no mean of scores of images, or the file is missing or damaged.
    """
    if metric not in ("top1", "top5", "nll"):
        return None

    def taken(file: Any) -> Outcomes:
        labels = file["labels"]
        images = hashlib.sha256(labels.tobytes()).hexdigest()
        return Outcomes(scores=_scores(file, labels, metric), images=images)

    return read_predictions(path, taken)


def read_predictions(path: Path, taken: Callable[[Any], Taken]) -> Taken | None:
    """Return what is taken from the arrays of a file of predictions, by name; None where it is missing or damaged."""
    import numpy as np

    try:
        with path.open("rb") as source, np.load(source, allow_pickle=False) as file:
            return taken(file)
    except (OSError, EOFError, IndexError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
        return None


def _scores(file: Any, labels: NDArray[np.int64], metric: str) -> NDArray[np.bool_] | NDArray[np.float32]:
    if metric == "nll":
        return -file["true_log_probability"]  # type: ignore[no-any-return]
    classes = file["top_classes"][:, : 1 if metric == "top1" else 5]
    return (classes == labels[:, None]).any(axis=1)  # type: ignore[no-any-return]
