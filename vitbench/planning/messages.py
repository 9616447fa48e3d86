"""What travels to the child that prepares a run, and back."""

from __future__ import annotations

import msgspec

from vitbench.catalog import PluginSelection
from vitbench.planning.suite import AskedCell, Conditions
from vitbench.records import Environment, KeyedCell

__all__ = ["PrepareRequest", "Prepared"]


class PrepareRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asked cells on their way to the preparing child."""

    cells: tuple[AskedCell, ...]
    conditions: Conditions
    data_paths: dict[str, str] = {}
    """Dataset name to absolute folder."""
    plugins: PluginSelection = PluginSelection()
    build: bool = True
    """Whether each model is built once, so that a wrong option shows before the run."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keyed cells, ready to run."""

    cells: tuple[KeyedCell, ...]
    environment: Environment
    child_environment: dict[str, str] = {}
    """Environment variables for the workers."""
    notes: tuple[str, ...] = ()
    """What the user should know of the data."""
    roots: tuple[str, ...] | None = None
    """The folders that the data were read from, where nothing else was read that may be another by the next run: no
    file that an option names, nothing on the hub, and no data that only their plugin knows the place of."""
