"""What a model answered to each test image, read from its stored predictions.

Shapes: N images.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitbench.array_files import read_arrays

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Answers", "read_answers"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """The likeliest class of each of N test images, by one seed."""

    labels: NDArray[np.int64]
    """int64[N]"""
    classes: NDArray[np.int64]
    """int64[N]"""
    confidence: NDArray[np.float64]
    """float64[N]: the probability of that class."""
    index: NDArray[np.int64]
    """int64[N], the position of each image in its split, which a limit does not change."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """bool[N]: where the answer is the label."""
        return self.classes == self.labels  # type: ignore[no-any-return]

    def mistakes(self) -> NDArray[np.intp]:
        """Return where the answer is wrong, the most confident first; of equal ones the first image first."""
        import numpy as np

        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]

    def are_on_images_of(self, other: Answers) -> bool:
        """Say whether both are to the same images in the same order."""
        import numpy as np

        return np.array_equal(self.index, other.index) and np.array_equal(self.labels, other.labels)


def read_answers(path: Path) -> Answers | None:
    """Read the likeliest classes from a file of predictions; nothing in the file is run.

    Args:
        path: written by `vitbench.measuring.predictions.save_predictions`.

    Returns:
        None where the file is missing or damaged.
    """

    import numpy as np

    def taken(file: Any) -> Answers:
        return Answers(
            labels=file["labels"],
            classes=file["top_classes"][:, 0].astype(np.int64),
            confidence=np.exp(file["top_logits"][:, 0] - file["log_normaliser"]),
            index=file["index"],
        )

    return read_arrays(path, taken)
