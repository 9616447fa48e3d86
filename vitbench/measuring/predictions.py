"""From a model and images to predictions: run, validate, summarise, store.

A score is only made of logits that were validated first: argmax of a row of NaN is class 0, and ``(N, K, 1, 1)``
broadcasts against labels, so either would give a number that looks like an accuracy.

Shapes: B images in a batch, N images in all, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitbench.errors import StoreError, VitbenchError
from vitbench.measuring.steps import Autocast, check_output
from vitbench.protocols import Predictions

__all__ = [
    "InvalidPredictions",
    "load_predictions",
    "predict",
    "save_predictions",
    "summarise",
    "validate_logits",
]

TOP = 5
"""Classes kept of each image."""
CHUNK = 8192
"""Images that are summarised at once, which bounds the float64 copies."""
_STORED = tuple(field.name for field in fields(Predictions))


class InvalidPredictions(VitbenchError):  # noqa: N818 - the contract's name
    """The model's output is no set of logits for these labels; the message names the first bad image."""


def predict(
    model: nn.Module,
    batches: Iterable[Tensor],
    *,
    autocast: Autocast = nullcontext,
    tick: Callable[[], None] | None = None,
) -> Tensor:
    """Run a model over batches in eval mode and return all logits, float32 ``[N, K]`` on the CPU.

    Args:
        model: maps ``[B, C, H, W]`` to logits ``[B, K]``.
        batches: preprocessed images on the model's device, in the order of the labels.
        autocast: makes the context of each forward pass.
        tick: called after each batch, as a sign of life.

    Raises:
        InvalidOutput: an output is no tensor of logits ``[B, K]``.
        InvalidPredictions: there is no batch.
    """
    model.eval()
    collected: list[Tensor] = []
    with torch.inference_mode():
        for images in batches:
            with autocast():
                logits = model(images)
            check_output(logits, images)
            collected.append(logits.float().cpu())
            if tick is not None:
                tick()
    if not collected:
        raise InvalidPredictions("there are no images to predict")
    return torch.cat(collected)


def validate_logits(logits: Tensor, labels: NDArray[np.int64], num_classes: int) -> None:
    """Check that logits and labels belong together before anything is scored.

    Args:
        logits: float ``[N, K]``.
        labels: int64 ``[N]``.
        num_classes: K.

    Raises:
        InvalidPredictions: N is 0, a shape is wrong, a logit is not finite, or a label is not in 0..K-1.
    """
    if logits.ndim != 2 or logits.shape[1] != num_classes:
        raise InvalidPredictions(f"logits have shape {tuple(logits.shape)}; (images, {num_classes}) is needed")
    if len(logits) == 0:
        raise InvalidPredictions("there are no images to score")
    if labels.shape != (len(logits),):
        raise InvalidPredictions(f"labels have shape {labels.shape}; ({len(logits)},) is needed, one for each image")
    bad = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if bad.size:
        raise InvalidPredictions(
            f"image {bad[0]} has label {labels[bad[0]]}; with {num_classes} classes it must be 0 to {num_classes - 1}"
        )
    broken = (~logits.isfinite()).any(dim=1).nonzero()
    if len(broken):
        first = int(broken[0])
        value = float(logits[first][~logits[first].isfinite()][0])
        raise InvalidPredictions(
            f"image {first} has a logit that is {value}, as have {len(broken)} of {len(logits)} images in all; "
            "every logit must be finite"
        )


def summarise(logits: Tensor, labels: NDArray[np.int64]) -> Predictions:
    """Return what is kept of logits: the five likeliest classes, and the probability of the true one.

    Softmax is computed in float64. Equal logits are ordered by class, so that a model which knows nothing says class 0
    everywhere and always.

    Args:
        logits: float ``[N, K]``, validated.
        labels: int64 ``[N]``.
    """
    top_classes, top_probabilities, true_log_probability = [], [], []
    for start in range(0, len(logits), CHUNK):
        part, true = logits[start : start + CHUNK], torch.from_numpy(labels[start : start + CHUNK])
        log_probability = part.double().log_softmax(dim=1)
        classes = part.sort(dim=1, descending=True, stable=True).indices[:, :TOP]
        top_classes.append(classes)
        top_probabilities.append(log_probability.gather(1, classes).exp())
        true_log_probability.append(log_probability.gather(1, true[:, None])[:, 0])
    return Predictions(
        labels=labels,
        top_classes=torch.cat(top_classes).numpy(),
        top_probabilities=torch.cat(top_probabilities).float().numpy(),
        true_log_probability=torch.cat(true_log_probability).float().numpy(),
        num_classes=logits.shape[1],
    )


def save_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions as ``.npz``; the file appears whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    stored: dict[str, Any] = {name: getattr(predictions, name) for name in _STORED}
    try:
        with part.open("wb") as file:
            np.savez_compressed(file, **stored)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(f"cannot write the predictions {path}: {error.strerror or error}") from error


def load_predictions(path: Path) -> Predictions:
    """Read what `save_predictions` wrote; nothing in the file is run.

    Raises:
        StoreError: the file is missing or is no file of predictions.
    """
    try:
        with path.open("rb") as source, np.load(source, allow_pickle=False) as file:
            stored = {name: file[name] for name in _STORED}
            return Predictions(**stored | {"num_classes": int(stored["num_classes"])})
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise StoreError(f"cannot read the predictions {path}: {error}") from error
