"""What a format leaves out, counted."""

from collections import Counter

__all__ = ["LeftOut"]


class LeftOut:
    """Counts values that are left out, by their reason."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, reason: str, count: int = 1) -> None:
        """Count what is left out for a reason, such as ``invalid values``."""
        self._counts[reason] += count

    def notes(self) -> list[str]:
        """Return a sentence; none where nothing was left out."""
        parts = [f"{reason} ({count:,})" for reason, count in sorted(self._counts.items()) if count]
        return [f"Left out: {', '.join(parts)}."] if parts else []
