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

__all__ = ["EXACT", "LARGEST", "Images"]

LARGEST = 96
"""Pixels of a side that come into a page; larger images are shrunk."""
EXACT = 64
"""Pixels of a side up to which images are stored to the last bit; photographs of more would take most of a panel."""
_QUALITY = 80
"""Of larger ones, on WebP's scale to 100."""


class Images:
    """Images by the name of a class of the page's style sheet."""

    def __init__(self, scope: str, *, prefix: str = "i", exact: int = EXACT) -> None:
        """Begin without images.

        Args:
            scope: the id of the element that holds them.
            prefix: of the names of their classes, which no other images within that element have.
            exact: pixels of a side up to which they are stored to the last bit.
        """
        self._scope, self._prefix, self._exact = scope, prefix, exact
        self._names: dict[bytes, str] = {}
        self._rules: dict[str, str] = {}

    def place(self, shown: Sequence[NDArray[Any]], *, exact: bool = False) -> list[tuple[str, int]]:
        """Return where each of some images, uint8[H, W, 3], stands: a class, and the number in its column of images.

        Args:
            shown: together.
            exact: neither shrink them nor lose a bit.
        """
        import numpy as np

        columns: dict[tuple[int, ...], dict[bytes, int]] = {}
        for image in shown:
            column = columns.setdefault(image.shape, {})
            column.setdefault(image.tobytes(), len(column))
        names = {
            shape: self._name([np.frombuffer(each, dtype=np.uint8).reshape(shape) for each in column], exact=exact)
            for shape, column in columns.items()
        }
        return [(names[image.shape], columns[image.shape][image.tobytes()]) for image in shown]

    def rules(self, names: Iterable[str]) -> str:
        """Return the style sheet of some classes."""
        wanted = {*names}
        return "\n".join(rule for name, rule in self._rules.items() if name in wanted)

    def _name(self, column: Sequence[NDArray[Any]], *, exact: bool) -> str:
        content = f"{column[0].shape}".encode() + b"".join(image.tobytes() for image in column)
        if content not in self._names:
            name = self._names[content] = f"{self._prefix}{len(self._names)}"
            address = _address(column, self._exact, exact=exact)
            self._rules[name] = f"#{self._scope} .{name}{{--n:{len(column)};background-image:url({address})}}"
        return self._names[content]


def _address(column: Sequence[NDArray[Any]], exact_side: int, *, exact: bool) -> str:
    import numpy as np
    from PIL import Image

    content, (height, width) = io.BytesIO(), column[0].shape[:2]
    largest = max(height, width)
    exact = exact or largest <= exact_side
    if not exact and largest > LARGEST:
        size = (-(-width * LARGEST // largest), -(-height * LARGEST // largest))
        column = [np.asarray(Image.fromarray(image).resize(size)) for image in column]
    Image.fromarray(np.concatenate(column)).save(content, "WEBP", lossless=exact, quality=_QUALITY, method=6)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
