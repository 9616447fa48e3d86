"""Text from outside, made safe to print."""

from __future__ import annotations

import unicodedata

__all__ = ["plain"]

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def plain(text: str) -> str:
    """Return text with each control, formatting and surrogate character written as an escape.

    So no name moves the cursor, turns the reading direction or starts a line (Unicode's Cc, Cf, Cs, Zl, Zp).
    """
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in _INVISIBLE else c for c in text)
