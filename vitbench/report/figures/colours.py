"""Numbers as colours, the same in the pictures and on the page.

Both maps differ in lightness all along, so they can be read without seeing red or green, and in grey. The first is
viridis by Nathaniel Smith and Stefan van der Walt (CC0), at eleven of its colours with straight lines between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vitbench.figures import Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CONTRAST", "OPACITY", "coloured", "dark", "gradient", "nearest", "overlaid", "softened"]

_SEQUENTIAL = "440154 482475 414487 355f8d 2a788e 21918c 22a884 44bf70 7ad151 bddf26 fde725"
_DIVERGING = "184074 3e75b0 7fb0da cae0f0 f7f7f7 f2d9bc d9a062 a96017 653202"
_STEPS = 256
"""Even, so that a diverging scale has a colour for its very middle."""
OPACITY = 0.65
"""How opaque values lie over an image."""
CONTRAST = 0.7
"""What is left of an image's contrast, in grey, under values: else bright places look like high values."""


def _table(colours: str) -> NDArray[np.float64]:
    """Return the colours of a map from its lower end to its upper, float64[_STEPS + 1, 3] from 0 to 255."""
    anchors = np.array([list(bytes.fromhex(colour)) for colour in colours.split()], dtype=float)
    places = np.linspace(0, len(anchors) - 1, _STEPS + 1)
    return np.stack([np.interp(places, np.arange(len(anchors)), channel) for channel in anchors.T], axis=1)


_ANCHORS = {False: _SEQUENTIAL, True: _DIVERGING}
_TABLES = {diverging: _table(colours) for diverging, colours in _ANCHORS.items()}


def coloured(values: NDArray[Any], scale: Scale) -> NDArray[np.uint8]:
    """Return values as colours, uint8[..., 3]; those beyond the scale have its ends'."""
    share = (np.asarray(values, dtype=np.float64) - scale.low) / (scale.high - scale.low)
    found = _TABLES[bool(scale.diverging)][np.rint(_STEPS * np.clip(share, 0, 1)).astype(int)]
    taken: NDArray[np.uint8] = np.rint(found).astype(np.uint8)
    return taken


def gradient(scale: Scale) -> str:
    """Return the colours from a scale's lower end to its upper, as a style sheet's gradient from left to right."""
    colours = _ANCHORS[bool(scale.diverging)].split()
    return f"linear-gradient(to right,{','.join(f'#{colour}' for colour in colours)})"


def softened(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image, uint8[C, H, W], in grey and with less contrast, uint8[H, W, 3]."""
    weights = [0.2126, 0.7152, 0.0722] if len(pixels) == 3 else [1.0]  # luma of ITU-R BT.709, as style sheets have it
    grey = np.tensordot(weights, pixels.astype(np.float64), axes=1)
    return np.repeat(np.rint(127.5 + CONTRAST * (grey - 127.5)).astype(np.uint8)[..., None], 3, axis=2)


def overlaid(pixels: NDArray[np.uint8], values: NDArray[Any], scale: Scale) -> NDArray[np.uint8]:
    """Return values over an image, uint8[H, W, 3], in at least the resolution of each."""
    rows, columns = (have * -(-need // have) for have, need in zip(pixels.shape[1:], np.shape(values), strict=True))
    below = nearest(softened(pixels), rows, columns).astype(np.float64)
    above = nearest(coloured(values, scale), rows, columns)
    return np.rint((1 - OPACITY) * below + OPACITY * above).astype(np.uint8)


def nearest(image: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """Return an image, [H, W, ...], in another size without mixing its values."""
    height, width = image.shape[:2]
    found: NDArray[Any] = image[np.arange(rows) * height // rows][:, np.arange(columns) * width // columns]
    return found


def dark(colour: NDArray[np.uint8]) -> bool:
    """Say whether white is easier to read on a colour than black, by the contrast ratio of WCAG 2."""
    share = colour / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return bool(linear @ [0.2126, 0.7152, 0.0722] < 0.179)
