"""Checks of open families of models: what holds for all names, whatever they mean."""

from __future__ import annotations

from vitbench import contract
from vitbench.specs import load_target
from vitbench.testing.cases import FamilyCase
from vitbench.testing.checks import CheckFailed, need, raised


def check_family_refuses_unknown_names(case: FamilyCase) -> None:
    """`resolve` raises LookupError with a sentence for a name that the family does not have."""
    need(case.spec.requires)
    assert case.spec.resolve is not None
    resolve, name = load_target(case.spec.resolve), "no-such-model"
    try:
        found = contract.call(resolve, {"name": name})
    except LookupError as error:
        if not error.args or " " not in str(error.args[0]):
            raise CheckFailed(f'resolve("{name}") says {error}; say in a sentence what is wrong') from error
        return
    except Exception as error:
        raise CheckFailed(f'resolve("{name}") raised {raised(error)}; it must be LookupError') from error
    raise CheckFailed(f'resolve("{name}") gave {found!r:.80}; raise LookupError for an unknown name')
