"""Quality and speed of two states of the code: only the newer one is of the model as it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Literal

from vitbench.leaderboard.grouping import manner_of, recipe_code, recipe_of, timed_model
from vitbench.records import QualityCell, Record

__all__ = ["of_one_code"]

Kind = Literal["quality", "speed"]
Halves = dict[Hashable, dict[Kind, list[Record]]]
"""By the state of the code, the records of each kind."""


def of_one_code(records: Iterable[Record]) -> tuple[list[Record], tuple[tuple[str, str], ...]]:
    """Leave out the quality of a model whose speed is of newer code, or the other way round, and say so.

    Otherwise the accuracy of one code would stand beside the speed of another, or a model in two rows of which each is
    half. The same goes for a recipe and the speed of its training steps. States of the code that have both, and several
    that have the same half, are rows of their own and stay.

    Args:
        records: of each cell the newest attempt only.

    Returns:
        Those that are kept, in their order, and each model that lost some, by its label, with a sentence.
    """
    kept, of_models = _without_older_halves(list(records), _model_and_state, "the model")
    kept, of_recipes = _without_older_halves(kept, _recipe_and_state, "the recipe")
    return kept, (*of_models, *of_recipes)


def _model_and_state(record: Record) -> tuple[Hashable, Hashable]:
    subject = timed_model(record.planned)
    return (subject._replace(code=""), manner_of(record.planned)), subject.code


def _recipe_and_state(record: Record) -> tuple[Hashable, Hashable] | None:
    if not record.planned.cell.recipe:
        return None
    return (timed_model(record.planned), manner_of(record.planned), recipe_of(record.planned)), recipe_code(
        record.planned
    )


def _without_older_halves(
    records: Sequence[Record], split: Callable[[Record], tuple[Hashable, Hashable] | None], owner: str
) -> tuple[list[Record], list[tuple[str, str]]]:
    """Leave out what lacks its other half where that is there in a newer state.

    Args:
        records: of any status.
        split: gives what a record is of, and in which state of the code; None: neither.
        owner: of the code, in words.
    """
    found: dict[Hashable, Halves] = defaultdict(dict)
    for record in records:
        if record.status == "ok" and (of := split(record)):
            what, state = of
            found[what].setdefault(state, {"quality": [], "speed": []})[_kind(record)].append(record)
    left_out: set[int] = set()
    sentences = []
    for states in found.values():
        alone = [halves for halves in states.values() if not all(halves.values())]
        by_kind: dict[Kind, list[Record]] = {
            kind: [record for halves in alone for record in halves[kind]] for kind in ("quality", "speed")
        }
        if not all(by_kind.values()):
            continue
        newest = max(by_kind, key=lambda kind: max(record.started for record in by_kind[kind]))
        older = next(kind for kind in by_kind if kind != newest)
        left_out |= {id(record) for record in by_kind[older]}
        label = by_kind[newest][-1].planned.label
        words = (
            f"{label}: its {older} is left out: it was measured with different code of {owner}, or different "
            f"libraries, from its {newest}, the newer of the two; run it again."
        )
        sentences.append((label, words))
    return [record for record in records if id(record) not in left_out], sentences


def _kind(record: Record) -> Kind:
    return "quality" if isinstance(record.planned.cell, QualityCell) else "speed"
