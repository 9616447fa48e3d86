"""What a comparison comes to: its pairs of rows, one outcome, and the exit code that says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vitbench.comparing.board_contrast import BoardContrast
from vitbench.comparing.contrast import Contrast
from vitbench.comparing.speed_ratio import Judgement
from vitbench.lockstep.outcome import EXIT_CODES, ComparisonOutcome, worst

__all__ = ["Comparison", "outcome_of"]

_NO_DATA: tuple[ComparisonOutcome] = ("no data",)
_OF_FINDINGS: Mapping[Judgement, ComparisonOutcome] = {
    "worse": "regressed",
    "no data": "no data",
    "not comparable": "not comparable",
    "not resolved": "not resolved",
    "better": "improved",
    "same": "same",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """All pairs of rows that were compared."""

    names: tuple[str, str]
    """What A and B are, as they were given."""
    folders: bool
    """Whether A and B are folders; else they are models of one."""
    rank_by: str
    threshold: float
    """The share of speed that does not matter."""
    pairs: tuple[Contrast, ...]
    missing: tuple[str, ...]
    """What one of the two has no result of, in words."""
    notes: tuple[str, ...]
    boards: tuple[BoardContrast, ...] = ()
    """What the scores over several datasets say; no part of the outcome, which is that of the pairs."""

    @property
    def outcome(self) -> ComparisonOutcome:
        """The worst of the pairs'."""
        return worst([*map(outcome_of, self.pairs), *(_NO_DATA if self.missing else ())])

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return EXIT_CODES[self.outcome]


def outcome_of(pair: Contrast) -> ComparisonOutcome:
    """Return what all that is judged of a pair comes to: its ranking metric and its speeds."""
    if pair.unlike:
        return "not comparable"
    findings = [each.finding for each in pair.quality if each.finding] + [each.finding for each in pair.speeds]
    outcomes = [_OF_FINDINGS[finding] for finding in findings]
    return worst([*outcomes, *(_NO_DATA if pair.missing or not outcomes else ())])
