"""What `vitbench check` prints: a block of lines for each subject, and a sum. Text and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from vitbench.printable import plain
from vitbench.testing.checks import TOO_LARGE, CheckStatus, Outcome

__all__ = ["as_data", "subject_text", "sum_text"]

STATUSES: tuple[CheckStatus, ...] = ("passed", "failed", "skipped")


def subject_text(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes of one subject, one per line, below its name."""
    width = max(len(outcome.check) for outcome in outcomes)
    return "\n".join([plain(outcomes[0].subject), *(_line(outcome, width) for outcome in outcomes)])


def sum_text(outcomes: Sequence[Outcome]) -> str:
    """Return how many checks passed, and below it the failed ones and the models that were too large for the rest."""
    counts = Counter(outcome.status for outcome in outcomes)
    parts = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    large = dict.fromkeys(outcome.subject for outcome in outcomes if outcome.reason.startswith(TOO_LARGE))
    return "\n".join(
        [
            f"{len(outcomes)} checks: {parts or 'none'}",
            *(f"  {plain(subject)}: shapes only, {TOO_LARGE}" for subject in large),
            *(f"  {plain(bad.subject)}: {bad.check}" for bad in outcomes if bad.status == "failed"),
        ]
    )


def _line(outcome: Outcome, width: int) -> str:
    status = outcome.status.upper() if outcome.status == "failed" else outcome.status
    return f"  {status:<8} {outcome.check:<{width}} {outcome.seconds:6.2f} s  {plain(outcome.reason)}".rstrip()


def as_data(plugin: str, outcomes: Sequence[Outcome]) -> str:
    """Return ``{"plugin", "outcomes": [{"check", "subject", "status", "reason", "seconds"}]}`` as JSON."""
    content = {"plugin": plugin, "outcomes": list(outcomes)}
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
