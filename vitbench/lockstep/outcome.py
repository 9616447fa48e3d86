"""What a comparison comes to, and the exit code that says it: one scale for `vitbench compare` and `vitbench track`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

__all__ = ["EXIT_CODES", "ComparisonOutcome", "worst"]

ComparisonOutcome = Literal["regressed", "not comparable", "no data", "not resolved", "improved", "same"]
EXIT_CODES: Mapping[ComparisonOutcome, int] = {
    "regressed": 10,
    "not comparable": 12,
    "no data": 11,
    "not resolved": 13,
    "improved": 0,
    "same": 0,
}
"""Of each outcome, the worst first."""


def worst(outcomes: Iterable[ComparisonOutcome]) -> ComparisonOutcome:
    """Return the outcome of several comparisons: the first of `EXIT_CODES` that occurs."""
    found = set(outcomes)
    return next(outcome for outcome in EXIT_CODES if outcome in found)
