"""Text made fit to print: what comes from outside made safe; numbers, durations and sizes in short words."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Literal

__all__ = ["MARKS", "describe_seconds", "plain", "rounded", "short_size", "whole"]

MARKS: Mapping[Literal["valid", "warn", "invalid"], str] = {"valid": "", "warn": "~", "invalid": "!"}
"""What stands before a number, by its verdict."""
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def plain(text: str) -> str:
    """Return text with each control, formatting and surrogate character written as an escape.

    So no name moves the cursor, turns the reading direction or starts a line (Unicode's Cc, Cf, Cs, Zl, Zp).
    """
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in _INVISIBLE else c for c in text)


def whole(text: str) -> str:
    """Return text with each lone surrogate, half of a character, written as an escape: so it can be stored."""
    return text.encode("utf-8", "backslashreplace").decode()


def describe_seconds(seconds: float) -> str:
    """Return a duration in words: ``0.4 s``, ``38 s``, ``4 min``, ``2.5 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    if seconds < 7170:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def rounded(value: float) -> str:
    """Return a number to about three significant digits, whole from 100 on."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 else f"{value:.3g}"


def short_size(size: tuple[int, int]) -> int | str:
    """Return the size of an image, height and width, as tables hold it: a square's side, else ``32x64``."""
    height, width = size
    return height if height == width else f"{height}x{width}"
