"""From the finalists on the test split to an answer: which one, how sure, what is as good as it in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vitbench.leaderboard.image_scores import Outcomes
from vitbench.leaderboard.metric import Metric
from vitbench.leaderboard.paired import LEVEL, PairedDifference, paired_difference
from vitbench.leaderboard.pareto import front
from vitbench.leaderboard.rows import Row
from vitbench.leaderboard.where import Where
from vitbench.picking.wants import conditions_in_words, judged, values_of
from vitbench.settings import RANK_BY, SPEED
from vitbench.statistics import holm

__all__ = ["Answer", "Final", "Rival", "answered"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Final:
    """A finalist, as one recipe has made it, on the test split."""

    name: str
    """The model, as a selection calls it."""
    label: str
    """The model, as tables call it."""
    row: Row
    outcomes: Outcomes
    """Which test images it has right."""
    steps: int | None = None
    """Steps that the budget gave its training; None: its recipe takes none that are counted."""

    @property
    def recipe(self) -> str:
        """The recipe's short name."""
        return self.row.recipe.partition("/")[2].partition(":")[0]

    @property
    def in_words(self) -> str:
        """Model and recipe."""
        return f"{self.label} [{self.recipe}]"

    @property
    def accuracy(self) -> Metric:
        """What it is ranked by."""
        return self.row.metrics[RANK_BY]

    @property
    def speed(self) -> Metric | None:
        """How fast it answers; None where that was not measured."""
        return self.row.metrics.get(SPEED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rival:
    """Another finalist beside the pick, each as the recipe made it that does best."""

    final: Final
    difference: PairedDifference
    """The pick's share of right images less the rival's."""
    resolved: bool
    """Whether the two are told apart, among all rivals together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What comes of a pick."""

    pick: Final | None
    """None where no finalist meets --want, or none has a result."""
    finals: tuple[Final, ...]
    """The best first; of a model those that several recipes have made."""
    rivals: tuple[Rival, ...] = ()
    """The best first; those that do not have what is wanted are none."""
    front: tuple[Final, ...] = ()
    """Those that no other beats in accuracy or speed without losing in the other."""
    unsure: str = ""
    """What of the wish is not sure for the pick, in words."""
    wanted: tuple[str, ...] = ()
    """Each condition of --want, and whether the pick meets it, in words."""
    nearest: str = ""
    """Where no finalist meets --want: those that come nearest, in words."""


def answered(finals: Sequence[Final], want: Where | None) -> Answer:
    """Choose the best of the finalists that have what is wanted.

    Args:
        finals: on the same test images.
        want: a condition on a row; None: any is accepted.
    """
    best_first = sorted(finals, key=lambda each: -each.outcomes.value)
    found = {id(each): judged(want, each.row.metrics) for each in best_first}
    able = [each for each in best_first if found[id(each)].holds]
    on_front = front([each.row for each in best_first], (RANK_BY, SPEED))  # they differ in their training alone
    answer = Answer(
        pick=able[0] if able else None,
        finals=tuple(best_first),
        front=tuple(each for i, each in enumerate(best_first) if i in on_front),
    )
    if not able:
        if want is not None and best_first:
            nearest = want.nearest({each.in_words: values_of(each.row.metrics) for each in best_first})
            return replace(answer, nearest=nearest)
        return answer
    unsure = "" if found[id(able[0])].sure else found[id(able[0])].words
    wanted = conditions_in_words(want, able[0].row.metrics)
    return replace(answer, rivals=_rivals(able), unsure=unsure, wanted=wanted)


def _rivals(able: Sequence[Final]) -> tuple[Rival, ...]:
    """Compare the best with the other models, each as its better recipe made it."""
    pick, others = able[0], dict[str, Final]()
    for each in able[1:]:
        if each.label != pick.label:
            others.setdefault(each.label, each)
    pairs = [(each, paired_difference([each.outcomes], [pick.outcomes])) for each in others.values()]
    known = [(each, difference) for each, difference in pairs if difference is not None]
    if not known:
        return ()
    import numpy as np

    p_values = np.array([difference.p_value for _, difference in known])
    # The best was found by looking: the level is that of all pairs, as a table's ranks have it.
    shared = LEVEL * 2 / (len(known) + 1)
    resolved = holm(lambda level: p_values <= level, len(known), shared)
    level = shared / len(known)
    return tuple(
        Rival(final=each, difference=replace(difference, level=level), resolved=bool(told))
        for (each, difference), told in zip(known, resolved, strict=True)
    )
