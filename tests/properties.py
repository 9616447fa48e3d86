"""How often properties are tried."""

from __future__ import annotations

from hypothesis import settings

COSTLY = settings(max_examples=min(40, settings.default.max_examples))
"""For a property whose every example renders a whole table: a fifth of what CI tries otherwise."""
