"""Which rows a leaderboard shows: those whose model and dataset fit patterns. What they leave out is counted.

Rows are chosen before they are ranked, so that ranks, tests and Holm's correction are among what is shown; names, batch
sizes and conditions are those of the whole folder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from vitbench.errors import UsageError, did_you_mean
from vitbench.leaderboard.rows import Row
from vitbench.records import KeyedCell, QualityCell, Record

if TYPE_CHECKING:
    from vitbench.leaderboard.leaderboard import Failure

__all__ = ["Patterns", "Selected", "dataset_names", "select"]

_MOST_NAMES = 5
"""Names that an error lists."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patterns:
    """What to show; one of several patterns is enough, and one that begins with ``!`` hides what fits the rest."""

    models: tuple[str, ...] = ()
    """Of labels, full or short names, or a label with its recipe in brackets; none: all."""
    datasets: tuple[str, ...] = ()
    """Of titles, full or short names; none: all."""

    @property
    def in_words(self) -> str:
        """All of them."""
        kinds = {"models": self.models, "datasets": self.datasets}
        return " and ".join(f"{kind} {', '.join(patterns)}" for kind, patterns in kinds.items() if patterns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Selected:
    """What fits."""

    rows: list[Row]
    failed: list[Failure]
    hidden: str
    """What is left out, in a sentence."""


def select(
    rows: Sequence[Row], failed: Sequence[Failure], newest: Mapping[str, Record], patterns: Patterns
) -> Selected:
    """Return the rows and the cells without a result that fit.

    Args:
        rows: all of them.
        failed: all cells without a result.
        newest: the newest attempt at each cell, by id.
        patterns: what they must fit.

    Raises:
        UsageError: a pattern fits nothing, or nothing fits all of them.
    """
    models = [_model_names(newest[row.ids[0]].planned, row.model, f"{row.model} [{row.recipe}]") for row in rows]
    datasets = [dataset_names(row, newest) for row in rows]
    failed_models = [_model_names(each.planned) for each in failed]
    failed_datasets = [_names_of_dataset(each.dataset, [each.planned]) for each in failed]
    labels = [*(row.model for row in rows), *(each.model for each in failed)]
    _check(patterns.models, [*models, *failed_models], labels, "model")
    titles = [*(row.condition.dataset for row in rows), *(each.dataset for each in failed)]
    _check(patterns.datasets, [*datasets, *failed_datasets], titles, "dataset")
    kept = [
        row
        for row, model, dataset in zip(rows, models, datasets, strict=True)
        if _fits(model, patterns.models) and _fits(dataset, patterns.datasets)
    ]
    kept_failed = [
        each
        for each, model, dataset in zip(failed, failed_models, failed_datasets, strict=True)
        if _fits(model, patterns.models) and (not each.dataset or _fits(dataset, patterns.datasets))
    ]
    if patterns.datasets:  # a speed belongs to no dataset, but to the models that are shown
        of_rows = {newest[each].planned.label for row in kept for each in row.ids}
        of_cells = {each.model for each in kept_failed if each.dataset}
        kept_failed = [each for each in kept_failed if each.dataset or each.model in of_rows | of_cells]
    if not (kept or kept_failed):
        raise UsageError(f"nothing matches {patterns.in_words} at once.")
    lost = [f"{len(rows) - len(kept)} of {len(rows)} rows"]
    if len(kept_failed) < len(failed):
        lost.append(f"{len(failed) - len(kept_failed)} of {len(failed)} cells without a result")
    words = f"Left out: {' and '.join(lost)}. Shown, and ranked among themselves: {patterns.in_words}."
    return Selected(rows=kept, failed=kept_failed, hidden=words)


def dataset_names(row: Row, newest: Mapping[str, Record]) -> set[str]:
    """Return what a row's dataset may be called: its title, and the names that it is asked for by."""
    return _names_of_dataset(row.condition.dataset, [newest[each].planned for each in row.ids])


def _names_of_dataset(title: str, cells: Iterable[KeyedCell]) -> set[str]:
    asked = {planned.cell.dataset for planned in cells if isinstance(planned.cell, QualityCell)}
    # As `run` takes it: the plugin, and the options that its title shows.
    plugins = {each.partition("/")[0] for each in asked if "/" in each}
    return {title, *asked, *(f"{plugin}/{title}" for plugin in plugins), *map(_short, asked)} - {""}


def _model_names(planned: KeyedCell, *others: str) -> set[str]:
    full = planned.cell.model
    return {planned.label, full, _short(full), *others}


def _short(name: str) -> str:
    return name.partition("/")[2] or name


def _fits(names: Collection[str], patterns: Sequence[str]) -> bool:
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    hidden = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return (not wanted or _any(names, wanted)) and not _any(names, hidden)


def _any(names: Collection[str], patterns: Iterable[str]) -> bool:
    # A name may hold what means something in a pattern: "vit [recipes/finetune]".
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns for name in names)


def _check(patterns: Sequence[str], known: Sequence[Collection[str]], told: Iterable[str], kind: str) -> None:
    """Refuse a pattern that fits nothing: it is misspelt, or of another folder."""
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        if not any(_any(names, [bare]) for names in known):
            hint = did_you_mean(bare.strip("*?"), sorted(set().union(*known)))
            names = list(dict.fromkeys(filter(None, told)))
            more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            listed = ", ".join(names[:_MOST_NAMES]) + more
            hint = hint or (f" There are: {listed}." if listed else " There are no results yet.")
            raise UsageError(f'no {kind} of this leaderboard matches "{bare}".{hint}')
