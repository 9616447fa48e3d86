"""The way from two commits to one verdict: make the sides, ask them, compare what both have.

**Several comparisons.** One comparison calls a model that is slower by exactly the threshold "slower" in 2.5 % of cases
(see vitbench/statistics.py), and of ten such models one or another soon is. So where there are several, an alarm counts
only when it comes twice: what was slower is measured again with fresh processes. That both are wrong has a chance of
less than 0.1 %. Bonferroni's correction would widen every interval and so cost pairs in every
comparison; this costs time for alarms alone. The second figure is the one reported: the first was picked for being low.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from vitbench.execution.stopping import stoppable
from vitbench.lockstep import SpeedComparison, compare_speeds
from vitbench.lockstep.outcome import EXIT_CODES, ComparisonOutcome, worst
from vitbench.lockstep.process import LockstepError, Side
from vitbench.lockstep.progress import pair_talker
from vitbench.tracking.asking import ask
from vitbench.tracking.checkouts import Repository, find_repository
from vitbench.tracking.environments import Installation, PreparedSide, cache_folder, in_place, prepared_place
from vitbench.tracking.matching import LABELS, Match, matched
from vitbench.tracking.messages import Asked, Description, Request
from vitbench.tracking.outcome import VERDICTS, SideInfo, Tracked, TrackedModel

__all__ = ["Question", "settled", "track"]


class Question(Asked, frozen=True, kw_only=True):
    """What the user wants to know, and of what."""

    base: str
    """A commit, by any name that git knows."""
    head: str | None
    """None: the working tree as it is, with the present interpreter."""
    repo: Path
    threshold: float
    """The share of speed that does not matter."""
    seconds: float
    """After this time no further pair of processes starts for one comparison."""
    allow_differences: bool
    recipe: Installation

    def refs(self) -> dict[str, str]:
        """Return the commits that get environments, by the label of their side."""
        return {"base": self.base} | ({} if self.head is None else {"head": self.head})

    def request(self, place: PreparedSide, tree: Path) -> Request:
        """Return what to ask of a side."""
        asked = {name: getattr(self, name) for name in Asked.__struct_fields__}
        return Request(**asked, folder=str(place.folder), tree=str(tree))


def track(question: Question, say: Callable[[str], None]) -> Tracked:
    """Compare two commits.

    Args:
        question: what to compare.
        say: gets a sentence before what takes long.

    Raises:
        UsageError: no repository, no such commit, or a model that neither side has.
        UnusableError: an environment cannot be made, or the device is not there.
        StoreError: the folder of environments cannot be used, or another process does.
        NothingSelectedError: no model.
    """
    repository = find_repository(question.repo)
    commits = {label: repository.commit(f"--{label}", ref) for label, ref in question.refs().items()}
    with stoppable(), cache_folder() as cache:
        places, answers = zip(*_sides(question, repository, commits, cache, say), strict=True)
        found = matched(
            answers,
            question.models,
            question.modes,
            question.batch_size,
            allow_differences=question.allow_differences,
        )
        matches = [one for one in found if isinstance(one, Match)]
        results = []
        for one in found:
            if isinstance(one, Match):
                say(f"Measuring {_in_words(one)} ({matches.index(one) + 1} of {len(matches)}).")
                results.append(_measured(one, places, question, say, family=len(matches)))
            else:
                results.append(one)
    return _tracked(question, places, answers, matches, tuple(results))


def _sides(
    question: Question, repository: Repository, commits: Mapping[str, str], cache: Path, say: Callable[[str], None]
) -> list[tuple[PreparedSide, Description | str]]:
    """Return base and head with what each would measure; head is asked first, since in place it answers at once."""
    refs, sides = question.refs(), []
    for label in reversed(LABELS):
        if label in refs:
            place = prepared_place(
                label, refs[label], commits[label], repository=repository, recipe=question.recipe, cache=cache, say=say
            )
        else:
            place = in_place(repository)
        say(f"Asking {label} what it can measure.")
        sides.append((place, ask(place, question.request(place, repository.folder))))
    return sides[::-1]


def settled(
    compare: Callable[[], SpeedComparison], *, family: int
) -> tuple[SpeedComparison, ComparisonOutcome, tuple[str, ...]]:
    """Compare, and once more where the answer is an alarm and one of several; see above.

    Args:
        compare: makes one comparison.
        family: how many comparisons are made in all.

    Returns:
        The comparison to report, what it comes to, and what to say of it.
    """
    first = compare()
    if family == 1 or first.verdict != "slower":
        return first, VERDICTS[first.verdict], first.reasons
    second = compare()
    figures = f"ratio {first.ratio:.3f}, interval {first.low:.3f} to {first.high:.3f}"
    if second.verdict == "slower":
        return second, "regressed", (f"measured twice and slower both times; first {figures}", *second.reasons)
    words = f"measured twice; slower the first time only, which among {family} comparisons is not proof: {figures}"
    return second, "not resolved", (words, *second.reasons)


def _measured(
    match: Match, places: Sequence[PreparedSide], question: Question, say: Callable[[str], None], *, family: int
) -> TrackedModel:
    base, head = (
        Side(planned=cell, label=place.label, python=place.python, environment=place.environment, cwd=place.folder)
        for place, cell in zip(places, match.cells, strict=True)
    )
    cell = match.cell
    tracked = partial(TrackedModel, model=match.model, mode=cell.mode, batch_size=cell.batch_size)
    try:
        found, verdict, reasons = settled(
            lambda: compare_speeds(
                base,
                head,
                threshold=question.threshold,
                seconds=question.seconds,
                on_pair=pair_talker(say, match.model),
            ),
            family=family,
        )
    except LockstepError as error:
        return tracked(verdict="no data", reasons=(str(error),))
    return tracked(
        verdict=verdict,
        ratio=found.ratio,
        low=found.low,
        high=found.high,
        pairs=len(found.pairs),
        quads=found.quads,
        reasons=(*match.remarks, *reasons),
    )


def _in_words(match: Match) -> str:
    return f"{match.model}, {match.cell.mode} at batch {match.cell.batch_size}"


def _tracked(
    question: Question,
    places: Sequence[PreparedSide],
    answers: Sequence[Description | str],
    matches: list[Match],
    results: tuple[TrackedModel, ...],
) -> Tracked:
    base, head = (
        SideInfo(title=place.title, python=answer.python, versions=answer.versions)
        if isinstance(answer, Description)
        else SideInfo(title=place.title)
        for place, answer in zip(places, answers, strict=True)
    )
    cell = matches[0].cell if matches else None
    verdict = worst(result.verdict for result in results)
    return Tracked(
        base=base,
        head=head,
        machine=cell.machine if cell else "",
        device=cell.device if cell else "",
        threads=cell.threads if cell else 0,
        threshold=question.threshold,
        verdict=verdict,
        exit_code=EXIT_CODES[verdict],
        results=results,
    )
