"""How another machine differs from that on which a run was planned, in words."""

from __future__ import annotations

from collections.abc import Mapping

from vitbench.planning.messages import Found
from vitbench.records import KeyedCell

__all__ = ["difference"]


def difference(found: Found, *, machine: str, cells: Mapping[str, KeyedCell], metrics: Mapping[str, str]) -> str:
    """Return how a machine differs from that of the plan, in words; empty where it makes the same cells.

    Args:
        found: what it answered.
        machine: the plan's machine class.
        cells: of the plan, by id.
        metrics: code hashes of the plan.
    """
    if found.machine != machine:
        return f"its machine class differs, {found.machine} instead of {machine}"
    if found.other is not None and found.other.id in cells:
        return _of_provenance(cells[found.other.id], found.other)
    if found.missing:
        return f"{found.missing} cells of the plan differ there; its environment variables differ"
    changed = sorted(name for name in metrics if found.metrics.get(name) != metrics[name])
    return f"the code of the metric {changed[0]} differs there" if changed else ""


def _of_provenance(planned: KeyedCell, other: KeyedCell) -> str:
    """Return what a cell is made of otherwise, the most telling first."""
    ours, theirs = planned.provenance, other.provenance
    if ours.torch != theirs.torch:
        return f"it has torch {theirs.torch} instead of {ours.torch}"
    for name in sorted(ours.all_libraries.keys() | theirs.all_libraries.keys()):
        here, there = ours.all_libraries.get(name, "none"), theirs.all_libraries.get(name, "none")
        if here != there:
            return f"it has {name} {there} instead of {here}"
    for mine, its in (
        (ours.model, theirs.model),
        (ours.recipe, theirs.recipe),
        (ours.dataset, theirs.dataset),
        *zip(ours.others, theirs.others, strict=False),
    ):
        if mine and its and mine != its:
            return f"the code of plugin {mine.plugin} differs there ({its.owner} instead of {mine.owner})"
    if ours.vitbench != theirs.vitbench:
        return "its vitbench has different code"
    if ours.data_fingerprint != theirs.data_fingerprint:
        return f"its images of {planned.judged_on or 'the data'} differ"
    for option in sorted(ours.files.keys() | theirs.files.keys()):
        if ours.files.get(option) != theirs.files.get(option):
            return f"the file that {option} names differs there"
    return f"{planned.in_words} would be computed from something else there"
