"""The images of a page's figures, small and each stored once: rules of a style sheet that many tiles refer to.

Images of one size that are shown together are stored as one, below one another, which takes a third of the bytes.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LARGEST", "Images"]

LARGEST = 96
"""Pixels of a side that come into a page; larger images are shrunk, and not to the last bit what they were."""
_QUALITY = 80
"""Of such images, on WebP's scale to 100."""


class Images:
    """Images by the name of a class of the page's style sheet."""

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._names: dict[bytes, str] = {}
        self._rules: dict[str, str] = {}

    def place(self, shown: Sequence[NDArray[Any]]) -> list[tuple[str, int]]:
        """Return where each of some images, uint8[H, W, 3], stands: a class, and the number in its column of images."""
        import numpy as np

        columns: dict[tuple[int, ...], dict[bytes, int]] = {}
        for image in shown:
            column = columns.setdefault(image.shape, {})
            column.setdefault(image.tobytes(), len(column))
        names = {
            shape: self._name([np.frombuffer(each, dtype=np.uint8).reshape(shape) for each in column])
            for shape, column in columns.items()
        }
        return [(names[image.shape], columns[image.shape][image.tobytes()]) for image in shown]

    def rules(self, names: Iterable[str]) -> str:
        """Return the style sheet of some classes."""
        return "\n".join(self._rules[name] for name in self._rules.keys() & set(names))

    def _name(self, column: Sequence[NDArray[Any]]) -> str:
        content = f"{column[0].shape}".encode() + b"".join(image.tobytes() for image in column)
        if content not in self._names:
            name = self._names[content] = f"i{len(self._names)}"
            self._rules[name] = f"#{self._scope} .{name}{{--n:{len(column)};background-image:url({_address(column)})}}"
        return self._names[content]


def _address(column: Sequence[NDArray[Any]]) -> str:
    import numpy as np
    from PIL import Image

    content, large = io.BytesIO(), max(column[0].shape[:2]) > LARGEST
    if large:
        height, width = column[0].shape[:2]
        size = (-(-width * LARGEST // max(height, width)), -(-height * LARGEST // max(height, width)))
        column = [np.asarray(Image.fromarray(image).resize(size)) for image in column]
    Image.fromarray(np.concatenate(column)).save(content, "WEBP", lossless=not large, quality=_QUALITY, method=6)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
