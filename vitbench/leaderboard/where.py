"""Conditions on figures, as ``--where`` and ``--want`` take them: ``throughput > 500 and not peak_memory > 1 GiB``.

::

    any        = all, { "or", all }
    all        = part, { "and", part }
    part       = "not", part | "(", any, ")" | comparison
    comparison = METRIC, ( "<" | "<=" | ">" | ">=" ), NUMBER, [ UNIT ]

So ``not`` binds tighter than ``and``, and ``and`` tighter than ``or``. Words, units and metrics are read in any case;
``≤`` and ``≥`` are operators, too. There is no ``=``: measured figures are seldom equal to a number. The page reads the
same grammar (`templates/where.js`), held to this module by shared examples.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Literal

from vitbench.errors import UsageError, did_you_mean
from vitbench.leaderboard.clauses import Comparison, Joined, Operator, Where
from vitbench.leaderboard.units import DIMENSIONS, Dimension, Unit
from vitbench.printable import plain
from vitbench.settings import SPEED, SPEEDS

__all__ = ["MOST_CHARACTERS", "MOST_DEPTH", "Where", "parse_where", "unmeasured"]

MOST_CHARACTERS = 2000
MOST_DEPTH = 50
"""Of parentheses and of ``not``."""
_MOST_NAMES = 8
"""Metrics that an error lists."""


def parse_where(text: str, units: Mapping[str, str] | None = None) -> Where:
    """Return the condition that a text means.

    Args:
        text: as the module says.
        units: base unit of each metric that there is; None: any name is a metric, and any unit fits it.

    Raises:
        UsageError: it means none; one sentence says where, and what to write.
    """
    return Where(_Reader(text, units).read())


def unmeasured(speed: str, metrics: Collection[str]) -> str:
    """Return that no row has one of vitbench's speeds, and why where no row has any; `metrics` are those there are."""
    return f"no row has {speed}{'' if {*SPEEDS} & {*metrics} else ': speeds were not measured'}."


# Written out in ASCII, so that the page's regular expressions mean the same.
_SPACE = re.compile("[ \t\r\n\f\v\u00a0]*")
_METRIC = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*(?::[^ \t\r\n\f\v\u00a0()<>\u2264\u2265]+)?")
_OPERATOR = re.compile("[<>=!~\u2264\u2265\u2260]+")
_NUMBER = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:[eE]([+-]?[0-9]+))?")
_SEPARATED = re.compile("[.,_'][0-9]")
_WORD = re.compile("[^ \t\r\n\f\v\u00a0()<>=!,;&|\u2264\u2265\u2260]+")
_OPERATORS: Mapping[str, Operator] = {
    "<": "<",
    "<=": "<=",
    "=<": "<=",
    "\u2264": "<=",
    ">": ">",
    ">=": ">=",
    "=>": ">=",
    "\u2265": ">=",
}
_TURNED: Mapping[Operator, Operator] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_KEYWORDS = ("and", "or", "not")
_SIGNS = {"&": "and", "&&": "and", ",": "and", ";": "and", "|": "or", "||": "or", "!": "not"}
_SIGN = re.compile("&&?|\\|\\|?|[,;!]")
_EXAMPLE = f"{SPEED} > 500"


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str, units: Mapping[str, str] | None) -> None:
        self.text, self.units, self.at, self.depth = text, units, 0, 0

    def read(self) -> Comparison | Joined:
        if len(self.text) > MOST_CHARACTERS:
            raise UsageError(f"a condition has at most {MOST_CHARACTERS:,} characters, not {len(self.text):,}.")
        if not self.rest():
            raise UsageError(f"a condition is empty; write one such as {_EXAMPLE}.")
        found = self.any(turned=False)
        if self.rest():
            if self.text[self.at] == ")":
                raise self.error('no "(" comes before this ")".')
            if self.match(_OPERATOR, move=False):
                raise self.error('a comparison has one operator; join two by "and".')
            raise self.error('expected "and" or "or".')
        return found

    def any(self, turned: bool) -> Comparison | Joined:
        parts = [self.all(turned)]
        while self.keyword("or"):
            parts.append(self.all(turned))
        return _joined("and" if turned else "or", parts)

    def all(self, turned: bool) -> Comparison | Joined:
        parts = [self.part(turned)]
        while self.keyword("and"):
            parts.append(self.part(turned))
        return _joined("or" if turned else "and", parts)

    def part(self, turned: bool) -> Comparison | Joined:
        start = self.skip()
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise self.error(f'"(" and "not" can be nested at most {MOST_DEPTH} deep.')
        if self.keyword("not"):
            found = self.part(not turned)
        elif self.text.startswith("(", start):
            self.at += 1
            found = self.any(turned)
            if not self.text.startswith(")", self.skip()):
                if self.rest():
                    raise self.error('expected "and", "or" or ")".')
                raise self.error('no ")" closes this "(".', start)
            self.at += 1
        else:
            found = self.comparison(turned)
        self.depth -= 1
        return found

    def comparison(self, turned: bool) -> Comparison:
        metric = self.metric()
        start = self.skip()
        sign = self.match(_OPERATOR)
        if not sign:
            raise self.error(f"expected <, <=, > or >= after {metric}.")
        if sign not in _OPERATORS:
            raise self.error(f'"{sign}" is not an operator; write <, <=, > or >=.', start)
        operator = _OPERATORS[sign]
        number, value, unit = self.number(metric)
        return Comparison(
            metric=metric,
            operator=_TURNED[operator] if turned else operator,
            number=number,
            unit=unit,
            value=value,
        )

    def metric(self) -> str:
        start = self.skip()
        asked = self.match(_METRIC)
        if not asked or asked.lower() in _KEYWORDS:
            raise self.error(f"expected a condition, such as {_EXAMPLE}.", start)
        if self.units is None or asked in self.units:
            return asked
        alike = [name for name in self.units if name.lower() == asked.lower()]
        if len(alike) == 1:
            return alike[0]
        if _NUMBER.fullmatch(asked):
            raise self.error(f"the metric comes first, then the number: {_EXAMPLE}.", start)
        if asked.lower() in SPEEDS:
            raise self.error(unmeasured(asked.lower(), self.units), start)
        names = list(self.units)
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        listed = ", ".join(names[:_MOST_NAMES]) + more
        hint = did_you_mean(asked.lower(), names) or f" There are: {listed}."
        raise self.error(f'there is no metric "{asked}".{hint}', start)

    def number(self, metric: str) -> tuple[str, float, str]:
        """Return a number as it is written, in the base unit, and its unit."""
        start = self.skip()
        found = _NUMBER.match(self.text, start)
        if not found:
            raise self.error(f"expected a number after {metric} and its operator.")
        self.at = found.end()
        if self.match(_SEPARATED, move=False):
            raise self.error("a number has digits, at most one point and no separators: 1000, 0.95, 2.5e6.", start)
        unit_at = self.skip()
        word = self.match(_WORD)
        if word.lower() in _KEYWORDS:
            self.at, word = unit_at, ""
        name, unit = self.unit(metric, found[0], word, unit_at, start)
        value = float(f"{found[1]}e{int(found[2] or 0) + unit.power}") * unit.factor
        if not math.isfinite(value):
            raise self.error(f"{found[0]} is too large.", start)
        base = self.base(metric)
        if base == "fraction" and not name and abs(value) > 1:
            raise self.error(f"{metric} is a share, at most 1; write {found[0]}% for percent.", start)
        return found[0], value, name

    def unit(self, metric: str, number: str, word: str, at: int, start: int) -> tuple[str, Unit]:
        """Return the unit that a word means for a metric, as it is spelt."""
        base = self.base(metric)
        own = DIMENSIONS.get(base) if base is not None else None
        if own is None:
            units = {name: unit for each in DIMENSIONS.values() for name, unit in each.units.items()}
            own = Dimension("", units if base is None else {base: Unit()} if base else {})
        if not word:
            if not own.bare and float(number):
                several = list(own.units)[:3]
                raise self.error(
                    f"{metric} needs a unit: write {number} {', '.join(several[:-1])} or {several[-1]}.", start
                )
            return "", Unit()
        found = _spelt(word, own.units)
        if found:
            return found, own.units[found]
        if self.units and _spelt(word, self.units):
            raise self.error(f'expected "and" or "or" before {word}.', at)
        known = ", ".join(own.units) if own.units else "no unit"
        other = next((each.name for each in DIMENSIONS.values() if _spelt(word, each.units)), "")
        if other:
            raise self.error(f"{word} is a unit of {other}; {metric} takes {known}.", at)
        hint = did_you_mean(word, own.units) or f" It takes {known}."
        raise self.error(f'"{word}" is not a unit of {metric}.{hint}', at)

    def base(self, metric: str) -> str | None:
        """Return the base unit of a metric; None where any unit fits."""
        return None if self.units is None else self.units[metric]

    def keyword(self, word: str) -> bool:
        """Read a word if it stands here."""
        start = self.skip()
        found = self.match(_WORD)
        if found.lower() == word:
            return True
        self.at = start
        return False

    def match(self, pattern: re.Pattern[str], *, move: bool = True) -> str:
        """Return what a pattern finds here, or nothing, and go on behind it."""
        found = pattern.match(self.text, self.at)
        if found and move:
            self.at = found.end()
        return found[0] if found else ""

    def skip(self) -> int:
        """Go on behind spaces, and return where that is."""
        self.match(_SPACE)
        return self.at

    def rest(self) -> bool:
        """Return whether more than spaces is left."""
        return self.skip() < len(self.text)

    def error(self, words: str, at: int | None = None) -> UsageError:
        """Return an error that says what is wrong at a place, here where none is given."""
        at = self.at if at is None else at
        sign = _SIGN.match(self.text, at)
        if sign:
            words = f'write "{_SIGNS[sign[0]]}" instead of "{sign[0]}".'
        shown = self.text if len(self.text) <= 60 else f"{'...' * (at > 30)}{self.text[max(0, at - 30) : at + 30]}..."
        where = f'at character {at + 1} of "{shown}"' if at < len(self.text) else f'at the end of "{shown}"'
        return UsageError(plain(f"{where}: {words}"))


def _joined(word: Literal["and", "or"], parts: list[Comparison | Joined]) -> Comparison | Joined:
    """Return parts as one, without a level that says nothing."""
    flat: list[Comparison | Joined] = []
    for each in parts:
        flat += each.parts if isinstance(each, Joined) and each.word == word else [each]
    return flat[0] if len(flat) == 1 else Joined(word=word, parts=tuple(flat))


def _spelt(word: str, names: Mapping[str, object]) -> str:
    """Return the name that a word is, in any case; empty where it is none."""
    alike = [name for name in names if name.lower() == word.lower()]
    return word if word in names else alike[0] if alike else ""
