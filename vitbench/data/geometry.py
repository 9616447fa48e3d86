"""Which images fit which model: what a resize makes of a size, and which channels become which.

Sizes are (height, width).
"""

from __future__ import annotations

__all__ = ["channels_come_last", "channels_fit", "covering_size"]


def covering_size(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Return the size to resize an image to, so that it keeps its shape and just covers the target; rounded down."""
    (height, width), (least_height, least_width) = size, target
    if least_height * width >= least_width * height:
        return least_height, width * least_height // height
    return height * least_width // width, least_width


def channels_fit(given: int, wanted: int) -> bool:
    """Whether images become an input: as they are, gray repeated, or colour as its luminance."""
    return given in (1, wanted) or (given, wanted) == (3, 1)


def channels_come_last(shape: tuple[int, ...]) -> bool:
    """Whether an image is likelier [H, W, C] than [C, H, W]: more than four channels, in at most four columns."""
    return len(shape) == 3 and shape[0] > 4 >= shape[2]
