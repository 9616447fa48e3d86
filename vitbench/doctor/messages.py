"""What the examining child of `vitbench doctor` answers: checks, each judged in one way."""

from __future__ import annotations

import msgspec

__all__ = ["Examined", "MachineCheck", "judged"]


class MachineCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that `vitbench doctor` looked at."""

    name: str
    ok: bool
    found: str
    """What was found, in words."""
    advice: str = ""
    """What to do about it; empty where it is well."""


def judged(name: str, ok: bool, found: str, advice: str = "") -> MachineCheck:
    """Return a check; its advice is kept only where it is not well."""
    return MachineCheck(name=name, ok=ok, found=found, advice="" if ok else advice)


class Examined(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The examining child's result."""

    machine_class: str
    checks: tuple[MachineCheck, ...]
    noise_floor: float
    """Interquartile range of equal blocks of a fixed workload, over their median."""
