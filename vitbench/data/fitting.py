"""An image comes into a model's input: Pillow resizes it once, and the frame is cut out of it or laid around it.

What is cached in a model's size and what is enlarged at each batch both come this way, so that weights see the pixels
that timm's own pipeline gives them, bit for bit.

Shapes: C channels, H height and W width of an image; h and w those of the frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitbench.data.geometry import placing

__all__ = ["fitted"]


def fitted(
    image: NDArray[np.uint8],
    frame: tuple[int, int],
    *,
    interpolation: str,
    crop_fraction: float,
    crop_mode: str,
    fill: tuple[int, ...],
) -> NDArray[np.uint8]:
    """Return an image in a frame: uint8[C, H, W] -> uint8[C, h, w].

    Args:
        image: of any size and number of channels.
        frame: height and width.
        interpolation: Pillow's filter, with antialiasing.
        crop_fraction: as of a `Preprocess`, like the next one.
        crop_mode: ``center``, ``squash`` or ``border``.
        fill: the value of each channel, or of all that a gray image stands for, where the image leaves room.
    """
    given = (image.shape[1], image.shape[2])
    size, top, left = placing(given, frame, crop_fraction=crop_fraction, crop_mode=crop_mode)

    def fit(pixels: NDArray[np.uint8], value: int | tuple[int, ...]) -> NDArray[np.uint8]:
        picture = Image.fromarray(pixels)
        if size != given:
            picture = picture.resize(size[::-1], Image.Resampling[interpolation.upper()])
        if top < 0 or left < 0:
            canvas = Image.new(picture.mode, frame[::-1], value)
            canvas.paste(picture, (-left, -top))
            return np.asarray(canvas)
        return np.asarray(picture.crop((left, top, left + frame[1], top + frame[0])))

    if len(image) == 3:
        return fit(np.ascontiguousarray(image.transpose(1, 2, 0)), fill).transpose(2, 0, 1)
    if len(image) == 1 < len(fill) and (top < 0 or left < 0) and len(set(fill)) > 1:
        image = image.repeat(len(fill), axis=0)  # gray among coloured ones, on a coloured ground
    # Each channel as gray, lest Pillow takes a fourth for opacity.
    return np.stack([fit(channel, value) for channel, value in zip(image, fill, strict=False)])
