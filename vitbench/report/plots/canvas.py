"""What all pictures share: one style, their formats, and files of the same bytes for the same picture."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vitbench.errors import UnusableError

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

__all__ = ["DPI", "FONT", "FORMATS", "canvas_files", "drawing"]

FORMATS = ("png", "svg")
FONT = "DejaVu Sans"
"""It comes with matplotlib: pictures look alike everywhere."""
DPI = 160
_STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": [FONT],
    "font.size": 9,
    "grid.alpha": 0.3,
    "savefig.dpi": DPI,
    "svg.fonttype": "none",  # text that can be searched and read aloud
    "svg.hashsalt": "vitbench",
    "text.parse_math": False,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw and write canvases in the style of all pictures.

    Raises:
        UnusableError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UnusableError('pictures need matplotlib; install it: pip install "vitbench[plots]"')
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        yield


def canvas_files(name: str, canvas: Canvas, kinds: Sequence[str] = FORMATS) -> dict[str, bytes]:
    """Return a canvas as PNG and SVG by file name, without dates and random identifiers; inside `drawing`."""
    found = {}
    for kind in kinds:
        content = io.BytesIO()
        canvas.savefig(content, format=kind, metadata={"Date": None} if kind == "svg" else None)
        found[f"{name}.{kind}"] = content.getvalue()
    return found
