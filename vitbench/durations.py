"""Durations as a user writes them: ``90s``, ``15m``, ``1h30m``, or plain seconds."""

from __future__ import annotations

import math
import re

__all__ = ["MOST_SECONDS", "duration_text", "parse_duration"]

_PARTS = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
_PLAIN = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
MOST_SECONDS = 366 * 86400.0
"""A longer one is a slip of the finger."""


def parse_duration(text: str) -> float:
    """Return the seconds that a text means.

    Raises:
        ValueError: it means none, in a sentence's end: what it is not, and how it is written.
    """
    asked = text.strip().lower()
    parts = _PARTS.fullmatch(asked)
    if _PLAIN.fullmatch(asked):
        seconds = float(asked)
    elif asked and parts:
        hours, minutes, rest = (float(part or 0) for part in parts.groups())
        seconds = 3600 * hours + 60 * minutes + rest
    else:
        raise ValueError(f'"{text}" is not a duration; write 90s, 15m, 1h30m or a number of seconds')
    if not 0 < seconds <= MOST_SECONDS or not math.isfinite(seconds):
        raise ValueError(f'"{text}" must be above 0 and at most {MOST_SECONDS / 86400:g} days')
    return seconds


def duration_text(seconds: float) -> str:
    """Return the shortest text that `parse_duration` reads as these seconds: ``90s``, ``15m``, ``1h30m``."""
    whole = round(seconds)
    if abs(seconds - whole) > 1e-9 or whole < 120:
        return f"{seconds:.15g}s" if seconds >= 1e-4 else f"{seconds:f}s"
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return "".join(f"{count}{unit}" for count, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if count)
