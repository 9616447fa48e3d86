"""What a training does to its images, as one value: which changes, how strong.

Each image has draws of its own (`Draws`): neither the size of the batch nor the order of its images changes a pixel,
except for the partner of Mixup and CutMix, which is another image of the same batch.

Shapes: B images, C channels, H height and W width of cached images; h and w those of the model's input; K classes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from vitbench.errors import UsageError
from vitbench.training.augmentation.cropping import mirrored, padded_crop, random_boxes, resized_crop
from vitbench.training.augmentation.hiding import cutout, erased
from vitbench.training.augmentation.mixing import mixed
from vitbench.training.augmentation.operations import jittered
from vitbench.training.augmentation.policies import LARGEST_MAGNITUDE, autoaugment, randaugment
from vitbench.training.draws import Draws
from vitbench.training.loading import Batch

__all__ = ["Augmentation"]

Crop = Literal["none", "padded", "resized"]
Policy = Literal["none", "autoaugment", "randaugment"]

_AT_ONCE = 16 << 20
"""Bytes of cached images that an accelerator changes at once, if they are several batches: with AutoAugment these are
about 900 small calls, however many the images, and a GPU has done each before the next one comes."""
_SHARES = ("jitter", "cutout", "erase")
"""Fields in 0..1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """What is done to training images; without arguments, nothing.

    Gray images and images with any number of channels are supported: what concerns colour (the saturation of `jitter`,
    and the policies' operation Color) leaves images that do not have three channels unchanged.
    """

    crop: Crop = "none"
    """``padded`` moves an image by up to an eighth of each side, with reflected borders (He et al. 2015, arXiv
    1512.03385, with 4 of 32 pixels); ``resized`` cuts a box of random size and shape out of it and resizes that to the
    model's input (Szegedy et al. 2014, arXiv 1409.4842)."""
    scale: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest area of a ``resized`` crop, as shares of the image's."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Smallest and largest ratio of width to height of a ``resized`` crop."""
    flip: bool = False
    """Whether every second image, on average, is mirrored left to right."""
    policy: Policy = "none"
    """``autoaugment`` is the policy found for CIFAR-10 (Cubuk et al. 2018, arXiv 1805.09501); ``randaugment`` draws
    `operations` of 14 at strength `magnitude` (Cubuk et al. 2019, arXiv 1909.13719)."""
    operations: int = 2
    """Number of RandAugment operations applied to each image."""
    magnitude: int = 9
    """RandAugment's strength, 0 to 30."""
    jitter: float = 0.0
    """Brightness, contrast and saturation are multiplied by numbers in 1 - jitter to 1 + jitter, in this order."""
    cutout: float = 0.0
    """Side of a square that becomes the mean colour, as a share of the image's side (DeVries and Taylor 2017, arXiv
    1708.04552: 0.5 for CIFAR-10); a part of it may lie outside the image."""
    erase: float = 0.0
    """Probability that a box in an image becomes noise (random erasing, Zhong et al. 2017, arXiv 1708.04896)."""
    mixup: float = 0.0
    """Alpha of Mixup's Beta distribution (Zhang et al. 2017, arXiv 1710.09412); 0: no Mixup."""
    cutmix: float = 0.0
    """Alpha of CutMix's Beta distribution (Yun et al. 2019, arXiv 1905.04899); 0: no CutMix. With both, each image
    undergoes one of them, drawn with equal chances."""

    def __post_init__(self) -> None:
        for name, choices in (("crop", get_args(Crop)), ("policy", get_args(Policy))):
            if getattr(self, name) not in choices:
                raise UsageError(
                    f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, not {getattr(self, name)!r}"
                )
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must be 0 to 1, not {getattr(self, name)}")
        for name in ("mixup", "cutmix"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise UsageError(f"scale must be two rising shares of the area, above 0 and at most 1, not {self.scale}")
        if not 0 < self.ratio[0] <= self.ratio[1] < float("inf"):
            raise UsageError(f"ratio must be two rising numbers above 0, not {self.ratio}")
        if self.operations < 0:
            raise UsageError(f"operations must be 0 or more, not {self.operations}")
        if not 0 <= self.magnitude <= LARGEST_MAGNITUDE:
            raise UsageError(f"magnitude must be 0 to {LARGEST_MAGNITUDE}, not {self.magnitude}")

    def allowed(self, augmentations: Collection[str]) -> Augmentation:
        """Return the augmentation restricted to those changes that preserve an image's label.

        Args:
            augmentations: of a `TrainVal`. Without ``flip``, images are not mirrored. Without ``crop``, all parts of an
                image matter and where they are, so that none is cut away, hidden or replaced, and no policy is applied,
                most of whose operations move what is in the image.
        """
        changed = self if "flip" in augmentations else replace(self, flip=False)
        if "crop" in augmentations:
            return changed
        return replace(changed, crop="none", policy="none", cutout=0.0, erase=0.0, cutmix=0.0)

    def images(self, images: Tensor, draws: Draws, *, image_size: tuple[int, int]) -> Tensor:
        """Return the cached images uint8[B, C, H, W] cropped, mirrored and changed in colour, on their device.

        The result is uint8[B, C, h, w] where the crop is ``resized``, else uint8[B, C, H, W], which `preprocess` brings
        to the model's input. The images given are not modified; if nothing is to be done, they are returned.

        Args:
            images: of a batch.
            draws: of the same batch, in its order; on the CPU they make no GPU wait.
            image_size: (h, w) of the model's input.
        """
        draws = draws.to("cpu")
        flip = draws.chance("flip", 0.5) if self.flip else None
        if self.crop == "resized":
            boxes = random_boxes(
                draws, "crop", (images.shape[-2], images.shape[-1]), scale=self.scale, ratio=self.ratio
            )
            images = resized_crop(images, boxes, image_size, flip)
        elif self.crop == "padded":
            images = padded_crop(images, draws, flip)
        elif flip is not None:
            images = mirrored(images, flip)
        if self.policy == "autoaugment":
            images = autoaugment(images, draws)
        elif self.policy == "randaugment":
            images = randaugment(images, draws, operations=self.operations, magnitude=self.magnitude)
        return jittered(images, draws, self.jitter) if self.jitter else images

    def batches(
        self, batches: Iterable[Batch], *, image_size: tuple[int, int], at_once: int | None = None
    ) -> Iterator[Batch]:
        """Yield batches of an epoch with their images changed, as by `images`.

        On an accelerator those of several small batches are changed at once, since there the calls cost more than the
        pixels. On a CPU that would save little of a step, and a few steps would no longer predict how long others take.

        Args:
            batches: whose images are as cached.
            image_size: (h, w) of the model's input.
            at_once: bytes of cached images that are changed at once, one batch at least; None: by their device.
        """
        if self.crop == self.policy == "none" and not self.flip and not self.jitter:
            yield from batches
            return
        group = list[Batch]()
        for batch in batches:
            group.append(batch)
            most = at_once if at_once is not None else 0 if batch.images.device.type == "cpu" else _AT_ONCE
            if (len(group) + 1) * batch.images.nbytes > most:
                yield from self._changed(group, image_size)
                group = []
        if group:
            yield from self._changed(group, image_size)

    def _changed(self, group: list[Batch], image_size: tuple[int, int]) -> Iterator[Batch]:
        images = torch.cat([batch.images for batch in group]) if len(group) > 1 else group[0].images
        draws = Draws.joined([batch.draws for batch in group])
        changed = self.images(images, draws, image_size=image_size)
        parts = torch.split(changed, [len(batch.labels) for batch in group])
        for batch, own in zip(group, parts, strict=True):
            yield replace(batch, images=own)

    def mix(self, inputs: Tensor, labels: Tensor, draws: Draws, *, num_classes: int) -> tuple[Tensor, Tensor]:
        """Hide parts of the inputs (`cutout`, `erase`), mix them (`mixup`, `cutmix`), and return them with targets.

        The targets float[B, K] are mixed as the inputs are: by Mixup's share, by the area that CutMix really shows.

        Args:
            inputs: float32[B, C, h, w] of `preprocess`, so that 0 is the mean; they are left as they are.
            labels: int64[B].
            draws: of the same batch, in its order; on the CPU they make no GPU wait.
            num_classes: K.
        """
        draws = draws.to("cpu")
        if self.cutout:
            inputs = cutout(inputs, draws, self.cutout)
        if self.erase:
            inputs = erased(inputs, draws, self.erase)
        return mixed(inputs, labels, draws, mixup=self.mixup, cutmix=self.cutmix, num_classes=num_classes)
