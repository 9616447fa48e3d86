"""What a suite states about boards over its datasets, as data: groups of datasets, and what a score is.

datasets = ["datasets/cifar100", "datasets/digits", "datasets/fashion-mnist"]
score = "mean of groups"

[groups]
natural = ["cifar100"]
drawn = ["digits", "fashion-mnist"]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from vitbench.boards.board import Score
from vitbench.errors import did_you_mean
from vitbench.findings.statements import short

__all__ = ["BoardStatement", "group_faults", "read_board_statement"]


class BoardStatement(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a stored suite."""

    name: str
    datasets: tuple[str, ...] = ()
    groups: dict[str, tuple[str, ...]] = {}
    score: Score | None = None

    @property
    def any(self) -> bool:
        """Whether it states anything, and not only lists datasets."""
        return bool(self.groups) or self.score is not None

    def group_of(self, dataset: str) -> str:
        """Return the group of one of `datasets`; empty where it is in none."""
        return next((group for group, names in self.groups.items() if _called(dataset, names)), "")


def read_board_statement(text: str) -> BoardStatement | None:
    """Return what the text of a stored suite states; None where it cannot be read, as that of another version."""
    import tomllib

    try:
        return msgspec.convert(tomllib.loads(text), BoardStatement)
    except (ValueError, RecursionError):  # of TOML and of msgspec
        return None


def group_faults(
    groups: Mapping[str, Sequence[str]], score: Score, datasets: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield where in a suite its groups or its score are wrong, and why, in words that follow the place."""
    grouped: dict[str, str] = {}
    for group, names in groups.items():
        place = f"groups.{group}"
        if not group.strip():
            yield "groups", "has a group without a name"
        if not names:
            yield place, "is empty; name at least one dataset"
        for name in names:
            dataset = next((each for each in datasets if _called(each, [name])), None)
            if dataset is None:
                hint = (
                    did_you_mean(name, [*datasets, *map(short, datasets)])
                    or f" It has: {', '.join(datasets) or 'none'}."
                )
                yield place, f"names the dataset {name!r}, which this suite does not have.{hint}".removesuffix(".")
            elif dataset in grouped:
                other = grouped[dataset]
                yield place, f"names {name!r} twice" if other == group else f"names {name!r}, which is in {other!r} too"
            else:
                grouped[dataset] = group
    if score == "mean of groups":
        alone = [short(each) for each in datasets if each not in grouped]
        if not groups:
            yield "score", '= "mean of groups" needs groups; add [groups], or use "mean"'
        elif alone:
            yield "score", f'= "mean of groups" needs every dataset in a group; in none: {", ".join(alone)}'


def _called(dataset: str, names: Sequence[str]) -> bool:
    return dataset in names or short(dataset) in names
