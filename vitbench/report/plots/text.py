"""Text in pictures: short, and in characters that the pictures' font has."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vitbench.printable import plain
from vitbench.report.plots.canvas import FONT

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["add_legend", "add_title", "shown"]

_LONGEST = 40
_LINE = 90


def shown(text: str, longest: int = _LONGEST) -> str:
    """Return text with control characters, and those that the font lacks, as escapes; cut off where it is long."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont(FONT)).get_charmap()
    drawable = "".join(c if ord(c) in known else c.encode("unicode_escape").decode() for c in plain(text))
    return drawable if len(drawable) <= longest else drawable[: longest - 1] + "\u2026"


def add_title(canvas: Canvas, title: str, conditions: str = "") -> None:
    """Put what a picture shows above it."""
    lines = textwrap.wrap(shown(conditions, 3 * _LINE), _LINE)
    canvas.suptitle("\n".join([shown(title, _LINE), *lines]), fontsize="medium")


def add_legend(canvas: Canvas, handles: Sequence[Artist], names: Sequence[str], *, above: Axes | None = None) -> None:
    """Put a legend below a picture, or above its axes where a note is below; a name may begin with an underscore."""
    look = {"ncols": 4, "fontsize": "small", "handlelength": 3}  # long enough for dashes
    marks = ["-"] * len(names)
    if above is None:
        legend = canvas.legend(handles, marks, loc="outside lower center", **look)
    else:
        legend = above.legend(handles, marks, loc="lower center", bbox_to_anchor=(0.5, 1.0), **look)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
