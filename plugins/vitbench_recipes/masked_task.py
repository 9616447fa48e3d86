"""The task of masked patch prediction: what is hidden of a batch, what is to be predicted there, how far that is met.

Shapes: B images, C channels, n patches of p x q pixels, m of them masked, P outputs for each.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.measuring.flops import count_macs
from vitbench.protocols import FitRun, Split, TrainVal
from vitbench.training import Draws, Resident, TokenLayout, autocast, batches, derived_seed, preprocess, token_layout

from .masking import COLOUR_LEVELS, Corruption, colour_codes, corruption, masked_count, normalised_pixels, pixels_of
from .reconstruction import Reconstruction


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What is to be predicted of which patches."""

    data: TrainVal
    layout: TokenLayout
    count: int
    """m."""
    colours: bool
    """Whether the class of a patch's mean colour is predicted, and not its pixels."""

    @classmethod
    def of(cls, model: nn.Module, data: TrainVal, run: FitRun) -> Task:
        """Return the task that a run's options name.

        Raises:
            UsageError: the model has no tokens of patches, or the share masks none or all of them.
        """
        layout = token_layout(model, image_size=data.image_size, in_channels=data.in_channels)
        count = masked_count(run.options["mask"], math.prod(layout.grid))
        return cls(data=data, layout=layout, count=count, colours=run.options["target"] == "colours")

    @property
    def outputs(self) -> int:
        """P."""
        channels = self.data.in_channels
        if self.colours:
            return cast(int, COLOUR_LEVELS**channels)
        return channels * math.prod(self.data.image_size) // math.prod(self.layout.grid)

    def corruption(self, draws: Draws) -> Corruption:
        """Draw what is hidden of the images of a batch, on the device of the draws."""
        return corruption(draws, patches=math.prod(self.layout.grid), count=self.count)

    def goals(self, inputs: Tensor, hidden: Corruption) -> Tensor:
        """Return what is to be predicted: the classes int64[B, m], or the pixels float32[B, m, P].

        Raises:
            UsageError: the patches do not divide the image.
        """
        pixels = pixels_of(inputs, self.data.preprocess)
        if self.colours:
            return colour_codes(pixels, self.layout.grid).take_along_dim(hidden.masked, dim=1)
        return normalised_pixels(pixels, self.layout.grid).take_along_dim(hidden.masked[:, :, None], dim=1)

    def loss(self, predicted: Tensor, goals: Tensor) -> Tensor:
        """Return the mean loss of predictions ``[B, m, P]``, in float32."""
        if self.colours:
            return F.cross_entropy(predicted.float().flatten(0, 1), goals.flatten())
        return F.mse_loss(predicted.float(), goals)

    def losses(
        self, net: nn.Module, inputs: Tensor, hidden: Corruption, goals: Tensor, run: FitRun, *, parts: int
    ) -> Iterator[Tensor]:
        """Yield the loss of each part of a batch, as its share of the whole batch's loss."""
        pieces = zip(*(each.tensor_split(parts) for each in (inputs, goals, *hidden)), strict=True)
        for images, wanted, *rest in pieces:
            with autocast(run.precision, run.device):
                predicted = net(images, *rest)
            yield self.loss(predicted, wanted) * (len(images) / len(inputs))

    @torch.no_grad()
    def judged(
        self, model: Reconstruction, split: Split | Resident, run: FitRun, *, batch_size: int
    ) -> dict[str, float]:
        """Return how well the masked patches of a split are predicted; the same ones each time.

        Returns:
            ``val_loss``, and ``guess_loss``, that of a model that knows nothing: of all colours alike, or of a gray
            patch. Of colours the shares of patches that are right, ``accuracy``, and that would be if the commonest
            colour were always said, ``majority``.
        """
        was_training = model.training
        model.eval()
        seen, total, guess = 0, torch.zeros((), device=run.device), torch.zeros((), device=run.device)
        hits, counts = torch.zeros_like(total), torch.zeros(self.outputs, dtype=torch.int64, device=run.device)
        for images, _ in batches(split, batch_size=batch_size, device=run.device):
            inputs = preprocess(
                images, self.data.preprocess, image_size=self.data.image_size, in_channels=self.data.in_channels
            )
            index = torch.arange(seen, seen + len(images), device=run.device)
            hidden = self.corruption(Draws(derived_seed(run.seed, "validation"), 0, index))
            goals = self.goals(inputs, hidden)
            with autocast(run.precision, run.device):
                predicted = model(inputs, *hidden)
            total += self.loss(predicted, goals) * len(images)
            if self.colours:
                hits += (predicted.argmax(2) == goals).sum()
                counts += goals.flatten().bincount(minlength=self.outputs)
            else:
                guess += goals.square().mean() * len(images)
            seen += len(images)
            run.log()
        model.train(was_training)
        found = {"val_loss": total.item() / seen}
        if not self.colours:
            return {**found, "guess_loss": guess.item() / seen}
        patches = seen * self.count
        shares = {"accuracy": hits.item() / patches, "majority": counts.max().item() / patches}
        return {**found, "guess_loss": math.log(self.outputs), **shares}

    def macs(self, model: Reconstruction) -> int:
        """Return the multiply-accumulates of a forward pass on one image, masked as others are."""
        hidden = self.corruption(Draws(0, 0, torch.zeros(1, dtype=torch.int64))).to(torch.device("meta"))
        names = Corruption._fields
        twin = copy.deepcopy(model).to("meta").eval()
        forward = partial(twin, **dict(zip(names, hidden, strict=True)))
        return count_macs(cast(nn.Module, forward), (self.data.in_channels, *self.data.image_size))
