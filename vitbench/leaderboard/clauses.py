"""A condition on figures, once it is read: what it asks, whether it holds, and what comes nearest to it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from vitbench.leaderboard.units import DIMENSIONS, Unit
from vitbench.printable import rounded

__all__ = ["Comparison", "Joined", "Operator", "Where"]

Operator = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One metric against one number."""

    metric: str
    operator: Operator
    number: str
    """As it was written."""
    unit: str = ""
    """In the spelling of `DIMENSIONS`; empty: a bare number."""
    value: float
    """In the base unit."""

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.metric} {self.operator} {self.number}{'%' if self.unit == '%' else f' {self.unit}'.rstrip()}"

    def holds(self, values: Mapping[str, float | None]) -> bool | None:
        """Return whether it holds for these values, in base units; None where the metric has none."""
        value = values.get(self.metric)
        if value is None or math.isnan(value):
            return None
        if self.operator in ("<", "<="):
            return value < self.value if self.operator == "<" else value <= self.value
        return value > self.value if self.operator == ">" else value >= self.value

    def in_words(self, value: float) -> str:
        """Return the metric's name and another value of it, in the unit that this comparison is written in."""
        one = next((d.units[self.unit] for d in DIMENSIONS.values() if self.unit in d.units), Unit())
        number = value / one.factor * 10.0**-one.power
        short = rounded(number)
        if float(short.replace(",", "")) == float(self.number):  # it would look as if it met the limit
            short = repr(number)
        return f"{self.metric} {short}{'%' if self.unit == '%' else f' {self.unit}'.rstrip()}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """Several parts, all of which must be true, or one of which is enough."""

    word: Literal["and", "or"]
    parts: tuple[Comparison | Joined, ...]

    def __str__(self) -> str:
        """Return it as it is written, with parentheses around an `or` within an `and`."""
        inner = (f"({each})" if isinstance(each, Joined) and self.word == "and" else str(each) for each in self.parts)
        return f" {self.word} ".join(inner)

    def holds(self, values: Mapping[str, float | None]) -> bool | None:
        """Return whether it holds, whatever the missing values are; None where they decide."""
        said = [each.holds(values) for each in self.parts]
        decides = self.word == "or"
        if decides in said:
            return decides
        return None if None in said else not decides


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on the figures of a row or a candidate. ``str`` writes it so that `parse_where` reads the same."""

    clause: Comparison | Joined
    """Without ``not``: that turns the operators within it."""

    def __str__(self) -> str:
        """Return it as it is written."""
        return str(self.clause)

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """All of them, in their order."""
        return tuple(_comparisons(self.clause))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics, each once."""
        return tuple(dict.fromkeys(each.metric for each in self.comparisons))

    def holds(self, values: Mapping[str, float | None]) -> bool | None:
        """Return whether it holds.

        Args:
            values: by metric, in base units; None, NaN or no key: not known.

        Returns:
            None where a metric without a value decides.
        """
        return self.clause.holds(values)

    def lacking(self, values: Mapping[str, float | None]) -> tuple[str, ...]:
        """Return the metrics of it that have no value."""
        return tuple(dict.fromkeys(each.metric for each in self.comparisons if each.holds(values) is None))

    def nearest(self, candidates: Mapping[str, Mapping[str, float | None]], most: int = 3) -> str:
        """Return in words which candidates come nearest to what none of them meets: ``a (throughput 480), ...``.

        How far a figure is from its limit is a share of the larger of the two; shares of ``and`` are added, of ``or``
        the least counts.

        Args:
            candidates: values as `holds` takes them, by name. Those that lack a metric that decides are left out.
            most: so many.
        """
        missed = {name: _missed(self.clause, values) for name, values in candidates.items()}
        near = sorted((name for name in missed if math.isfinite(missed[name][0])), key=lambda name: missed[name][0])
        return ", ".join(f"{name} ({', '.join(dict.fromkeys(missed[name][1]))})" for name in near[:most])


def _comparisons(clause: Comparison | Joined) -> Iterator[Comparison]:
    if isinstance(clause, Comparison):
        yield clause
    else:
        for each in clause.parts:
            yield from _comparisons(each)


def _missed(clause: Comparison | Joined, values: Mapping[str, float | None]) -> tuple[float, list[str]]:
    """Return how far values are from what is asked, as `Where.nearest` says, and those that miss it in words."""
    if isinstance(clause, Joined):
        parts = [_missed(each, values) for each in clause.parts]
        if clause.word == "or":
            return min(parts, key=lambda part: part[0])
        return sum(far for far, _ in parts), [words for _, told in parts for words in told]
    holds, value = clause.holds(values), values.get(clause.metric)
    if holds is None or value is None:
        return math.inf, []
    if holds:
        return 0.0, []
    return abs(value - clause.value) / max(abs(value), abs(clause.value), 1e-300), [clause.in_words(value)]
