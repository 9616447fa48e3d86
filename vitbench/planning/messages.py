"""What travels to the child that prepares a run, and back; and to other machines that are to make the same cells."""

from __future__ import annotations

import msgspec

from vitbench.catalog import PluginSelection
from vitbench.planning.suite import AskedCell, Conditions
from vitbench.records import Environment, KeyedCell
from vitbench.specs import OptionValue

__all__ = ["Found", "Look", "PrepareRequest", "Prepared"]


class PrepareRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asked cells on their way to the preparing child."""

    cells: tuple[AskedCell, ...]
    conditions: Conditions
    data_paths: dict[str, str] = {}
    """Dataset name to absolute folder."""
    suite_data: dict[str, str] = {}
    """Of those whose folder a suite file gives, the dataset's name to the path of that file, for messages."""
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


class Look(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What another machine is asked: whether it would make the same cells."""

    request: PrepareRequest
    keys: dict[str, str]
    """Of the plan's cells, by id."""
    metric_options: dict[str, dict[str, OptionValue]] = {}


class Found(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it answers."""

    machine: str
    """Its machine class."""
    metrics: dict[str, str]
    """Code hash of each metric."""
    other: KeyedCell | None = None
    """The first cell whose key differs there; None: all are the same."""
    missing: int = 0
    """Cells of the plan that are not among those prepared there."""
