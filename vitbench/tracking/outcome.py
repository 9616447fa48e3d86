"""What tracking found of each model, and the exit code that it comes to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from vitbench.records import Mode
from vitbench.statistics import Finding

__all__ = ["EXIT_CODES", "VERDICTS", "SideInfo", "Tracked", "TrackedModel", "Verdict", "verdict_of_all"]

SCHEMA = 1
"""Version of the JSON object."""

Verdict = Literal["regressed", "not comparable", "no data", "not resolved", "improved", "same"]

VERDICTS: dict[Finding, Verdict] = {
    "slower": "regressed",
    "faster": "improved",
    "same": "same",
    "not resolved": "not resolved",
}
"""What a finding on head's speed means."""

EXIT_CODES: dict[Verdict, int] = {
    "regressed": 10,
    "not comparable": 12,
    "no data": 11,
    "not resolved": 13,
    "improved": 0,
    "same": 0,
}
"""Of each verdict; of several, the first in this order counts."""


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the types here."""


class TrackedModel(_Data, frozen=True, kw_only=True):
    """What was found of one model in one mode."""

    model: str
    mode: Mode
    batch_size: int
    verdict: Verdict
    """Of head against base."""
    ratio: float | None = None
    """Head's images per second over base's."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    pairs: int = 0
    """Pairs of processes that it rests on."""
    quads: int = 0
    reasons: tuple[str, ...] = ()
    """Why there is no figure, or what makes it doubtful."""


class SideInfo(_Data, frozen=True, kw_only=True):
    """One of the two that are compared."""

    title: str
    """The commit, and how it was named."""
    python: str = ""
    """Its version; empty where the side could not be asked."""
    versions: dict[str, str] = {}
    """Of the packages that make the numbers."""


class Tracked(_Data, frozen=True, kw_only=True):
    """All that `vitbench track` found; its JSON object."""

    schema: int = SCHEMA
    base: SideInfo
    head: SideInfo
    machine: str
    """The machine class; empty where nothing was planned."""
    device: str
    threads: int
    threshold: float
    """The share of speed that does not matter."""
    verdict: Verdict
    exit_code: int
    results: tuple[TrackedModel, ...]


def verdict_of_all(results: Iterable[TrackedModel]) -> Verdict:
    """Return the verdict that counts of several; see `EXIT_CODES`."""
    found = {result.verdict for result in results}
    return next(verdict for verdict in EXIT_CODES if verdict in found)
