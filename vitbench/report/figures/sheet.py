"""A sheet to draw on, in inches from its upper left corner: text that is cut to its room, images, a scale's bar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vitbench.figures import Figure, Scale
from vitbench.report.figures.colours import OPACITY, coloured
from vitbench.report.plots.canvas import FONT
from vitbench.report.plots.text import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from numpy.typing import NDArray

__all__ = [
    "BAR",
    "LABEL",
    "MARGIN",
    "MUTED",
    "NOTE",
    "TITLE",
    "Sheet",
    "heading",
    "height_of",
    "lines",
    "scale_ticks",
    "size_for",
    "width_of",
]

TITLE, LABEL, NOTE = 11.0, 8.0, 8.0
"""Sizes of text, in points."""
MARGIN = 0.12
BAR = 0.95
"""What the bar of a scale takes of the width, with its numbers and its label."""
MUTED = "#505860"
_LONGEST = 600
"""Characters of a text that are looked at."""
_FINE = 576
"""Dots per inch at which text is measured."""
_SMALLEST = 0.75
"""The least share of its size to which text shrinks so that no word is broken."""
_BAR_WIDTH, _BAR_GAP, _BAR_STEPS = 0.14, 0.2, 128


def heading(figure: Figure) -> str:
    """Return what stands above a figure: its title, and its step where it is one of several."""
    return ", ".join(filter(None, (figure.title, figure.step)))


def scale_ticks(scale: Scale, values: Sequence[NDArray[Any]]) -> tuple[str, str, str]:
    """Return the numbers at a scale's ends and middle; an end says where values lie beyond it."""
    low, middle, high = (_number(value) for value in (scale.low, (scale.low + scale.high) / 2, scale.high))
    unseen = 1e-3 * (scale.high - scale.low)  # less than a colour, such as a cosine of 1.0000001
    below = any(np.min(each) < scale.low - unseen for each in values)
    above = any(np.max(each) > scale.high + unseen for each in values)
    return f"\u2264 {low}" if below else low, middle, f"\u2265 {high}" if above else high


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def width_of(text: str, size: float) -> float:
    """Return how wide a text is, in inches."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont(FONT))
    font.set_size(size, _FINE)  # in whole dots, so in many
    font.set_text(text, 0.0)
    return float(font.get_width_height()[0]) / 64 / _FINE


def height_of(count: int, size: float) -> float:
    """Return how high so many lines are, in inches."""
    return count * 1.25 * size / 72


def lines(text: str, size: float, width: float, most: int) -> list[str]:
    """Return a text in lines that fit into a width, at words where that is possible; cut off where it needs more."""
    found: list[str] = []
    rest = shown(" ".join(text.split()), _LONGEST) if text.strip() else ""
    while rest and len(found) < most:
        last = len(found) == most - 1
        if width_of(rest, size) <= width:
            return [*found, rest]
        fitting = _fitting(rest + "\u2026" if last else rest, size, width, ending="\u2026" if last else "")
        at = rest.rfind(" ", 0, fitting + 1)
        if last or at <= 0:
            found.append(rest[:fitting].rstrip() + ("\u2026" if last else ""))
            rest = rest[fitting:].lstrip()
        else:
            found.append(rest[:at])
            rest = rest[at + 1 :]
    return found


def size_for(texts: Iterable[str], size: float, width: float) -> float:
    """Return the size, at most the given one and not much less, at which each word fits into a width."""
    widest = max((width_of(word, size) for text in texts for word in text[:_LONGEST].split()), default=0.0)
    return size * max(_SMALLEST, min(1.0, width / widest)) if widest else size


def _fitting(text: str, size: float, width: float, *, ending: str) -> int:
    """Return how many characters of a text fit, with what follows them; at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width_of(text[:middle] + ending, size) <= width else (low, middle - 1)
    return low


@dataclass(frozen=True, slots=True)
class Sheet:
    """A canvas whose only axes are measured in inches, downwards."""

    canvas: Canvas
    axes: Axes

    @classmethod
    def of(cls, width: float, height: float) -> Sheet:
        """Return an empty one."""
        from matplotlib.figure import Figure as Canvas

        canvas = Canvas(figsize=(width, height))
        axes = canvas.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        return cls(canvas, axes)

    def write(self, text: str, x: float, y: float, size: float, **look: Any) -> None:
        """Write a line; by default its upper left corner lies at the place."""
        self.axes.text(x, y, text, fontsize=size, **{"va": "top", "ha": "left", **look})

    def write_lines(self, found: list[str], x: float, y: float, size: float, **look: Any) -> float:
        """Write lines below one another from a place on; return where they end."""
        for text in found:
            self.write(text, x, y, size, **look)
            y += height_of(1, size)
        return y

    def paint(self, image: NDArray[np.uint8], left: float, top: float, width: float, height: float) -> None:
        """Draw an image, uint8[H, W, 3], in a rectangle, enlarged without mixing its pixels."""
        from matplotlib.image import AxesImage

        extent = (left, left + width, top + height, top)
        drawn = AxesImage(self.axes, extent=extent, interpolation="nearest", origin="upper")
        drawn.set_data(image)
        self.axes.add_image(drawn)

    def bar(
        self,
        scale: Scale,
        values: Sequence[NDArray[Any]],
        left: float,
        top: float,
        height: float,
        *,
        over_images: bool = False,
    ) -> None:
        """Draw the scale's bar with its numbers and its label, upright, in the room of `BAR`.

        Args:
            scale: of the values.
            values: those that have its colours.
            left: where its room begins.
            top: where it begins.
            height: its own.
            over_images: give it the colours that values have over an image of middle grey.
        """
        shares = np.linspace(scale.high, scale.low, _BAR_STEPS)[:, None]
        colours = coloured(shares, scale).astype(np.float64)
        if over_images:
            colours = (1 - OPACITY) * 127.5 + OPACITY * colours
        left += _BAR_GAP
        self.paint(np.rint(colours).astype(np.uint8), left, top, _BAR_WIDTH, height)
        left += _BAR_WIDTH + 0.05
        ticks = scale_ticks(scale, values)
        for text, share, place in zip(ticks, (0.0, 0.5, 1.0), ("bottom", "center", "top"), strict=True):
            self.write(text, left, top + (1 - share) * height, LABEL - 1, va=place)
        left += max(width_of(text, LABEL - 1) for text in ticks) + 0.07
        for text in lines(scale.label, LABEL, max(height, 1.0), 2):
            self.write(text, left, top + height / 2, LABEL, va="center", rotation=90, color=MUTED)
            left += height_of(1, LABEL)
