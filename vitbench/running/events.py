"""What a run tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from vitbench.execution.messages import Progress
from vitbench.records import KeyedCell, Record

__all__ = ["Ended", "Event", "Noted", "Progressed", "Started"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A process of a cell is about to start."""

    planned: KeyedCell
    process: int
    processes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Progressed:
    """A cell gave a sign of life."""

    planned: KeyedCell
    progress: Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted:
    """A cell has a sentence for the user."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A cell's record is in the store."""

    record: Record


Event = Started | Progressed | Noted | Ended
