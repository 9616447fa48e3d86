"""Findings for a terminal of 100 columns: each claim with its verdict and comparisons, then the published numbers."""

from __future__ import annotations

from vitbench.findings.findings import Findings
from vitbench.report.findings_sentences import claim_results, findings_notes, findings_title, published_figures
from vitbench.report.terminal_text import aligned, shown, wrapped

__all__ = ["render_findings"]

_VERDICT = 14
"""Columns that the longest verdict takes, with two blanks."""


def render_findings(found: Findings, *, unicode: bool = True) -> str:
    """Return findings as text that ends with a newline; in ASCII unless `unicode`."""
    parts = ["\n".join(wrapped(f"{findings_title(found)}, by {found.rank_by}", unicode))]
    for result in claim_results(found):
        lines = wrapped(result.text, unicode, indent=result.outcome.ljust(_VERDICT), hang=" " * _VERDICT)
        if result.place:
            lines += wrapped(result.place, unicode, indent=" " * _VERDICT, hang=" " * _VERDICT)
        for line in result.lines:
            lines += wrapped(line, unicode, indent=" " * (_VERDICT + 2), hang=" " * (_VERDICT + 4))
        parts.append("\n".join(lines))
    figures = published_figures(found)
    if figures:
        head = ("model", "dataset", "published", f"{found.rank_by} here (95 % interval)", "difference")
        rows = [
            [shown(text, unicode) for text in (each.model, each.place, each.published, each.own, each.difference)]
            for each in figures
        ]
        parts.append(aligned(head, rows))
    notes = [line for note in findings_notes(found) for line in wrapped(note, unicode, hang="  ")]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])]) + "\n"
