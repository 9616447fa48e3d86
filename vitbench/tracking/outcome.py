"""What tracking found of each model, and what all of it comes to."""

from __future__ import annotations

import msgspec

from vitbench.lockstep.outcome import ComparisonOutcome
from vitbench.records import Mode
from vitbench.statistics import Finding

__all__ = ["VERDICTS", "SideInfo", "Tracked", "TrackedModel"]

SCHEMA = 1
"""Version of the JSON object."""

VERDICTS: dict[Finding, ComparisonOutcome] = {
    "slower": "regressed",
    "faster": "improved",
    "same": "same",
    "not resolved": "not resolved",
}
"""What a finding on head's speed means."""


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the types here."""


class TrackedModel(_Data, frozen=True, kw_only=True):
    """What was found of one model in one mode."""

    model: str
    mode: Mode
    batch_size: int
    verdict: ComparisonOutcome
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
    verdict: ComparisonOutcome
    exit_code: int
    results: tuple[TrackedModel, ...]
