"""Random numbers that belong to images: a function of the seed, the epoch and the image, and of nothing else.

The size of a batch, the order of the images, the device and a training that was interrupted change nothing. There is no
generator whose state could be lost: each number is a hash of what it is for and of a counter, after Steele, Lea and
Flood 2014 (SplitMix64, https://doi.org/10.1145/2714064.2660195).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vitbench.training.setup import sent

__all__ = ["Draws", "derived_seed"]

_HALF_STEP = 2.0**-25
"""Of uniform numbers, which have 24 bits."""


def derived_seed(seed: int, *purpose: object) -> int:
    """Return a seed in 0..2**63-1 for one purpose, such as ``"order", 3``, independent of those for others."""
    text = "\0".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


class Draws:
    """The random numbers of each image of a batch; B images."""

    def __init__(self, seed: int, epoch: int, index: Tensor, copy: Tensor | None = None) -> None:
        """Set what the numbers are derived from.

        Args:
            seed: of the training.
            epoch: counted from 0.
            index: int64[B], the position of each image in its split; its device is that of the numbers.
            copy: int64[B], which of an image's repetitions in this epoch, from 0; None: there are none.
        """
        self._seed, self._epoch = seed, epoch
        self._image = index if copy is None else index + (copy << 40)  # more images than any split has
        self._hash: Tensor | None = None

    def __len__(self) -> int:
        return len(self._image)

    @property
    def device(self) -> torch.device:
        """Where the numbers are."""
        return self._image.device

    def select(self, rows: Tensor) -> Draws:
        """Return the draws of some of the images: int64[b] or bool[B]."""
        return Draws(self._seed, self._epoch, self._image[rows])

    @classmethod
    def joined(cls, several: Sequence[Draws]) -> Draws:
        """Return the draws of the images of several batches of one epoch, in their order."""
        first = several[0]
        return cls(first._seed, first._epoch, torch.cat([each._image for each in several]))

    def to(self, device: torch.device | str) -> Draws:
        """Return the same draws with their numbers on another device."""
        if self.device == torch.device(device):
            return self
        return Draws(self._seed, self._epoch, sent(self._image, torch.device(device)))

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        """Return float32[B, *shape] in 0 <= x < 1; the same purpose gives the same numbers."""
        count = torch.Size(shape).numel()
        start = derived_seed(self._seed, purpose, self._epoch)
        if self._hash is None:
            self._hash = _mixed(self._image)
        stream = _mixed((self._hash + start)[:, None] + torch.arange(count, device=self.device))
        # 24 bits, as many as float32 holds exactly.
        return ((stream >> 40) & 0xFFFFFF).float().mul_(2.0**-24).view(-1, *shape)

    def integers(self, purpose: str, low: int, high: int, *shape: int) -> Tensor:
        """Return int64[B, *shape] in low <= n < high."""
        return (self.uniform(purpose, *shape) * (high - low)).long().clamp_(max=high - low - 1) + low

    def chance(self, purpose: str, probability: float) -> Tensor:
        """Return bool[B], each true with a probability."""
        return self.uniform(purpose) < probability

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Return float32[B, *shape] of mean 0 and standard deviation 1, by their quantile function; within 5.4."""
        # The middle of each of the 2**24 steps, so that no number is infinite.
        return self.uniform(purpose, *shape).mul_(2).sub_(1).add_(2 * _HALF_STEP).erfinv_().mul_(math.sqrt(2))

    def beta(self, purpose: str, alpha: float, beta: float) -> Tensor:
        """Return float32[B] of a Beta distribution in 0..1, by its quantile function; a GPU has to wait for it."""
        from scipy.special import betaincinv

        middle = self.uniform(purpose).double().add_(_HALF_STEP).cpu().numpy()
        return torch.from_numpy(betaincinv(alpha, beta, middle)).float().to(self.device)


def _mixed(x: Tensor) -> Tensor:
    """Return hashes of int64 numbers, SplitMix64's: its arithmetic is modulo 2**64, as that of int64 tensors is."""
    x = x * -7046029254386353131 + 7046029254386353131  # the golden ratio's increment, so that 0 is hashed, too
    for bits, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        x.bitwise_xor_(_shifted(x, bits)).mul_(factor)
    return x.bitwise_xor_(_shifted(x, 31))


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Return int64 numbers shifted right, with zeros from the left."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)
