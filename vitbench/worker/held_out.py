"""What a recipe says of training images that it held out: behind `FitRun.out_of_fold`.

N images, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitbench.errors import UsageError
from vitbench.measuring.predictions import summarise
from vitbench.protocols import Predictions, Split

__all__ = ["HeldOut"]


class HeldOut:
    """Gathers logits of images that the models which gave them had not learned from."""

    def __init__(self, *pools: Split, num_classes: int) -> None:
        """Start without any.

        Args:
            pools: the images that there may be logits of, all of one split of the dataset.
            num_classes: K.
        """
        self._images = pools[0].images
        rows = np.concatenate([pool.index for pool in pools])
        order = np.argsort(rows)
        self._rows, self._labels = rows[order], np.concatenate([pool.labels for pool in pools])[order]
        self._num_classes = num_classes
        self._index: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._logits: NDArray[np.float32] = np.empty((0, num_classes), dtype=np.float32)

    def __len__(self) -> int:
        """N."""
        return len(self._index)

    def add(self, index: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        """See `FitRun.out_of_fold`.

        Raises:
            UsageError: a shape is wrong, a logit is not finite, or a row is not a training image, or is given twice.
        """
        rows, given = np.asarray(index), np.asarray(logits)
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
            raise _wrong(f"index must be int64[N], rows of data.train.images, not {_form(rows)}")
        if given.shape != (len(rows), self._num_classes) or given.dtype.kind != "f":
            raise _wrong(f"logits must be float32[{len(rows)}, {self._num_classes}], not {_form(given)}")
        if len(broken := np.flatnonzero(~np.isfinite(given).all(axis=1))):
            raise _wrong(f"the logits of image {rows[broken[0]]} are not finite ({len(broken)} such images)")
        if len(others := rows[~np.isin(rows, self._rows)]):
            raise _wrong(f"row {others[0]} is neither a training nor a validation image of this run")
        found, count = np.unique(np.concatenate([self._index, rows]), return_counts=True)
        if count.max() > 1:
            raise _wrong(f"row {found[count > 1][0]} is given twice")
        self._index = np.concatenate([self._index, rows.astype(np.int64)])
        self._logits = np.concatenate([self._logits, given.astype(np.float32)])

    def predictions(self, class_names: tuple[str, ...]) -> tuple[Predictions, Split]:
        """Return what was said, and the images it was said of, in the order of their rows: the same for any folds."""
        order = np.argsort(self._index)
        rows, logits = self._index[order], torch.from_numpy(self._logits[order])
        labels = self._labels[np.searchsorted(self._rows, rows)]
        said = summarise(logits, labels, index=rows, class_names=class_names)
        return said, Split(images=self._images, index=rows, labels=labels)

    def state(self) -> dict[str, Tensor]:
        """Return what was gathered, to be saved with the state of a training."""
        return {"index": torch.from_numpy(self._index), "logits": torch.from_numpy(self._logits)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; from nothing where it is empty."""
        if state:
            self._index, self._logits = state["index"].numpy(), state["logits"].numpy()


def _wrong(words: str) -> UsageError:
    return UsageError(f"run.out_of_fold: {words}")


def _form(array: NDArray[Any]) -> str:
    return f"{array.dtype}{list(array.shape)}"
