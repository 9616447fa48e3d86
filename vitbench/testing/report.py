"""What `vitbench check` prints: a table for each subject, and a sum. Text and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import msgspec

from vitbench.testing.checks import Outcome, Status
from vitbench.text import plain

__all__ = ["as_data", "as_text"]

STATUSES: tuple[Status, ...] = ("passed", "failed", "skipped")


def as_text(outcomes: Sequence[Outcome]) -> str:
    """Return a block of lines for each subject, one a check, and how many passed; the failed ones again at the end."""
    lines: list[str] = []
    width = max((len(outcome.check) for outcome in outcomes), default=0)
    for subject, own in groupby(outcomes, key=lambda outcome: outcome.subject):
        lines += [plain(subject), *(_line(outcome, width) for outcome in own), ""]
    counts = Counter(outcome.status for outcome in outcomes)
    parts = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    lines.append(f"{len(outcomes)} checks: {parts or 'none'}")
    lines += [f"  {plain(bad.subject)}: {bad.check}" for bad in outcomes if bad.status == "failed"]
    return "\n".join(lines)


def _line(outcome: Outcome, width: int) -> str:
    status = outcome.status.upper() if outcome.status == "failed" else outcome.status
    return f"  {status:<8} {outcome.check:<{width}} {outcome.seconds:6.2f} s  {plain(outcome.reason)}".rstrip()


def as_data(plugin: str, outcomes: Sequence[Outcome]) -> str:
    """Return ``{"plugin", "outcomes": [{"check", "subject", "status", "reason", "seconds"}]}`` as JSON."""
    content = {"plugin": plugin, "outcomes": list(outcomes)}
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
