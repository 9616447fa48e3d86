"""What stands at the top of a page: suite, data, date and machine."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterable, Mapping

from vitbench.report.html.details import Details, RunDetail

__all__ = ["heading"]

_MOST = 4
"""Names of a kind that are told."""


def heading(details: Details) -> Mapping[str, str]:
    """Return each fact by its name: those of the runs that made the rows; nothing without runs."""
    runs = [run for run in details.runs if run.begun.id in _behind(details)] or list(details.runs)
    days = sorted(time.strftime("%Y-%m-%d", time.gmtime(run.begun.started)) for run in runs)
    data = (
        f"{', '.join(filter(None, (each.title, each.lineage)))}: {each.sizes.get('test', 0):,} test images, "
        f"{len(each.class_names):,} classes"
        for each in details.data
    )
    found = {
        "suite": _listed(map(_suite, runs)),
        "data": _listed(data),
        "date": (days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}") if days else "",
        "machine": _listed(run.environment.machine for run in runs),
    }
    return {name: text for name, text in found.items() if text}


def _behind(details: Details) -> set[str]:
    return {cell.run for row in details.rows for cell in row.cells}


def _suite(run: RunDetail) -> str:
    """Return a suite's name with its summary; what was run without one is told as such."""
    if not run.suite:
        return "none, models and datasets were named"
    content = tomllib.loads(run.suite)
    return ": ".join(str(content[key]) for key in ("name", "summary") if content.get(key))


def _listed(texts: Iterable[str]) -> str:
    names = list(dict.fromkeys(filter(None, texts)))
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return "; ".join(names[:_MOST]) + more
