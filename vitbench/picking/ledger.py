"""What a pick decided by the clock, kept in the output folder: the same command resumes.

What tests decide is not kept: it is computed again from the stored predictions, which give the same.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from vitbench.files import replace_file

__all__ = ["FILE_NAME", "Ledger", "read_ledger", "write_ledger"]

FILE_NAME = "picks.json"


class Ledger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one pick."""

    spent: float = 0.0
    """Seconds of the budget that are used."""
    measured: int = 0
    """Candidates, from the first, whose speeds are measured: time that is gone since takes none of them back."""
    timed: int | None = None
    """Candidates, from the first, whose speeds there was time for; None: not decided yet."""
    raced: tuple[str, ...] | None = None
    """Candidates that there was time to probe; None: not decided yet."""
    looked: int = 0
    """Looks that were had: time that is gone since takes none of them back."""
    looks: int | None = None
    """Looks that there was time for; None: the race is not over."""
    finalists: tuple[str, ...] | None = None
    """Those that there was time to train; None: not decided yet."""
    training: float = 0.0
    """Seconds that their trainings have as their budget; 0: none."""


def read_ledger(folder: Path, pick: str) -> Ledger:
    """Return what is kept of a pick, by the digest of what was asked; nothing where there is none, or it is damaged."""
    return _all(folder).get(pick, Ledger())


def write_ledger(folder: Path, pick: str, ledger: Ledger) -> None:
    """Keep it in place of what there was.

    Raises:
        StoreError: it cannot be written.
    """
    kept = msgspec.json.format(msgspec.json.encode({**_all(folder), pick: ledger}), indent=1)
    replace_file(folder / FILE_NAME, kept)


def _all(folder: Path) -> dict[str, Ledger]:
    try:
        return msgspec.json.decode((folder / FILE_NAME).read_bytes(), type=dict[str, Ledger])
    except (OSError, msgspec.MsgspecError):
        return {}
