"""Checks of open families of models: what holds for all names, whatever they mean."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from itertools import islice

from vitbench import contract
from vitbench.errors import Skip
from vitbench.specs import ModelSpec, load_target
from vitbench.testing.cases import FamilyCase
from vitbench.testing.checks import CheckFailed, need, raised

MOST_MEMBERS = 2000
"""That are looked at; timm has 1,500."""


def check_family_refuses_unknown_names(case: FamilyCase) -> None:
    """`resolve` raises LookupError with a message for a name that the family does not have."""
    need(case.spec.requires)
    assert case.spec.resolve is not None
    resolve, name = load_target(case.spec.resolve), case.spec.name.replace("*", "no-such-model")
    try:
        found = contract.call(resolve, {"name": name})
    except LookupError as error:
        if not error.args or " " not in str(error.args[0]):
            raise CheckFailed(f'resolve("{name}") says {error}; say in a sentence what is wrong') from error
        return
    except Exception as error:
        raise CheckFailed(f'resolve("{name}") raised {raised(error)}; it must be LookupError') from error
    raise CheckFailed(f'resolve("{name}") returned {found!r:.80}; raise LookupError for an unknown name')


def check_family_members(case: FamilyCase) -> None:
    """`members` gives names that match the pattern, each once, and `resolve` returns a `ModelSpec` for the first."""
    need(case.spec.requires)
    if case.spec.members is None:
        raise Skip("its members are not listed")
    assert case.spec.resolve is not None
    resolve, whole = load_target(case.spec.resolve), case.spec.name
    names = _members(case, whole)
    if not names:
        raise CheckFailed(f'members("{whole}") returns no name; leave out members if there is nothing to list')
    narrow = names[0][: len(whole)] + "*"
    if names[0] not in _members(case, narrow):
        raise CheckFailed(f'members("{narrow}") lacks {names[0]}, which members("{whole}") gives')
    try:
        found = contract.call(resolve, {"name": names[0]})
    except Exception as error:
        raise CheckFailed(f'members("{whole}") gives {names[0]}, for which resolve raised {raised(error)}') from error
    if not isinstance(found, ModelSpec):
        raise CheckFailed(f'resolve("{names[0]}") returned {type(found).__name__}; return a vitbench.ModelSpec')


def _members(case: FamilyCase, pattern: str) -> list[str]:
    """Return the names that fit a pattern, or raise CheckFailed where they do not fit, or come twice."""
    assert case.spec.members is not None
    members, call = load_target(case.spec.members), f'members("{pattern}")'
    try:
        given = contract.call(members, {"pattern": pattern})
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise CheckFailed(f"{call} returned {type(given).__name__}; return the names one after the other")
        names = list(islice(given, MOST_MEMBERS))
    except CheckFailed:
        raise
    except Exception as error:
        raise CheckFailed(f"{call} raised {raised(error)}") from error
    for name in names:
        if not isinstance(name, str):
            raise CheckFailed(f"{call} returned {type(name).__name__}; return strings")
        if not fnmatchcase(name, pattern) or not fnmatchcase(name, case.spec.name):
            raise CheckFailed(
                f"{call} returned {name}; return the names that match the pattern, without the plugin's name"
            )
    if len(set(names)) < len(names):
        raise CheckFailed(f"{call} returned a name twice")
    return names
