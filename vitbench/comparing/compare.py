"""Two models of one results folder, or two results folders: find what belongs together, and come to one outcome.

Holm's correction runs over all pairs that are tested on the same images, as in a ranking
(vitbench/leaderboard/ranking.py), so that few of many equal models are called worse; stored speeds share their level
over all metrics of all pairs. The outcome of several pairs is that of the worst.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from shlex import quote

from vitbench.comparing.board_contrast import compared_boards
from vitbench.comparing.comparison import Comparison
from vitbench.comparing.conditions import VERSIONS, unlike_conditions
from vitbench.comparing.contrast import Contender, Contrast, contrast, judge_quality, tested_speeds
from vitbench.comparing.folder import Folder, NoDataError, in_words
from vitbench.comparing.speed_ratio import Speed
from vitbench.errors import UsageError
from vitbench.leaderboard.image_scores import read_outcomes
from vitbench.leaderboard.paired import LEVEL
from vitbench.leaderboard.rows import Row
from vitbench.statistics import holm

__all__ = ["THRESHOLD", "compare_folders", "compare_models"]

THRESHOLD = 0.03
"""The share of speed that does not matter, unless another is asked for."""


@dataclass(kw_only=True, slots=True)
class _Found:
    """What was found so far."""

    folders: tuple[Folder, Folder]
    pairs: list[tuple[Contender, Contender]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare_models(
    folder: Folder,
    names: tuple[str, str],
    *,
    dataset: str | None = None,
    device: str | None = None,
    threshold: float = THRESHOLD,
) -> Comparison:
    """Compare two models of one folder, wherever both have results.

    Args:
        folder: holds both.
        names: of the base and of the model that is compared with it, as `Folder.rows` takes them.
        dataset: the one that counts.
        device: the one that counts.
        threshold: the share of speed that does not matter.

    Raises:
        UsageError: both names mean the same, or one means several models.
        NoDataError: a model is unknown or has no such result.
    """
    first, second = (folder.rows(name, dataset=dataset, device=device) for name in names)
    if any(row is other for row in first for other in second):
        raise UsageError(f'"{names[0]}" and "{names[1]}" are the same model of {folder.path}.')
    found = _Found(folders=(folder, folder))
    _pair_rows((first, second), found)
    return _concluded(names, found, folder.board.rank_by, threshold, dataset=dataset, folders=False, same_model=False)


def compare_folders(
    first: Folder,
    second: Folder,
    *,
    models: Sequence[str] = (),
    dataset: str | None = None,
    device: str | None = None,
    threshold: float = THRESHOLD,
) -> Comparison:
    """Compare each model that two folders both have, or each of `models`; the first folder is the base.

    What the tables call the same may be two models: they are compared only where `models` asks for it.

    Raises:
        UsageError: a name means several models.
        NoDataError: the folders have no model in common.
    """
    found = _Found(folders=(first, second))
    shared = [name for name in first.names() if name in second.names()]
    if not (models or shared):
        raise NoDataError(f"{first.path} and {second.path} have no model in common.")
    if not models:
        found.missing += [f"Only A has {name}." for name in first.names() if name not in shared]
        added = [name for name in second.names() if name not in shared]
        found.notes += [f"Only B has {', '.join(added)}."] if added else []
    rank_by = first.board.rank_by
    if second.board.rank_by != rank_by:
        found.notes.append(f"A is ranked by {rank_by}, B by {second.board.rank_by}; {rank_by} decides.")
    for name in models or shared:
        try:
            rows = [folder.rows(name, dataset=dataset, device=device) for folder in (first, second)]
        except NoDataError as error:
            found.missing.append(str(error))
        else:
            _pair_rows((rows[0], rows[1]), found)
    names = (str(first.path), str(second.path))
    return _concluded(names, found, rank_by, threshold, dataset=dataset, folders=True, same_model=not models)


def _pair_rows(rows: tuple[Sequence[Row], Sequence[Row]], found: _Found) -> None:
    """Pair the rows of two models, each pair once however often it is asked for, and say which have no counterpart."""
    folders, pairs = found.folders, _counterparts(*rows)
    for pair in pairs:
        if not any(one.row is pair[0] and other.row is pair[1] for one, other in found.pairs):
            found.pairs.append((_contender(folders[0], pair[0]), _contender(folders[1], pair[1])))
    for side in (0, 1):
        other, (counterpart, *_) = folders[1 - side], rows[1 - side]
        for row in rows[side]:
            if any(row is pair[side] for pair in pairs):
                continue
            place = f"{row.condition.judged_on or 'no dataset'}, {row.condition.device}"
            label = other.planned(counterpart).label
            failed = [each for each in other.failures(label, row.condition) if each.kind == "quality"]
            if failed:
                found.missing.append(f"{'BA'[side]} has no result of {label} on {place} ({in_words(failed)}).")
            else:
                found.notes.append(f"Only {'AB'[side]} has {row.model} on {place}, {row.condition.precision}.")


def _contender(folder: Folder, row: Row) -> Contender:
    return Contender(
        row=row,
        newest=folder.newest,
        failures=folder.failures(folder.planned(row).label, row.condition),
        outcomes=lambda record, metric: read_outcomes(folder.scores(record.key), metric),
    )


def _counterparts(first: Sequence[Row], second: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Return the rows that can be compared, each once with the one most like it; if there are none, the likest two.

    Raises:
        UsageError: one row has several counterparts, and none is more like it than the others.
    """
    pairs = sorted(itertools.product(first, second), key=lambda pair: _distance(*pair))
    taken: list[tuple[Row, Row]] = []
    for pair in pairs:
        rivals = [each for each in taken if each[0] is pair[0] or each[1] is pair[1]]
        distance = _distance(*pair)
        if distance[0] == 0 and any(_distance(*each) == distance for each in rivals):
            rows = pair + rivals[0]
            names = dict.fromkeys(f"{quote(f'{row.model} [{row.recipe}]')} on {row.condition.device}" for row in rows)
            raise UsageError(
                f"several rows can be compared; give --dataset or --device, or one of these: {', '.join(names)}."
            )
        if not rivals and (distance[0] == 0 or not taken):
            taken.append(pair)
    return taken


def _distance(first: Row, second: Row) -> tuple[int, int, int]:
    """Return how unlike two rows are; those whose first number is not 0 cannot be compared."""
    general, of_speed = unlike_conditions(first.condition, second.condition)
    versions = (getattr(first.condition, name) != getattr(second.condition, name) for name in VERSIONS)
    return len(general), len(of_speed), sum((first.recipe != second.recipe, *versions))


def _concluded(
    names: tuple[str, str],
    found: _Found,
    rank_by: str,
    threshold: float,
    *,
    dataset: str | None,
    folders: bool,
    same_model: bool,
) -> Comparison:
    speeds = sum(len(tested_speeds(*pair, same_model=same_model)) for pair in found.pairs)
    pairs = [
        contrast(*pair, rank_by=rank_by, threshold=threshold, together=speeds, same_model=same_model)
        for pair in found.pairs
    ]
    pairs = _judged_together(pairs)
    contrasts = [(one.row, other.row, pair) for (one, other), pair in zip(found.pairs, pairs, strict=True)]
    if folders and any(_is_of_two_occasions(speed) for pair in pairs for speed in pair.speeds):
        found.notes.append("A and B were measured on two occasions: a difference in speed may be due to the machine.")
    return Comparison(
        names=names,
        folders=folders,
        rank_by=rank_by,
        threshold=threshold,
        pairs=tuple(pairs),
        missing=tuple(dict.fromkeys(found.missing)),
        notes=tuple(dict.fromkeys(found.notes)),
        # One dataset alone, as it was asked for, is no board.
        boards=compared_boards(found.folders, contrasts, rank_by) if dataset is None else (),
    )


def _is_of_two_occasions(speed: Speed) -> bool:
    """Say whether the processes of two speeds that are compared did not take turns with each other."""
    one, other = speed.first.occasion, speed.second.occasion
    return speed.finding != "not comparable" and speed.ratio is not None and (not one or one != other)


def _judged_together(pairs: Sequence[Contrast]) -> list[Contrast]:
    """Judge the ranking metric of all pairs with Holm's correction over those that are tested on the same images."""
    import numpy as np

    judged = list(pairs)
    p_values = {i: q.paired.p_value for i, pair in enumerate(pairs) for q in pair.quality[:1] if q.finding and q.paired}
    if not p_values:
        return judged
    values = np.array(list(p_values.values()))
    significant = holm(lambda level: values <= level, len(values), LEVEL)
    # The largest p-value that counts, now that these are found.
    level = LEVEL / max(1, len(values) - int(significant.sum()))
    for i, holds in zip(p_values, significant.tolist(), strict=True):
        first, *others = pairs[i].quality
        assert first.paired is not None
        first = replace(first, paired=replace(first.paired, level=level), together=len(values))
        first = replace(first, finding=judge_quality(first, significant=holds))
        judged[i] = replace(pairs[i], quality=(first, *others))
    return judged
