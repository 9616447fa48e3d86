"""From a model and images to predictions: run, validate, summarise, store.

A score is only made of logits that were validated first: argmax of a row of NaN is class 0, and ``(N, K, 1, 1)``
broadcasts against labels, so either would give a number that looks like an accuracy.

Shapes: B images in a batch, N images in all, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitbench.array_files import load_arrays, write_arrays
from vitbench.errors import VitbenchError
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

TOP = 100
"""Classes kept of each image in order."""
SHOWN = 5
"""Logits that are stored in order beside the whole ones, for a reader that wants no more."""
WHOLE_BYTES = 256 * 2**20
"""Logits that are kept whole: those of ImageNet's 50,000 images and 1000 classes take 191 MiB."""
CHUNK = 8192
"""Images that are summarised at once, which bounds the float64 copies."""


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


def summarise(
    logits: Tensor, labels: NDArray[np.int64], *, index: NDArray[np.int64], class_names: Sequence[str]
) -> Predictions:
    """Return what is kept of logits.

    Softmax is computed in float64. Equal logits are ordered by class, so that a model which knows nothing says class 0
    everywhere and always.

    Args:
        logits: float32 ``[N, K]`` on the CPU, validated.
        labels: int64 ``[N]``.
        index: int64 ``[N]``, the position of each image in its split of the dataset.
        class_names: K names.
    """
    top_classes, top_logits, log_normaliser = [], [], []
    for start in range(0, len(logits), CHUNK):
        part = logits[start : start + CHUNK]
        ordered = part.sort(dim=1, descending=True, stable=True)
        # Cut views would keep the whole of what was sorted.
        top_classes.append(ordered.indices[:, :TOP].clone())
        top_logits.append(ordered.values[:, :TOP].clone())
        log_normaliser.append(part.double().logsumexp(dim=1))
    return Predictions(
        labels=labels,
        index=index,
        class_names=tuple(class_names),
        logits=logits.numpy() if logits.nbytes <= WHOLE_BYTES else None,
        top_classes=torch.cat(top_classes).numpy(),
        top_logits=torch.cat(top_logits).numpy(),
        log_normaliser=torch.cat(log_normaliser).numpy(),
        true_logit=logits.gather(1, torch.from_numpy(labels)[:, None])[:, 0].numpy(),
    )


def save_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions as ``.npz``; the file appears atomically.

    It holds the fields of `Predictions` by name, without `logits` where these are None. Where they are not,
    `top_logits` are the first five alone: the others are found in `logits`.

    Raises:
        StoreError: the file cannot be written.
    """
    arrays: dict[str, Any] = {field.name: getattr(predictions, field.name) for field in fields(Predictions)}
    smallest = np.min_scalar_type(predictions.num_classes - 1)
    arrays |= {
        "class_names": np.array(predictions.class_names, dtype=np.str_),
        "top_classes": predictions.top_classes.astype(smallest),
    }
    if predictions.logits is None:
        del arrays["logits"]
    else:
        arrays["top_logits"] = predictions.top_logits[:, :SHOWN]
    write_arrays(path, arrays)


def load_predictions(path: Path) -> Predictions:
    """Read what `save_predictions` wrote; nothing in the file is run.

    Raises:
        StoreError: the file is missing or is not a file of predictions.
    """
    return load_arrays(path, _predictions)


def _predictions(file: Any) -> Predictions:
    logits = file.get("logits")
    top_classes = file["top_classes"].astype(np.int64)
    return Predictions(
        labels=file["labels"],
        index=file["index"],
        class_names=tuple(file["class_names"].tolist()),
        logits=logits,
        top_classes=top_classes,
        top_logits=file["top_logits"] if logits is None else np.take_along_axis(logits, top_classes, axis=1),
        log_normaliser=file["log_normaliser"],
        true_logit=file["true_logit"],
    )
