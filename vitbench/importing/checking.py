"""What someone else's records may contain: names, numbers and texts as vitbench writes them, and nothing else.

Formats and the page escape whatever they show. This is the door before them: what no run of vitbench would write is
refused, so that a name that is odd on purpose is never even stored.
"""

from __future__ import annotations

import math
import re
import time
import unicodedata
from typing import Any

import msgspec

from vitbench.errors import StoreError
from vitbench.records import FigureCell, Measurement, QualityCell, Record

__all__ = ["UnfitError", "check_record", "check_text", "check_values"]

LONGEST_TEXT = 4000
LARGEST_NUMBER = 1e24
MOST_NUMBERS = 2_000_000
MOST_CLASSES = 100_000
_CONTROL = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_KEY = re.compile(r"[0-9a-f]{16}")
_DIGEST = re.compile(r"[0-9a-f]{8,64}")
_FULL_NAME = re.compile(r"[\w.+*-]+(/[\w.+*-]+)?", re.ASCII)
_MEASURED = re.compile(r"[\w .,:=+*\[\]()-]+(/[\w .,:=+*\[\]()-]+)?")


class UnfitError(StoreError):
    """A record, or a file beside it, that no run of vitbench would have written."""


def check_record(record: Record) -> None:
    """Refuse a record whose names, numbers or texts are not what a run writes.

    Raises:
        UnfitError: with what is wrong.
    """
    planned, cell = record.planned, record.planned.cell
    for name, key in (("id", planned.id), ("key", planned.key)):
        _need(_KEY.fullmatch(key), f"the {name} {key!r} is not a hash")
    _need(not isinstance(cell, FigureCell), "a figure is not imported")
    _need(planned.data is not None or not isinstance(cell, QualityCell), "the cell does not describe its data")
    _full_name("model", cell.model)
    for what, name in (("recipe", cell.recipe), ("dataset", getattr(cell, "dataset", ""))):
        if name:
            _full_name(what, name)
    for option in (*cell.options, *cell.recipe_options, *getattr(cell, "dataset_options", ())):
        _need(re.fullmatch(r"[A-Za-z_][\w.-]*", option), f"the name of an option is {option!r}")
    titles = {"label": planned.label, "machine": planned.machine, "device": planned.device}
    if planned.data is not None:
        titles |= {"dataset": planned.data.title, "data plugin": planned.data.plugin}
        _need(_DIGEST.fullmatch(planned.data.fingerprint), "the fingerprint of its data is not a hash")
        _need(len(planned.class_names) <= MOST_CLASSES, "it has too many classes")
    for what, title in titles.items():
        _title(what, title)
    for measured in record.measurements:
        _measurement(measured)
    _need(len({each.name for each in record.measurements}) == len(record.measurements), "a metric is given twice")
    _need(0 < record.started < time.time() + 86400, "its start time is out of range")
    _need(0 <= record.seconds < 1e10, "its wall time is out of range")
    sides = (*planned.image_size, planned.in_channels)
    _need(all(0 < side <= 100_000 for side in sides), "its input size is out of range")
    check_values(msgspec.to_builtins(record))


def check_values(content: Any) -> None:
    """Refuse what holds a text or a number, at any depth, that no run writes.

    Args:
        content: mappings, lists, texts and numbers.

    Raises:
        UnfitError: with what is wrong.
    """
    _Walk().visit(content, "")


def check_text(what: str, text: str) -> None:
    """Refuse a text with characters that steer a terminal or the direction of reading, or that is very long.

    Raises:
        UnfitError: it is one.
    """
    _need(len(text) <= LONGEST_TEXT, f"{what} is longer than {LONGEST_TEXT:,} characters")
    odd = next((c for c in text if unicodedata.category(c) in _CONTROL), "")
    _need(not odd, f"{what} holds the control character U+{ord(odd):04X}" if odd else "")


def _full_name(what: str, name: str) -> None:
    _need(_FULL_NAME.fullmatch(name) and ".." not in name, f"the name of its {what} is {name[:80]!r}")


def _title(what: str, text: str) -> None:
    check_text(f"its {what}", text)
    odd = re.search(r"[<>\\]|\.\./", text)
    _need(not odd, f"its {what} is {text[:80]!r}, with mark-up or a path" if odd else "")


def _measurement(measured: Measurement) -> None:
    _need(
        len(measured.name) <= 200 and _MEASURED.fullmatch(measured.name) and ".." not in measured.name,
        f"the name of a metric is {measured.name[:80]!r}",
    )
    for what, text in (("unit", measured.unit), ("title", measured.style.title), ("unit", measured.style.unit)):
        _title(f"{measured.name}'s {what}", text)
    _need(measured.style.scale > 0, f"the scale of {measured.name} is {measured.style.scale}")
    ratio = measured.ratio
    if ratio is not None:
        numbers = (ratio.value, ratio.value_of_all, ratio.reference, *ratio.processes, *ratio.references)
        ends = [end for end in (ratio.low, ratio.high) if end is not None]
        _need(all(number > 0 for number in (*numbers, *ends)), f"the ratio of {measured.name} is not above 0")
        _title("reference network", ratio.network)


class _Walk:
    """Visits all that a record holds: every text and every number."""

    def __init__(self) -> None:
        self._left = MOST_NUMBERS

    def visit(self, value: Any, where: str) -> None:
        self._left -= 1
        _need(self._left >= 0, "it holds too many values")
        if isinstance(value, dict):
            for name, each in value.items():
                check_text("a name in it", str(name))
                self.visit(each, where or str(name))
        elif isinstance(value, list | tuple):
            for each in value:
                self.visit(each, where)
        elif isinstance(value, str):
            check_text(where, value)
        elif isinstance(value, float):
            # A loss may have become nan; all else is finite.
            fits = where in ("curve", "evidence", "course") or math.isfinite(value)
            _need(
                fits and not (math.isfinite(value) and abs(value) > LARGEST_NUMBER), f"{where} holds the number {value}"
            )
        elif isinstance(value, int):
            _need(abs(value) < 2**63, f"{where} holds a number of {value.bit_length()} bits")


def _need(fits: object, words: str) -> None:
    if not fits:
        raise UnfitError(words)
