"""What a suite states beside its cells, as data: claims about its rows, and the figures that were published for them.

    [[models]]
    name = "scratch/vit-p4-d8"
    published = { cifar10 = 71.9 }

    [[claims]]
    name = "depth"
    text = "8 layers are about as accurate as 12"
    rows = ["scratch/vit-p4-d8"]
    relation = "equal"
    against = ["scratch/vit-p4-d12"]
    margin = 2.0

Figures and margins are of the metric that the suite ranks by, in the unit of the tables: percent and points for shares.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from vitbench.catalog.options import parse_model
from vitbench.errors import did_you_mean
from vitbench.records import canonical_name
from vitbench.specs import OptionValue

__all__ = [
    "Claim",
    "Listed",
    "Relation",
    "Statements",
    "dataset_called",
    "faults",
    "model_called",
    "read_statements",
    "rows_meant",
    "short",
]

Relation = Literal["better", "equal"]


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That each of some rows is better than, or about equal to, each of some others."""

    name: str
    """In one word, for tables and programs."""
    text: str
    """The claim as a sentence without its full stop."""
    rows: tuple[str, ...]
    """Labels, or names of models."""
    against: tuple[str, ...]
    """As `rows`."""
    relation: Relation = "better"
    margin: float = 0.0
    """The difference that does not matter to rows that are about equal."""
    datasets: tuple[str, ...] = ()
    """The datasets that it is made about; none: all."""


class Listed(Protocol):
    """A model in a suite."""

    @property
    def name(self) -> str:
        """Full or short."""

    @property
    def options(self) -> Mapping[str, OptionValue]:
        """Those that the suite gives it."""

    @property
    def label(self) -> str:
        """What tables call it; empty: its name with its options."""

    @property
    def published(self) -> Mapping[str, float]:
        """The figure that was published for it, by dataset."""


class _Model(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a model in a stored suite."""

    name: str
    options: dict[str, OptionValue] = {}
    label: str = ""
    published: dict[str, float] = {}


class Statements(msgspec.Struct, frozen=True, kw_only=True):
    """What a stored suite states."""

    name: str
    models: tuple[_Model, ...] = ()
    claims: tuple[Claim, ...] = ()

    @property
    def any(self) -> bool:
        """Whether it states anything."""
        return bool(self.claims) or any(model.published for model in self.models)


def read_statements(text: str) -> Statements | None:
    """Return what the text of a stored suite states; None where it cannot be read, as that of another version."""
    import tomllib

    try:
        return msgspec.convert(tomllib.loads(text), Statements)
    except (ValueError, RecursionError):  # of TOML and of msgspec
        return None


def model_called(name: str, models: Sequence[Listed]) -> list[int]:
    """Return the positions of the models that a claim's row means: those of that label, else of that name."""
    labelled = [i for i, model in enumerate(models) if model.label == name]
    return labelled or [i for i, model in enumerate(models) if name in _model_names(model)]


def rows_meant(place: int, models: Sequence[Listed], rows: Sequence[tuple[str, str]]) -> list[int]:
    """Return the positions of the rows that a model of a suite has.

    Args:
        place: of the model.
        models: of the suite.
        rows: what tables call each, and the full name of its model. A row of another suite may have the same label.
    """
    model = models[place]
    same = [i for i, (_, full) in enumerate(rows) if model.name in (full, short(full))]
    own = _names_of(model)
    if exactly := [i for i in same if own & {rows[i][0], short(rows[i][0])}]:
        return exactly
    # Without a label a row is called by the options that differ from their defaults: perhaps not by all of its own.
    others = {name for other in models if other is not model for name in _names_of(other)}
    return [
        i
        for i in same
        if not model.label
        and not others & {rows[i][0], short(rows[i][0])}
        and (rows[i][0] == rows[i][1] or rows[i][0].startswith(f"{rows[i][1]}:"))
        and {*parse_model(rows[i][0])[1]} <= {*model.options}
    ]


def _names_of(model: Listed) -> set[str]:
    """Return what tables may call a model of a suite: its label, or its name with its options, in full and short."""
    if model.label:
        return {model.label}
    full = canonical_name(model.name, dict(model.options), {})
    return {full, short(full)}


def _model_names(model: Listed) -> set[str]:
    """Return what a claim may call a model, whatever its label."""
    return {model.name, short(model.name)} | _names_of(model)


def dataset_called(name: str, datasets: Sequence[str]) -> bool:
    """Return whether one of some datasets, perhaps with options, goes by a name."""
    return any(name in (each, short(each)) for each in datasets)


def short(name: str) -> str:
    """Return a name without its plugin."""
    return name.partition("/")[2] or name


def faults(claims: Sequence[Claim], models: Sequence[Listed], datasets: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield where in a suite a statement is wrong, and why, in words that follow the place."""
    for i, model in enumerate(models):
        for name, figure in model.published.items():
            place = f"models[{i}].published"
            if not dataset_called(name, datasets):
                yield place, _unknown("dataset", name, datasets)
            if not math.isfinite(figure):
                yield place, f"must contain finite numbers, not {figure}"
    names = [claim.name for claim in claims]
    for i, claim in enumerate(claims):
        place = f"claims[{i}]"
        if not claim.name or not claim.text:
            yield place, "needs a name and a text"
        if names.index(claim.name) < i:
            yield f"{place}.name", f"repeats {claim.name!r}; give each claim its own"
        for role in ("rows", "against"):
            yield from ((f"{place}.{role}", words) for words in _row_faults(getattr(claim, role), models))
        yield from ((place, words) for words in _repeated(claim, models))
        for name in claim.datasets:
            if not dataset_called(name, datasets):
                yield f"{place}.datasets", _unknown("dataset", name, datasets)
        if claim.relation == "equal" and not 0 < claim.margin < math.inf:
            yield (
                f"{place}.margin",
                'must be above 0 with the relation "equal"',
            )
        if claim.relation == "better" and claim.margin:
            yield f"{place}.margin", 'goes with the relation "equal" only; leave it out'


def _row_faults(rows: Sequence[str], models: Sequence[Listed]) -> Iterator[str]:
    if not rows:
        yield "is empty; name at least one row"
    for name in rows:
        found = model_called(name, models)
        if not found:
            known = [model.label or canonical_name(model.name, dict(model.options), {}) for model in models]
            yield _unknown("model", name, known)
        elif len(found) > 1:
            yield f"names {name!r}, which matches {len(found)} models of this suite; give them labels"


def _repeated(claim: Claim, models: Sequence[Listed]) -> Iterator[str]:
    """Yield which model a claim names more than once, by whatever names: each comparison counts as a test."""
    seen: list[tuple[str, int]] = []
    for role in ("rows", "against"):
        for name in getattr(claim, role):
            for i in model_called(name, models)[:1]:
                if (role, i) in seen:
                    yield f"names {name!r} twice"
                elif ("rows", i) in seen:
                    yield f"compares {name!r} with itself"
                seen.append((role, i))


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    hint = did_you_mean(name, known) or f" It has: {', '.join(known) or 'none'}."
    return f"names the {kind} {name!r}, which this suite does not have.{hint}".removesuffix(".")
