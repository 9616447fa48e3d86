"""What stored predictions say of each image: what a paired comparison of two models rests on."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Outcomes", "read_outcomes"]


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
    import numpy as np

    try:
        with path.open("rb") as source, np.load(source, allow_pickle=False) as file:
            labels = file["labels"]
            scores = _scores(file, labels, metric)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
        return None
    return Outcomes(scores=scores, images=hashlib.sha256(labels.tobytes()).hexdigest())


def _scores(file: Any, labels: NDArray[np.int64], metric: str) -> NDArray[np.bool_] | NDArray[np.float32]:
    if metric == "nll":
        return -file["true_log_probability"]  # type: ignore[no-any-return]
    classes = file["top_classes"][:, : 1 if metric == "top1" else 5]
    return (classes == labels[:, None]).any(axis=1)  # type: ignore[no-any-return]
