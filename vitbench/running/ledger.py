"""What a budget has given and what is used of it, kept in the output folder: a run that resumes keeps to it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from vitbench.files import replace_file
from vitbench.running.budget import Planned

__all__ = ["FILE_NAME", "Ledger", "read_ledger", "write_ledger"]

FILE_NAME = "budgets.msgpack"


class Ledger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one budget."""

    spent: float = 0.0
    """Seconds of it that are used."""
    cells: dict[str, Planned] = {}
    """By key."""


def read_ledger(folder: Path, budget: float) -> Ledger:
    """Return what is kept of a budget, by its seconds; nothing where there is none, or it is damaged."""
    return _all(folder).get(_name(budget), Ledger())


def write_ledger(folder: Path, budget: float, ledger: Ledger) -> None:
    """Keep it in place of what there was.

    Raises:
        StoreError: it cannot be written.
    """
    replace_file(folder / FILE_NAME, msgspec.msgpack.encode({**_all(folder), _name(budget): ledger}))


def _all(folder: Path) -> dict[str, Ledger]:
    try:
        return msgspec.msgpack.decode((folder / FILE_NAME).read_bytes(), type=dict[str, Ledger])
    except (OSError, msgspec.MsgspecError):
        return {}


def _name(budget: float) -> str:
    return f"{budget:.15g}"
