"""Operations on uint8 images, each image with a strength of its own: what the policies and colour jitter are made of.

They give what torchvision's functional operations give for one image at a time; those take one strength per batch.

Shapes: B images, C channels, H height and W width; a strength is float64[B], on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from vitbench.training.draws import Draws
from vitbench.training.setup import sent

__all__ = ["OPERATIONS", "apply", "jittered"]

_FILL = 128
"""Gray, for what a moved image leaves open."""


def apply(images: Tensor, operation: Tensor, names: tuple[str, ...], strength: Tensor) -> Tensor:
    """Return images uint8[B, C, H, W], each after its operation, int64[B] as a position in `names`; -1 is none."""
    out = images.clone()
    for number, name in enumerate(names):
        chosen = (operation == number).nonzero()[:, 0]
        if len(chosen):
            rows = sent(chosen, images.device)
            out.index_copy_(0, rows, OPERATIONS[name](images[rows], strength[chosen]))
    return out


def jittered(images: Tensor, draws: Draws, strength: float) -> Tensor:
    """Return images uint8[B, C, H, W] with brightness, contrast and saturation multiplied by 1 - strength to 1 + it."""
    for name in ("Brightness", "Contrast", "Color"):
        images = OPERATIONS[name](images, (draws.uniform(f"jitter {name}").double() * 2 - 1) * strength)
    return images


def _affine(images: Tensor, matrix: Tensor) -> Tensor:
    """Return images that show at (x, y), counted from the centre, what was at matrix [B, 2, 3] times (x, y, 1)."""
    height, width = images.shape[-2:]
    y, x = (torch.arange(side, device=images.device) - (side - 1) / 2 for side in (height, width))
    base = torch.stack([*torch.meshgrid(x, y, indexing="xy"), torch.ones(height, width, device=images.device)], -1)
    scaled = matrix.float() / torch.tensor([width / 2, height / 2])[:, None]
    grid = (base.view(1, -1, 3) @ sent(scaled, images.device).transpose(1, 2)).view(-1, height, width, 2)
    moved = F.grid_sample(images.float() - _FILL, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return (moved + _FILL).to(torch.uint8)


def _matrix(strength: Tensor, **entries: Tensor | float) -> Tensor:
    """Return float64[B, 2, 3]: the identity except for some entries, named by letter: a b c over d e f."""
    values = {"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0, "e": 1.0, "f": 0.0} | entries
    columns = [torch.as_tensor(value, dtype=torch.float64).expand(len(strength)) for value in values.values()]
    return torch.stack(columns, 1).view(-1, 2, 3)


def _shear_x(images: Tensor, strength: Tensor) -> Tensor:
    """Shear, with the upper left corner where it was."""
    return _affine(images, _matrix(strength, b=strength, c=strength * (images.shape[-2] / 2)))


def _shear_y(images: Tensor, strength: Tensor) -> Tensor:
    return _affine(images, _matrix(strength, d=strength, f=strength * (images.shape[-1] / 2)))


def _translate_x(images: Tensor, strength: Tensor) -> Tensor:
    """Move by a share of the width, in whole pixels."""
    return _affine(images, _matrix(strength, c=-(strength * images.shape[-1]).trunc()))


def _translate_y(images: Tensor, strength: Tensor) -> Tensor:
    return _affine(images, _matrix(strength, f=-(strength * images.shape[-2]).trunc()))


def _rotate(images: Tensor, strength: Tensor) -> Tensor:
    """Rotate by degrees, counter-clockwise."""
    angle = strength * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    return _affine(images, _matrix(strength, a=cos, b=-sin, d=sin, e=cos))


def _factors(strength: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what images count, and what others count with which they are blended: float32[B, 1, 1, 1] each."""
    factors = sent(torch.stack([1 + strength, -strength]).float(), device)[:, :, None, None, None]
    return factors[0], factors[1]


def _levels(x: Tensor) -> Tensor:
    """Return whole levels uint8, rounded down, of numbers that it may change."""
    return x.clamp_(0, 255).to(torch.uint8)


def _brightness(images: Tensor, strength: Tensor) -> Tensor:
    return _levels(images.float().mul_(_factors(strength, images.device)[0]))


def _color(images: Tensor, strength: Tensor) -> Tensor:
    """Blend with gray, for the saturation."""
    if images.shape[1] != 3:
        return images
    x, (own, other) = images.float(), _factors(strength, images.device)
    gray = _gray(x)
    return _levels(x.mul_(own).add_(gray.mul_(other)))


def _contrast(images: Tensor, strength: Tensor) -> Tensor:
    """Blend with the mean gray."""
    x, (own, other) = images.float(), _factors(strength, images.device)
    mean = _gray(x).mean((1, 2, 3), keepdim=True)
    return _levels(x.mul_(own).add_(mean.mul_(other)))


def _sharpness(images: Tensor, strength: Tensor) -> Tensor:
    """Blend with the mean of each pixel's neighbourhood, in which it counts five times; the border stays."""
    if min(images.shape[2:]) <= 2:
        return images
    x = images.float()
    inner = x[..., 1:-1, 1:-1]
    blurred = F.avg_pool2d(x, 3, stride=1).mul_(9).add_(inner, alpha=4).div_(13).round_()
    inner.add_(blurred.sub_(inner).mul_(_factors(strength, images.device)[1]))
    return _levels(x)


def _posterize(images: Tensor, strength: Tensor) -> Tensor:
    """Keep the upper bits, so many as the strength says."""
    masks = (256 - 2 ** (8 - strength.long())).to(torch.uint8)
    return images & sent(masks, images.device)[:, None, None, None]


def _solarize(images: Tensor, strength: Tensor) -> Tensor:
    """Invert what is as bright as the strength says, or brighter."""
    threshold = sent(strength.float(), images.device)[:, None, None, None]
    return torch.where(images >= threshold, ~images, images)


def _autocontrast(images: Tensor, strength: Tensor) -> Tensor:
    from torchvision.transforms.v2.functional import autocontrast

    out: Tensor = autocontrast(images.flatten(0, 1)[:, None])  # each channel by itself, so any number of them
    return out.view_as(images)


def _equalize(images: Tensor, strength: Tensor) -> Tensor:
    from torchvision.transforms.v2.functional import equalize

    out: Tensor = equalize(images)
    return out


def _invert(images: Tensor, strength: Tensor) -> Tensor:
    return ~images


def _gray(x: Tensor) -> Tensor:
    """Return whole levels float32[B, 1, H, W]: the luminance of three channels, the mean of another number."""
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True).floor_()
    red, green, blue = x.unbind(1)
    return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_()[:, None]


OPERATIONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ShearX": _shear_x,
    "ShearY": _shear_y,
    "TranslateX": _translate_x,
    "TranslateY": _translate_y,
    "Rotate": _rotate,
    "Brightness": _brightness,
    "Color": _color,
    "Contrast": _contrast,
    "Sharpness": _sharpness,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": _autocontrast,
    "Equalize": _equalize,
    "Invert": _invert,
}
"""From images and strengths to images, by the names of AutoAugment."""
