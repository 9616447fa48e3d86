"""A user's own image, read to the pixels that a viewer shows, as images of datasets are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitbench.errors import UnusableError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["read_image"]


def read_image(path: str | Path, channels: int) -> NDArray[np.uint8]:
    """Return an image, upright, in one channel or three: uint8[C, H, W].

    Raises:
        UnusableError: it cannot be read.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            pixels = np.asarray(_flat(ImageOps.exif_transpose(file)).convert("RGB" if channels == 3 else "L"))
    except Exception as error:  # what a broken file raises is not documented
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):  # in the words that datasets have for it
            reason = "it is in no known image format" if Path(path).stat().st_size else "it is empty"
        raise UnusableError(f"image {path} cannot be read: {reason}") from error
    return np.ascontiguousarray(pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None])


def _flat(image: Image.Image) -> Image.Image:
    """Return an image of 8 bits that hides nothing: what is transparent lies over white, as it does in datasets.

    Raises:
        ValueError: its values have no known scale.
    """
    from PIL import Image

    if image.mode[0] == "F":
        raise ValueError("its pixels are floating-point numbers of unknown scale; save it with 8 or 16 bits")
    if image.mode[0] == "I":  # Pillow's own conversion clips them at 255
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError(f"its values go from {values.min()} to {values.max()}; save it with 8 or 16 bits")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white.convert("RGB")
