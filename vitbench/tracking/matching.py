"""What both sides have is compared; what one lacks is "no data", what differs but in speed is "not comparable"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from vitbench.errors import NothingSelectedError, UnusableError, UsageError
from vitbench.records import KeyedCell, Mode, SpeedCell
from vitbench.tracking.messages import Described, Description, Refusal
from vitbench.tracking.outcome import TrackedModel

__all__ = ["LABELS", "Match", "matched"]

LABELS = ("base", "head")

Answers = tuple[Description | str, Description | str]
"""Of base and head: what it describes, or why it cannot be asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """A model in one mode that both sides have."""

    model: str
    cells: tuple[KeyedCell, KeyedCell]
    """Base's and head's speed cell."""
    remarks: tuple[str, ...]
    """What differs between them and may, in words."""

    @property
    def cell(self) -> SpeedCell:
        """Head's speed cell; base's has other options at most."""
        assert isinstance(self.cells[1].cell, SpeedCell)
        return self.cells[1].cell


def matched(
    answers: Answers, asked: Sequence[str], modes: Sequence[Mode], batch_size: int, *, allow_differences: bool
) -> list[Match | TrackedModel]:
    """Return what can be compared, and of the rest why it cannot.

    Args:
        answers: of base and head.
        asked: the user's models; empty: those of either side's checkout.
        modes: of each model.
        batch_size: of each model.
        allow_differences: compare under unlike versions of Python, torch and a model's libraries.

    Raises:
        UsageError, UnusableError: an asked model that neither side has.
        NothingSelectedError: nothing is asked, and neither side's checkout has a model.
    """
    _refuse_broken(*answers)
    both = [answer for answer in answers if isinstance(answer, Description)]
    offered = [name for answer in both for name in answer.models]
    found: list[Match | TrackedModel] = []
    for name in dict.fromkeys(asked or offered):
        sides = [_model(label, answer, name) for label, answer in zip(LABELS, answers, strict=True)]
        if asked:
            _check_known(sides)
        found += _match(name, sides, both, modes, batch_size, allow_differences=allow_differences)
    if not found:
        if unasked := [answer for answer in answers if isinstance(answer, str)]:
            raise UnusableError(f"{unasked[0]}; nothing can be compared.")
        raise NothingSelectedError(
            "neither checkout has a model of its own (they are those of plugins that --install installs with -e); "
            "give --model."
        )
    return found


def _model(label: str, answer: Description | str, name: str) -> Described | Refusal:
    if isinstance(answer, str):
        return Refusal(message=answer, exit_code=UnusableError.exit_code)
    found = answer.models.get(name)
    if isinstance(found, Described):
        return found
    if found is None:
        problem = answer.problems.get(name.partition("/")[0])
        why = f": {problem}" if problem else ""
        return Refusal(message=f"{label} has no such model in its checkout{why}", exit_code=UsageError.exit_code)
    return Refusal(message=f"{label}: {found.message}", exit_code=found.exit_code)


def _refuse_broken(base: Description | str, head: Description | str) -> None:
    """Refuse a head that broke a plugin which base has whole: its models are not missing, they are lost."""
    if isinstance(base, str) or isinstance(head, str):
        return
    whole = {one.cells[0].cell.model.partition("/")[0] for one in base.models.values() if isinstance(one, Described)}
    for plugin, words in head.problems.items():
        if plugin in whole and plugin not in base.problems:
            raise UnusableError(f"head: {words}.")


def _check_known(sides: Iterable[Described | Refusal]) -> None:
    """Refuse a name that both sides refuse: it is a mistake, not a change."""
    refusals = [side for side in sides if isinstance(side, Refusal)]
    if len(refusals) == len(LABELS):
        head = refusals[-1]
        raise (UsageError if head.exit_code == UsageError.exit_code else UnusableError)(head.message)


def _match(
    name: str,
    sides: Sequence[Described | Refusal],
    answers: Sequence[Description],
    modes: Sequence[Mode],
    batch_size: int,
    *,
    allow_differences: bool,
) -> Iterator[Match | TrackedModel]:
    """Yield one answer for each mode of a model."""
    present = [side for side in sides if isinstance(side, Described)]
    label = present[-1].cells[0].label if present else name
    lacking = tuple(side.message for side in sides if isinstance(side, Refusal))
    for i, mode in enumerate(modes):
        tracked = partial(TrackedModel, model=label, mode=mode, batch_size=batch_size)
        if lacking:
            yield tracked(verdict="no data", reasons=lacking)
            continue
        base, head = present[0].cells[i], present[1].cells[i]
        grave = [*_foreign_code(present), *_unlike_work(base, head)]
        slight = [*_shared_code(answers), *_unlike_software(base, head, answers)]
        if grave or (slight and not allow_differences):
            yield tracked(verdict="not comparable", reasons=(*grave, *slight))
        else:
            yield Match(model=label, cells=(base, head), remarks=(*slight, *_unlike_options(base, head)))


def _foreign_code(sides: Sequence[Described]) -> Iterator[str]:
    """Tell where one side would measure its checkout and the other some other code, perhaps an old copy."""
    if sides[0].of_checkout != sides[1].of_checkout:
        label = LABELS[sides[0].of_checkout]
        yield f"{label} would measure installed code that is not its checkout's; install that with pip install -e"


def _shared_code(answers: Sequence[Description]) -> Iterator[str]:
    """Tell where a side would use other packages of the repository as the user's working tree has them."""
    for label, answer in zip(LABELS, answers, strict=True):
        if answer.elsewhere:
            names = ", ".join(answer.elsewhere)
            yield f"{label} would use {names} of the working tree, not of its checkout; have --install install that too"


def _unlike_work(base: KeyedCell, head: KeyedCell) -> Iterator[str]:
    """Tell what makes the two measurements different work."""
    if base.provenance.method != head.provenance.method:
        yield _unlike("methods of vitbench", base.provenance.method, head.provenance.method)
    for field in SpeedCell.__struct_fields__:
        ours, theirs = getattr(base.cell, field), getattr(head.cell, field)
        if field != "options" and ours != theirs:
            yield _unlike(field.replace("_", " "), ours, theirs)


def _unlike_software(base: KeyedCell, head: KeyedCell, answers: Sequence[Description]) -> Iterator[str]:
    versions = [
        {"Python": answer.python, "torch": cell.provenance.torch, **cell.provenance.all_libraries}
        for answer, cell in zip(answers, (base, head), strict=True)
    ]
    for name in dict.fromkeys([*versions[0], *versions[1]]):
        ours, theirs = (version.get(name, "none") for version in versions)
        if ours != theirs:
            yield _unlike(name, ours, theirs)


def _unlike_options(base: KeyedCell, head: KeyedCell) -> Iterator[str]:
    """Tell of defaults that have changed: the model of this name is what it is, and is compared."""
    ours, theirs = base.cell.options, head.cell.options
    for name in dict.fromkeys([*ours, *theirs]):
        if ours.get(name) != theirs.get(name):
            yield _unlike(f"option {name}", ours.get(name, "none"), theirs.get(name, "none"))


def _unlike(what: str, base: object, head: object) -> str:
    return f"different {what}: {_text(base)} in base, {_text(head)} in head"


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
