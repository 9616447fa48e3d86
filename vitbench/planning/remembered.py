"""A prepared plan, kept beside its results: where nothing that it rests on has changed, it need not be made again.

Preparing imports torch and builds each model on trial, which takes seconds. A run that finds all of its cells done has
no other use for it than their keys, and these are the same as long as its *grounds* are: what was asked, the code of
vitbench and of all plugins, what is installed, the machine, the environment, and the files of the data. Of files the
looks are compared (`vitbench.data.integrity`), of code the content. Where any of it cannot be seen so soon, as weights
on the hub, checkpoints, and data of which nothing but their plugin knows where they are, no plan is kept.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from vitbench.catalog import Catalog
from vitbench.catalog.provenance import origin
from vitbench.catalog.source_files import files_below, hash_of_files
from vitbench.data.integrity import stamp_of
from vitbench.environment import describe
from vitbench.errors import StoreError, VitbenchError
from vitbench.files import replace_file
from vitbench.nvidia import driver_version, uuids
from vitbench.planning.messages import Prepared, PrepareRequest
from vitbench.records import digest

__all__ = ["FILE_NAME", "grounds_of", "recall", "remember"]

FILE_NAME = "prepared.msgpack"
_OF_THE_TERMINAL = frozenset(
    {
        *("_", "SHLVL", "PWD", "OLDPWD", "COLUMNS", "LINES", "TERM", "TERM_SESSION_ID", "COLORTERM", "WINDOWID"),
        *("SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "SSH_AUTH_SOCK", "TMUX", "TMUX_PANE", "STY"),
        *("XDG_SESSION_ID", "GPG_TTY", "PS1"),
    }
)
"""Environment variables that differ in each terminal, and change nothing."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plan, and what it rests on."""

    grounds: str
    data: str
    """Digest of the looks of all files of the data."""
    prepared: Prepared


def grounds_of(request: PrepareRequest, catalog: Catalog) -> str:
    """Return the digest of all that keys depend on, except the files of the data; empty where it cannot be told."""
    core = Path(__file__).parents[1]
    try:
        return digest(
            (
                msgspec.msgpack.encode(request),
                hash_of_files(files_below(core)),
                [(plugin.name, plugin.version, origin(plugin).code_hash) for plugin in catalog.plugins],
                [sys.version, sys.prefix, str(Path.cwd())],
                [(place, _looks(Path(place))) for place in sys.path],
                {name: value for name, value in os.environ.items() if name not in _OF_THE_TERMINAL},
                describe("cpu"),
                (driver_version(), uuids()),
            )
        )
    except (OSError, VitbenchError, UnicodeError):
        return ""


def recall(folder: Path, grounds: str) -> Prepared | None:
    """Return the plan that is kept in an output folder, where it rests on the same; None where it does not."""
    try:
        found = msgspec.msgpack.decode((folder / FILE_NAME).read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError):
        return None
    if not grounds or found.grounds != grounds:
        return None
    roots = found.prepared.roots
    return found.prepared if roots is not None and found.data == _data(roots, before=None) else None


def remember(folder: Path, prepared: Prepared, *, grounds: str, asked: float) -> None:
    """Keep a plan in an output folder, in place of an earlier one, where all that it rests on can be seen again.

    Args:
        folder: of the results.
        prepared: the plan.
        grounds: as they were before it was made.
        asked: when that was, in seconds since the epoch: of data that changed since, nobody knows what was read.
    """
    lasts = prepared.roots is not None and not any(cell.unavailable for cell in prepared.cells)
    data = _data(prepared.roots or (), before=asked) if grounds and lasts else ""
    if not data:
        (folder / FILE_NAME).unlink(missing_ok=True)
        return
    try:
        replace_file(folder / FILE_NAME, msgspec.msgpack.encode(_Kept(grounds=grounds, data=data, prepared=prepared)))
    except StoreError:  # the next run prepares again
        return


def _looks(place: Path) -> tuple[int, ...]:
    """Return what changes when a file does, or when something is added to a folder or taken from it; empty: nothing."""
    try:
        return stamp_of(place.stat())
    except OSError:
        return ()


def _data(roots: Sequence[str], *, before: float | None) -> str:
    """Return the digest of the looks of all that is below some folders; empty where something changed too late."""
    found: dict[str, tuple[int, ...]] = {}
    for root in roots:
        found[root] = _looks(Path(root))
        seen: set[tuple[int, ...]] = set()
        for here, folders, names in os.walk(root, followlinks=True):
            looks = _looks(Path(here))
            if looks in seen:  # a link that leads back up
                folders.clear()
                continue
            seen.add(looks)
            found[here] = looks
            found |= {f"{here}{os.sep}{name}": _looks(Path(here, name)) for name in names}
    times = [time for looks in found.values() for time in looks[2:]]
    if before is not None and any(time >= before * 1e9 for time in times):
        return ""
    text = [(os.fsencode(path).hex(), looks) for path, looks in sorted(found.items())]
    return digest(text)
