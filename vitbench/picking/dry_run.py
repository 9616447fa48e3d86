"""What a pick would do: its candidates, and how it would divide its time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitbench.durations import duration_text
from vitbench.picking.candidates import Candidate
from vitbench.picking.ongoing import OngoingPick
from vitbench.picking.schedule import RACE_SHARE, TIMING_SHARE
from vitbench.printable import describe_seconds, short_size
from vitbench.report.terminal_text import aligned

__all__ = ["DryRun", "dry_run_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """Of a pick that has not begun, or that would go on."""

    budget: float
    """Seconds."""
    used: float
    """Of these, by earlier attempts and by preparing."""
    least: float
    """Seconds of the first pass."""
    candidates: tuple[Candidate, ...]
    """All of them, in the order in which they are timed."""
    running: frozenset[str]
    """The names of those that take part."""

    def __str__(self) -> str:
        """Return what the command prints."""
        rows = [
            [
                each.label,
                "yes" if each.learned else "no",
                str(short_size(each.image_size)),
                each.licence or "-",
                "" if each.name in self.running else each.unavailable or "only if no learned weights are available",
            ]
            for each in self.candidates
        ]
        table = aligned(["candidate", "learned", "pixels", "licence", "left out"], rows)
        speeds, race = (duration_text(round(share * self.budget)) for share in (TIMING_SHARE, RACE_SHARE))
        return (
            f"{table}\n\nOf {duration_text(self.budget)}: speeds until {speeds}, the race until {race} at the latest, "
            f"then training. The first pass takes about {describe_seconds(self.least)}.\n"
        )

    def data(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "schema": 1,
            "budget": self.budget,
            "used": self.used,
            "first_pass": self.least,
            "models": [
                {
                    "name": each.label,
                    "learned": each.learned,
                    "image_size": short_size(each.image_size),
                    "licence": each.licence,
                    "takes_part": each.name in self.running,
                    "unavailable": each.unavailable,
                }
                for each in self.candidates
            ],
        }


def dry_run_of(going: OngoingPick) -> DryRun:
    """Return what a pick would do."""
    return DryRun(
        budget=going.asked.budget,
        used=going.clock.used,
        least=going.least,
        candidates=tuple(going.candidates),
        running=frozenset(each.name for each in going.runners),
    )
