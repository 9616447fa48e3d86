"""Names from records as names of files: they are data, and never lead anywhere."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

__all__ = ["file_name", "file_names"]

_LONGEST = 80
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
"""What Windows takes for a device, with any suffix."""


def file_name(text: str) -> str:
    """Return a text as one component of a path: ASCII letters, digits, ``_``, ``.``, ``=`` and ``-``, never empty,
    hidden, or one that a system gives a meaning. Two texts may become the same name; see `file_names`."""
    name = re.sub(r"[^A-Za-z0-9_.=]+", "-", text).strip("-.")[:_LONGEST].rstrip("-.") or "x"
    return f"x-{name}" if _DEVICES.match(name) else name


def file_names(texts: Iterable[str]) -> dict[str, str]:
    """Return a component of a path for each text, no two alike, whatever the case of their letters: where several would
    be, each ends in a digest of its text."""
    names = {text: file_name(text) for text in texts}
    taken = Counter(name.lower() for name in names.values())
    return {
        text: f"{name}-{hashlib.sha256(text.encode(errors='backslashreplace')).hexdigest()[:8]}"
        if taken[name.lower()] > 1
        else name
        for text, name in names.items()
    }
