"""Learn a linear head from the features of a model whose weights stay as they are: logistic regression.

As in CLIP (arXiv 2103.00020, section 3.2) and many others; here on standardised features. The strength of the L2
penalty falls step by step, and each fit starts from the last one, until the cross-entropy on validation rises. With
``final = "trainval"`` the head is learned once more at the chosen strength, from training and validation images.

Shapes: N training images, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from vitbench.protocols import FitRun, TrainVal

from .logistic import logistic_path
from .probing import Found, Known, linear_head, probe, said, standardised

STRENGTHS = tuple(10 ** (-exponent / 2) for exponent in range(13))
"""Of the penalty, from strong to weak: 1 to 1e-6, half a power of ten apart."""


def fit(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Learn a linear head from ``data.train`` and return the model with it.

    Raises:
        UsageError: the model has no features, or an option leaves too few images.
    """

    def learn(known: Known) -> Found:
        return learned(known, run)

    def relearn(known: Known, chosen: Mapping[str, float]) -> Found:
        return relearned(known, run, chosen)

    return probe(model, data, run, learn, relearn)


def learned(known: Known, run: FitRun) -> Found:
    """Return the linear head of the strength that suits the validation images best."""
    lowest, found = float("inf"), None
    for each in _heads(known, run, STRENGTHS):
        loss = F.cross_entropy(said(each.head, known.val), known.val_labels).item()
        if found is not None and not loss < lowest:
            break
        lowest, found = loss, each
    assert found is not None
    return found


def relearned(known: Known, run: FitRun, chosen: Mapping[str, float]) -> Found:
    """Return the linear head of the strength that was chosen."""
    *_, last = _heads(known, run, [strength for strength in STRENGTHS if strength >= chosen["l2"]])
    return last


def _heads(known: Known, run: FitRun, strengths: Sequence[float]) -> Iterator[Found]:
    """Yield the linear head of each strength, from strong to weak."""
    scaled, mean, scale = standardised(known)
    classes, labels = torch.unique(known.train_labels, return_inverse=True)
    path = logistic_path(scaled.train, labels, num_classes=len(classes), strengths=strengths)
    for strength, (weight, bias) in zip(strengths, path, strict=True):
        run.log()
        head = linear_head(*_of_all(weight, bias, classes, known), mean, scale)
        yield Found(head=head, chosen={"l2": strength})


def _of_all(
    weight: torch.Tensor, bias: torch.Tensor, classes: torch.Tensor, known: Known
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights and bias of all K classes; one without an image is less likely than any with one."""
    whole = weight.new_zeros(known.num_classes, weight.shape[1])
    least = bias.min() - torch.log(torch.tensor(float(len(known.train))))
    biases = least.expand(known.num_classes).clone()
    whole[classes], biases[classes] = weight, bias
    return whole, biases
