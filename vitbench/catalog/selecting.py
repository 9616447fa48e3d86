"""What ``vitbench ls`` was asked for: the offers whose names fit a pattern, and the options of one offer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from vitbench import contract
from vitbench.catalog.catalog import Catalog, Offer
from vitbench.catalog.isolation import stdout_kept, undone
from vitbench.errors import UnusableError, UsageError, VitbenchError, did_you_mean, reason_of
from vitbench.specs import DatasetSpec, ExporterSpec, FigureSpec, MetricSpec, ModelSpec, RecipeSpec, load_target

__all__ = ["Selected", "WithOptions", "select", "with_options"]


class Selected(msgspec.Struct, frozen=True, kw_only=True):
    """What fits a pattern."""

    catalog: Catalog
    """With what fits alone, of the kind that was asked for."""
    members: Mapping[str, Offer[ModelSpec]] = msgspec.field(default_factory=dict)
    """The families of members that fit, by the member's full name."""
    notes: tuple[str, ...] = ()
    """Why the members of some families are missing."""


class WithOptions(msgspec.Struct, frozen=True, kw_only=True):
    """An offer that may have options."""

    kind: str
    """``model``, ``dataset``, ``recipe``, ``metric``, ``figure`` or ``exporter``."""
    name: str
    """In full; of a member of a family its own."""
    spec: ModelSpec | DatasetSpec | RecipeSpec | MetricSpec | FigureSpec | ExporterSpec


def select(catalog: Catalog, kind: str, pattern: str) -> Selected:
    """Return what fits a pattern: offers by their full or short names, plugins by theirs, and members of families.

    Families that may have fitting members are asked for them, which may import their libraries.

    Args:
        catalog: to select from.
        kind: ``models``, ``datasets``, ``recipes``, ``metrics``, ``figures``, ``exporters``, ``suites`` or ``plugins``.
        pattern: with ``*``, ``?`` and ``[...]``, as in a shell; ``*`` fits a ``/``, too.

    Raises:
        UsageError: nothing fits.
    """
    if kind == "plugins":
        found = dataclasses.replace(
            catalog,
            plugins=tuple(plugin for plugin in catalog.plugins if fnmatchcase(plugin.name, pattern)),
            problems=tuple(problem for problem in catalog.problems if fnmatchcase(problem.plugin, pattern)),
            left_out=tuple(name for name in catalog.left_out if fnmatchcase(name, pattern)),
        )
        if not (found.plugins or found.problems or found.left_out):
            raise _nothing(kind, pattern, [plugin.name for plugin in catalog.plugins])
        return Selected(catalog=found)
    offers: Mapping[str, Offer[Any]] = getattr(catalog, kind)
    fitting = {name: offer for name, offer in offers.items() if _fits(name, pattern)}
    members: dict[str, Offer[ModelSpec]] = {}
    notes: list[str] = []
    for family in catalog.models.values() if kind == "models" else ():
        try:
            names = _members_of(family, pattern)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit, and panics of extensions that are no Exception
            notes.append(f"the members of {family.name} are not listed: {reason_of(error)}")
        else:
            members.update({name: family for name in names if name not in offers})
    if not fitting and not members:
        raise _nothing(kind, pattern, [*offers, *(name.partition("/")[2] for name in offers)], notes)
    chosen: dict[str, Any] = {kind: fitting}
    return Selected(catalog=dataclasses.replace(catalog, **chosen), members=members, notes=tuple(notes))


def with_options(
    catalog: Catalog,
    name: str,
    kinds: Iterable[str] = ("model", "dataset", "recipe", "metric", "figure", "exporter"),
) -> list[WithOptions]:
    """Return the models, datasets, recipes, metrics, figures and exporters that a name means: those of all kinds.

    Args:
        catalog: to look in.
        name: full or short; a member of a family, too, which may import its library.
        kinds: to look for.

    Raises:
        UsageError: there is none, or several of one kind.
        UnusableError: the name belongs to a plugin that is broken, or to a family that cannot be asked.
    """
    kinds = tuple(kinds)
    found: list[WithOptions] = []
    errors: list[VitbenchError] = []
    for kind in kinds:
        try:
            offer: Offer[Any] = getattr(catalog, kind)(name)
        except (UsageError, UnusableError) as error:  # a plugin that lost one offer may have another of the name
            errors.append(error)
            continue
        is_member = kind == "model" and offer.name not in catalog.models
        spec = catalog.member(offer.name) if is_member else offer.spec
        found.append(WithOptions(kind=kind, name=offer.name, spec=spec))
    if found:
        return found
    telling = [error for error in errors if not str(error).startswith("unknown")]
    if telling or len(errors) == 1:
        raise (telling or errors)[0]
    offers = [full for kind in kinds for full in getattr(catalog, f"{kind}s")]
    hint = did_you_mean(name, [*offers, *(full.partition("/")[2] for full in offers)]) or ' See "vitbench ls".'
    raise UsageError(f'no {", ".join(kinds[:-1])} or {kinds[-1]} is called "{name}".{hint}')


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition("/")[2], pattern)


def _members_of(family: Offer[ModelSpec], pattern: str) -> list[str]:
    """Return the full names of the members that fit; none where the family lists none, or none can fit.

    Raises what the family's code raises.
    """
    _, slash, short = pattern.partition("/")
    beginning = family.spec.name[:-1]
    if family.spec.members is None or not _may_fit(family, pattern):
        return []
    with stdout_kept(), undone():
        asked = short if slash else f"{beginning}*"
        given = list(contract.call(load_target(family.spec.members), {"pattern": asked}))
    names = sorted({name for name in given if isinstance(name, str) and name.startswith(beginning)})
    return [full for name in names if _fits(full := f"{family.plugin.name}/{name}", pattern)]


def _may_fit(family: Offer[ModelSpec], pattern: str) -> bool:
    """Whether members of a family may fit: without asking it, since its library may take seconds to import."""
    plugin, slash, short = pattern.partition("/")
    if not slash:
        return any(sign in pattern for sign in "*?[")  # a member's short name is no name of a model
    beginning, literal = family.spec.name[:-1], short
    for sign in "*?[":
        literal = literal.partition(sign)[0]
    return fnmatchcase(family.plugin.name, plugin) and (literal.startswith(beginning) or beginning.startswith(literal))


def _nothing(kind: str, pattern: str, names: list[str], notes: Iterable[str] = ()) -> UsageError:
    wider = f"*{pattern}*"
    if not any(sign in pattern for sign in "*?[") and any(fnmatchcase(name, wider) for name in names):
        hint = f' Did you mean "{wider}"?'
    else:
        hint = did_you_mean(pattern.strip("*?"), names) or f' See "vitbench ls {kind}".'
    return UsageError(f'no {kind} match "{pattern}".{hint}{"".join(f" ({note}.)" for note in notes)}')
