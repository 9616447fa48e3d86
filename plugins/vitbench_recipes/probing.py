"""What the recipes share that leave a model's weights alone and learn a head from its features.

Features are extracted once and kept (`FitRun.features`), so that all that is done here takes seconds. The head is
chosen on validation images. Where these are few, the training images are shared out among folds too: a head of the
other folds, chosen in the same way, says what it makes of each, and the run is judged by that (`FitRun.out_of_fold`).

Shapes: B images in a batch, N training images, M validation images, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.errors import UsageError
from vitbench.protocols import FitRun, Split, TrainVal
from vitbench.training import batches, labelled, on_device, preprocess, with_head

from .final import learns_from_val, refuse_judged_val

FEW_IMAGES = 1000
"""Validation images below which there are folds: of so many, accuracies carry an interval of three points."""
FOLDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What a head is learned from and chosen by: standardised features or plain ones, with their labels."""

    train: Tensor
    """float32[N, D]"""
    train_labels: Tensor
    """int64[N]"""
    val: Tensor
    """float32[M, D]"""
    val_labels: Tensor
    """int64[M]"""
    num_classes: int
    """K"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A head, and why it."""

    head: nn.Module
    """Maps features ``[B, D]`` to logits ``[B, K]``."""
    chosen: Mapping[str, float]
    """What was chosen on validation, by name; columns of the curve."""


Learn = Callable[[Known], Found]


Relearn = Callable[[Known, Mapping[str, float]], Found]
"""Learns a head by what was chosen, from the training images alone."""


def probe(model: nn.Module, data: TrainVal, run: FitRun, learn: Learn, relearn: Relearn | None = None) -> nn.Module:
    """Learn a head from a model's features, and return the model with it.

    Args:
        model: to learn a head for.
        data: what the recipe sees.
        run: its conditions.
        learn: chooses on the validation images.
        relearn: for ``final = "trainval"``: learns once more, from training and validation images.

    Raises:
        UsageError: the model has no features, or an option is wrong.
    """
    train = labelled(data.train, run.options["labels"])
    folds = _folds(run.options["folds"], train.labels, val=len(data.val))
    if learns_from_val(run) and folds is None:  # what the folds say was not learned from
        refuse_judged_val(run)
    model, _ = on_device(model, replace(run, compile=""))
    known = Known(
        train=_on(run, run.features(model, train)),
        train_labels=_on(run, train.labels),
        val=_on(run, run.features(model, data.val)),
        val_labels=_on(run, data.val.labels),
        num_classes=data.num_classes,
    )
    found = learn(known)
    if folds is not None:
        logits = torch.empty(len(train), data.num_classes, device=run.device)
        for fold in range(int(folds.max()) + 1):
            run.log()
            out = _on(run, folds == fold)
            part = replace(known, train=known.train[~out], train_labels=known.train_labels[~out])
            logits[out] = said(learn(part).head, known.train[out])
        run.out_of_fold(train.index, logits.cpu().numpy())
    logits = said(found.head, known.val)
    run.log(
        epoch=1,
        epochs=1,
        val_loss=F.cross_entropy(logits, known.val_labels).item(),
        val_top1=(logits.argmax(1) == known.val_labels).float().mean().item(),
        **found.chosen,
    )
    if relearn is not None and learns_from_val(run):
        both = replace(
            known,
            train=torch.cat([known.train, known.val]),
            train_labels=torch.cat([known.train_labels, known.val_labels]),
        )
        found = relearn(both, found.chosen)
    return with_head(model, found.head.to(run.device).eval(), _few(data, run))


def standardised(known: Known) -> tuple[Known, Tensor, Tensor]:
    """Return features of mean 0 and deviation 1 over the training images, and what undoes it: the mean and 1 / std.

    A feature that hardly changes is left out: its 1 / std is 0.
    """
    std, mean = torch.std_mean(known.train, dim=0, correction=0)
    least = 1e-6 * torch.maximum(mean.abs(), std.max())
    scale = torch.where(std > least, 1 / std, 0.0)
    scaled = replace(known, train=(known.train - mean) * scale, val=(known.val - mean) * scale)
    return scaled, mean, scale


def linear_head(weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor) -> nn.Linear:
    """Return the head that gives of plain features what weights ``[K, D]`` and a bias give of standardised ones."""
    head = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device)
    with torch.no_grad():
        head.weight.copy_(weight * scale)
        head.bias.copy_(bias - (weight * scale).double() @ mean.double())
    return head


@torch.no_grad()
def said(head: nn.Module, features: Tensor) -> Tensor:
    """Return the logits ``[N, K]`` of features ``[N, D]``, in parts."""
    return torch.cat([head(part) for part in features.split(1024)])


def best(candidates: Sequence[tuple[Mapping[str, float], Tensor]], labels: Tensor) -> Mapping[str, float]:
    """Return the choice whose logits ``[M, K]`` have the smallest cross-entropy; of equals the first."""
    losses = [F.cross_entropy(logits.float(), labels).item() for _, logits in candidates]
    return candidates[int(np.argmin(losses))][0]


def _folds(asked: int, labels: np.ndarray, *, val: int) -> np.ndarray | None:
    """Return the fold of each image, each class shared out evenly; None where there are none.

    Raises:
        UsageError: there are fewer images than folds.
    """
    count = asked or (FOLDS if val < FEW_IMAGES else 1)
    if count == 1:
        return None
    if count > len(labels):
        if asked:
            raise UsageError(f"folds = {count} exceeds the {len(labels)} labelled images; use fewer")
        return None
    order = np.random.default_rng(0).permutation(len(labels))  # fixed, so that all models and seeds share the folds
    order = order[np.argsort(labels[order], kind="stable")]
    folds = np.empty(len(labels), dtype=np.int64)
    folds[order] = np.arange(len(labels)) % count
    return folds


def _on(run: FitRun, array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).to(run.device)


def _few(data: TrainVal, run: FitRun) -> Tensor:
    """Return two of the model's inputs."""
    val = data.val
    some = Split(images=val.images, index=val.index[:2], labels=val.labels[:2])
    [(images, _)] = batches(some, batch_size=2, device=run.device)
    return preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
