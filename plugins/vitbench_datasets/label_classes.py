"""Which classes the labels in lists stand for: numbers count them, or they are names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from .list_texts import lines_of, read_text
from .listed_files import Entry, Listing, shown_path
from .naming import are_whole_numbers, class_name, in_class_order

__all__ = ["Classes", "classes_of", "named_classes", "refuse_two_labels"]

_NAMES = ("classnames.txt", "class_names.txt", "classes.txt")
"""Files with the name of each class, one per line, in the order of the labels."""


class Classes(NamedTuple):
    """The classes of a dataset."""

    names: tuple[str, ...]
    numbers: Mapping[str, int]
    """The position of the class that each label means, by the label as it is written."""


def classes_of(lists: Iterable[Listing], count: int | None, names: tuple[str, ...], *, counted: bool) -> Classes:
    """Return the classes that labels in lists stand for: numbers count them, or names are sorted.

    Args:
        lists: all lists of the dataset.
        count: how many classes there are; None: those that are there.
        names: of the classes that numbers count.
        counted: whether numbers count the classes without a gap in any case; else they are names like others.

    Raises:
        ValueError: labels are numbers, and one is out of range, or numbers are left out.
    """
    first: dict[str, str] = {}
    for listing in lists:
        for entry in listing.entries:
            if entry.label not in first:
                first[entry.label] = listing.at(entry)
    if not are_whole_numbers([*first]):
        found = tuple(in_class_order({class_name(label) for label in first}))
        places = {name: number for number, name in enumerate(found)}
        return Classes(found, {label: places[class_name(label)] for label in first})
    values = sorted({int(label) for label in first})
    at = {int(label): where for label, where in reversed(first.items())}
    if count is None and names:
        count = len(names)
    if count is not None:
        for value in values:
            if not 0 <= value < count:
                raise ValueError(f"{at[value]}: label {value} is not in 0..{count - 1}")
        found = names if len(names) == count else tuple(map(str, range(count)))
        return Classes(found, {label: int(label) for label in first})
    if not counted:
        found = tuple(map(str, values))
        return Classes(found, {label: values.index(int(label)) for label in first})
    if values[0] not in (0, 1):
        raise ValueError(f"{at[values[0]]}: label {values[0]} is the lowest; numeric labels must start at 0")
    for wanted, value in enumerate(values, values[0]):
        if value != wanted:
            raise ValueError(
                f"{at[value]}: no line has label {wanted}, but this one has {value}; number the classes without gaps"
            )
    return Classes(tuple(map(str, values)), {label: int(label) - values[0] for label in first})


def named_classes(root: Path) -> tuple[str, ...]:
    """Return the names that a file beside the lists gives the classes; none where they do not tell them apart."""
    for path in (root / name for name in _NAMES):
        if path.is_file():
            names = [class_name(line.strip()) for line in lines_of(read_text(path, path.name).rstrip("\r\n"))]
            return tuple(names) if all(names) and len({*names}) == len(names) else ()
    return ()


def refuse_two_labels(lists: Iterable[tuple[str, Listing]]) -> None:
    """Raise ValueError where lists have one path under two labels.

    Args:
        lists: each with the folder that its paths start in.
    """
    known: dict[tuple[str, str], tuple[Listing, Entry]] = {}
    for start, listing in lists:
        for entry in listing.entries:
            other, first = known.setdefault((start, entry.path), (listing, entry))
            if first.label != entry.label:
                raise ValueError(
                    f"{listing.at(entry)}: {shown_path(entry.path)} has label {entry.label}, "
                    f"and label {first.label} in {other.at(first)}"
                )
