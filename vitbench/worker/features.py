"""Features of a cell's images, extracted once and kept beside the image cache.

    <root>/features/<key>/<rows>.npz        rows int64[n] of one array of images, and their features [n, D]

The key is of all that features are made of: the model with its weights, the code, the pixels, the preprocessing, and
what computes. Each file holds some rows and is named by them, so that a larger part of the same images adds what is
new, and two processes that do the same write the same files. A damaged file is deleted, and its rows are extracted
again.

Shapes: N images in a split, n in a file, D features.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitbench.array_files import read_arrays, write_arrays
from vitbench.errors import StoreError, UsageError
from vitbench.execution.executor import Send
from vitbench.execution.messages import Progress
from vitbench.protocols import Split, TrainVal
from vitbench.records import KeyedCell, QualityCell, digest
from vitbench.training.checkpoint import digest_of
from vitbench.training.frozen_features import extracted

__all__ = ["FeatureCache"]

FORMAT = 1
"""Version of the files, and of the way features are made."""
IMAGES_PER_FILE = 1024
"""What a process that is killed loses at most."""
SIGN_SECONDS = 1.0
"""The least time between two signs of life."""

Rows = NDArray[np.int64]
Features = NDArray[np.floating[Any]]


class FeatureCache:
    """What `FitRun.features` is in a run, for one cell."""

    def __init__(
        self, planned: KeyedCell, model: nn.Module, data: TrainVal, send: Send, say: Callable[[str], None]
    ) -> None:
        """Take what the cell says.

        Args:
            planned: the cell.
            model: as it was built for the cell. A recipe may ask for the features of another one.
            data: that its recipe sees.
            send: gets the progress.
            say: tells the user a sentence.
        """
        assert planned.data is not None
        assert isinstance(planned.cell, QualityCell)
        self._planned, self._cell, self._model, self._data = planned, planned.cell, model, data
        self._send, self._say = send, say
        self._root = Path(planned.data.cache).parents[1] / "features"
        self._type = np.float16 if planned.cell.precision == "float16" else np.float32
        self._last_sign = 0.0
        self._keeps = True
        self.read = 0
        """Images whose features were there already."""

    def __call__(self, model: nn.Module, split: Split) -> NDArray[np.float32]:
        """See `FitRun.features`.

        Raises:
            UsageError: the model is a baseline, or has no features that are finite numbers.
        """
        if self._planned.baseline:
            raise UsageError(f"{self._planned.label} is a baseline, which has no features; leave it out")
        rows, place = np.unique(split.index, return_inverse=True)
        folder = self._folder(model, split)
        features, known = _gathered(folder, rows, self._type) if folder else (None, np.zeros(len(rows), bool))
        self.read += int(known[place].sum())
        if not known.all():
            for some, found in self._extracted(model, split, rows[~known], folder):
                if features is None:
                    features = np.empty((len(rows), found.shape[1]), self._type)
                features[np.searchsorted(rows, some)] = found
        assert features is not None
        return features[place].astype(np.float32)

    def _folder(self, model: nn.Module, split: Split) -> Path | None:
        """Return the folder of what is known of a model and an array of images; None: the array is not the cache's."""
        array, made_of, data, cell = (
            getattr(split.images, "filename", None),
            self._planned.provenance,
            self._data,
            self._cell,
        )
        if array is None:
            return None
        tensors = {name: tensor.detach().cpu() for name, tensor in (*model.named_parameters(), *model.named_buffers())}
        # What other model a recipe makes, its options may decide.
        others = {} if model is self._model else cell.recipe_options
        key: list[Any] = [
            FORMAT,
            [cell.model, cell.options, others, str(model), digest_of(tensors)],
            [made_of.model, made_of.recipe, made_of.others, made_of.vitbench],
            [made_of.torch, made_of.all_libraries, cell.variables],
            [made_of.data_fingerprint, Path(array).parent.name, Path(array).name],
            [data.preprocess, data.image_size, data.in_channels],
            [torch.device(self._planned.device).type, cell.threads, cell.precision, cell.channels_last],
        ]
        return self._root / digest(key)

    def _extracted(
        self, model: nn.Module, split: Split, rows: Rows, folder: Path | None
    ) -> Iterator[tuple[Rows, Features]]:
        """Extract the features of some rows, and keep them; yield those of a file, and their rows."""
        gathered, begin, done = list[Features](), 0, 0
        for found in extracted(
            model,
            Split(images=split.images, index=rows, labels=np.zeros_like(rows)),
            self._data,
            device=torch.device(self._planned.device),
            precision=self._cell.precision,
            channels_last=self._cell.channels_last,
            tick=lambda number: self._tick(number / len(rows)),
        ):
            with np.errstate(over="ignore"):  # told in words
                gathered.append(found.astype(self._type))
            if not np.isfinite(gathered[-1]).all():
                raise UsageError("features exceed the range of float16; compute in float32 or bfloat16")
            done += len(found)
            if done - begin >= IMAGES_PER_FILE or done == len(rows):
                part = rows[begin:done], np.concatenate(gathered)
                if folder is not None and self._keeps:
                    self._keep(folder, *part)
                yield part
                gathered, begin = [], done

    def _keep(self, folder: Path, rows: Rows, features: Features) -> None:
        name = hashlib.sha256(rows.tobytes()).hexdigest()[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_arrays(folder / f"{name}.npz", {"rows": rows, "features": features})
        except (OSError, StoreError) as error:
            self._keeps = False
            reason = error.strerror if isinstance(error, OSError) else error
            self._say(f"its features are not stored in {self._root} ({reason}); the next run extracts them again")

    def _tick(self, share: float) -> None:
        if time.monotonic() - self._last_sign > SIGN_SECONDS:
            self._last_sign = time.monotonic()
            self._send(Progress(epoch=share, epochs=1, stage="extracting features"))


def _gathered(folder: Path, rows: Rows, kind: type[np.floating[Any]]) -> tuple[Features | None, NDArray[np.bool_]]:
    """Return the features that a folder has of some rows, ascending, and which of them it has.

    A file that is damaged is deleted. None: it has none.
    """
    features: Features | None = None
    known = np.zeros(len(rows), bool)
    for path in sorted(folder.glob("*.npz")):
        read = read_arrays(path, lambda file: (file["rows"], file["features"]))
        if (
            read is None
            or not _is_whole(*read, kind)
            or (features is not None and features.shape[1] != read[1].shape[1])
        ):
            with contextlib.suppress(OSError):
                path.unlink()
            continue
        at = np.searchsorted(rows, read[0]).clip(max=len(rows) - 1)
        held = rows[at] == read[0]
        if features is None:
            features = np.empty((len(rows), read[1].shape[1]), kind)
        features[at[held]] = read[1][held]
        known[at[held]] = True
    return features, known


def _is_whole(rows: NDArray[Any], features: NDArray[Any], kind: type[np.floating[Any]]) -> bool:
    return (
        (rows.dtype, rows.ndim) == (np.dtype(np.int64), 1)
        and (features.dtype, features.ndim, len(features)) == (np.dtype(kind), 2, len(rows))
        and bool(np.isfinite(features).all())
    )
