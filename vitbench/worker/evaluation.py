"""Read the split that it is judged on once with a trained model, then see whether what it says may be relied on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitbench.measuring.audits import AUDIT_IMAGES, audit
from vitbench.measuring.loading import measure_loading
from vitbench.measuring.numerics import compare, disagreement, is_variant, unjudged
from vitbench.measuring.predictions import predict, summarise, validate_logits
from vitbench.measuring.steps import forward_of
from vitbench.protocols import Agreement, Loading, Predictions, Split
from vitbench.records import KeyedCell, QualityCell
from vitbench.specs import Preprocess
from vitbench.training import autocast, batches, preprocess
from vitbench.training.setup import placed
from vitbench.worker.casting import CastWeights
from vitbench.worker.runtime import runtime

__all__ = ["Evaluation", "evaluate"]

EVALUATION_BATCH = 256
LOADING_BATCH = 64
"""Smaller, so that a slow model on a CPU is timed over enough batches before long."""
COMPARED_IMAGES = 512
"""Images on which a variant is compared with float32: a class that changes on one image in a hundred is seen."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What an evaluation gave."""

    predictions: Predictions
    agreement: Agreement | None
    """None where the cell is plain float32."""
    loading: Loading | None
    """None for a baseline."""
    faults: tuple[str, ...]
    warnings: tuple[str, ...]


def evaluate(
    model: nn.Module, planned: KeyedCell, judged: Split, how: Preprocess, tick: Callable[[], None]
) -> Evaluation:
    """Predict a split as the cell asks, audit the model, time loading, and compare a variant with float32.

    Args:
        model: trained; it is left in eval mode, on the cell's device, in torch's own memory format.
        planned: the cell.
        judged: what the model is judged on.
        how: makes the model's input.
        tick: called after each batch, as a sign of life.

    Raises:
        InvalidOutput: the model gives something that is no logits.
        InvalidPredictions: its logits cannot be scored.
    """
    # torch.compile falls to pieces over a cast weight beside its gradient in float32, in silence and in many graphs.
    model.zero_grad(set_to_none=True)
    bench = _Evaluator(model, planned, judged, how)
    assert planned.data is not None
    logits = bench.weights.settle(lambda: bench.logits(tick))
    validate_logits(logits, judged.labels, len(planned.class_names))
    faults, warnings = bench.audit(logits)
    loading = None if planned.baseline else bench.loading()
    bench.weights.restore()
    agreement = bench.agreement(logits) if bench.variant else None
    if agreement is not None:
        faults = (*faults, *filter(None, [disagreement(agreement)]))
        warnings = (*warnings, *filter(None, [unjudged(agreement)]), *bench.weights.remarks)
    return Evaluation(
        predictions=summarise(logits, judged.labels, index=judged.index, class_names=planned.class_names),
        agreement=agreement,
        loading=loading,
        faults=faults,
        warnings=warnings,
    )


class _Evaluator:
    """A trained model in the cell's conditions, and the images that it is judged on."""

    plain: nn.Module
    """The model as `fit` returned it."""
    called: nn.Module
    """The same, compiled where the cell asks for it."""

    def __init__(self, model: nn.Module, planned: KeyedCell, judged: Split, how: Preprocess) -> None:
        cell = planned.cell
        assert isinstance(cell, QualityCell)
        self.planned, self.cell, self.judged, self.how = planned, cell, judged, how
        self.device = torch.device(planned.device)
        # A baseline is no network, and computes as it does whatever was asked for.
        self.variant = not planned.baseline and is_variant(cell.precision, cell.compile, cell.channels_last)
        self.plain, self.called = placed(
            model, self.device, channels_last=cell.channels_last, compile=cell.compile if self.variant else ""
        )
        self.weights = CastWeights(self.plain, cell.precision if self.variant else "float32")

    @property
    def compiled(self) -> bool:
        """Whether it is called compiled."""
        return self.called is not self.plain

    def context(self) -> AbstractContextManager[object]:
        """Return the context of each forward pass."""
        return autocast(self.cell.precision, self.device)

    def images(self, rows: Rows) -> Tensor:
        """Return the model's input float32[B, C, H, W] for some rows of these, in the cell's format."""
        judged, planned = self.judged, self.planned
        some = Split(images=judged.images, index=judged.index[rows], labels=judged.labels[rows])
        [(images, _)] = batches(some, batch_size=len(rows), device=self.device)
        x = preprocess(images, self.how, image_size=planned.image_size, in_channels=planned.in_channels)
        return x.to(memory_format=torch.channels_last) if self.cell.channels_last else x

    def inputs(self, rows: Rows) -> Iterator[Tensor]:
        """Yield the model's input in batches."""
        for start in range(0, len(rows), EVALUATION_BATCH):
            yield self.images(rows[start : start + EVALUATION_BATCH])

    def logits(self, tick: Callable[[], None]) -> Tensor:
        """Return what the model gives for all of them, float32[N, K].

        A compiled model sees no short batch, for which it would be compiled again: the first images fill the last one.
        """
        count = len(self.judged)
        rows = np.arange(count)
        if self.compiled:
            rows = np.resize(rows, -(-count // EVALUATION_BATCH) * EVALUATION_BATCH)
        return predict(self.called, self.inputs(rows), autocast=self.context, tick=tick)[:count]

    def sample(self, count: int) -> Rows:
        """Return so many rows, or all that there are, drawn with a fixed seed."""
        return np.random.default_rng(0).permutation(len(self.judged))[:count]

    def audit(self, logits: Tensor) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Audit the model as it is: what is looked for is in its own code, and other batch sizes are compiled again.

        Whether compiled code is right, `agreement` tells. Here its logits would make every mistake of the compiler
        look like a dependence on the order of the images, so eager ones take their place.
        """
        rows = self.sample(AUDIT_IMAGES)
        first = self.eager(rows) if self.compiled else logits[rows]
        precision = self.cell.precision if self.variant else "float32"
        return audit(self.plain, rows, first, self.images, autocast=self.context, precision=precision)

    def eager(self, rows: Rows) -> Tensor:
        """Return what the model, not compiled, gives for some rows."""
        return predict(self.plain, self.inputs(rows), autocast=self.context)

    def loading(self) -> Loading:
        """Time batches from the cache on, without and with the model."""
        with torch.inference_mode():
            return measure_loading(
                self.images,
                forward_of(self.called, self.context),
                count=len(self.judged),
                batch_size=EVALUATION_BATCH if self.compiled else LOADING_BATCH,
                device=self.device,
            )

    def agreement(self, logits: Tensor) -> Agreement:
        """Hold the variant's logits of some images against those of the same weights in plain float32.

        It changes the weights' memory format, so it comes last.
        """
        cell = self.cell
        rows = self.sample(COMPARED_IMAGES)
        with runtime(precision="float32", threads=cell.threads, seed=cell.seed, device=self.planned.device):
            plain = self.plain.to(memory_format=torch.contiguous_format)
            reference = predict(plain, (images.contiguous() for images in self.inputs(rows)))
        return compare(reference, logits[rows], precision=cell.precision, real_images=True)
