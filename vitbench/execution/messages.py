"""What travels between the parent and its child processes: msgspec bytes and a folder, nothing pickled."""

from __future__ import annotations

from typing import Any

import msgspec

from vitbench.catalog.discovery import PluginSelection
from vitbench.planning.suite import AskedCell, Conditions
from vitbench.records import (
    Environment,
    KeyedCell,
    Measurement,
    PluginOrigin,
    PreprocessInfo,
    Status,
)


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all messages."""


class PrepareRequest(_Message, frozen=True, kw_only=True):
    """Asked cells on their way to the preparing child."""

    cells: tuple[AskedCell, ...]
    conditions: Conditions
    data_paths: dict[str, str] = {}
    """Data set name to absolute folder."""
    plugins: PluginSelection = PluginSelection()
    build: bool = True
    """Whether each model is built once, so that a wrong option shows before the run."""


class Prepared(_Message, frozen=True, kw_only=True):
    """Keyed cells, ready to run."""

    cells: tuple[KeyedCell, ...]
    environment: Environment
    child_environment: dict[str, str] = {}
    """Environment variables for the workers."""
    notes: tuple[str, ...] = ()
    """What the user should know of the data."""


class Refusal(_Message, frozen=True, kw_only=True, tag=True):
    """A user's mistake found in a child: the sentence and the exit code."""

    message: str
    exit_code: int


class Job(_Message, frozen=True, kw_only=True):
    """One process of one cell."""

    planned: KeyedCell
    weights: str
    """File for the trained weights of a quality cell."""
    predictions: str
    """File for the predictions of a quality cell."""
    process: int = 0
    """Which of the cell's processes, from 0."""
    batch_size: int | None = None
    """In place of the cell's, while the largest batch is searched and then measured."""
    probe: bool = False
    """Only see whether one step of this batch fits in memory."""
    plugins: PluginSelection = PluginSelection()


class MetricsJob(_Message, frozen=True, kw_only=True):
    """Stored predictions whose metrics are to be computed again."""

    planned: KeyedCell
    predictions: str
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    plugins: PluginSelection = PluginSelection()


class Progress(_Message, frozen=True, kw_only=True, tag=True):
    """A sign of life, perhaps with the epoch. None comes while a region is timed, so that the parent sleeps."""

    epoch: float | None = None
    epochs: int | None = None
    stage: str = ""


class Say(_Message, frozen=True, kw_only=True, tag=True):
    """A sentence for the user."""

    text: str


class Outcome(_Message, frozen=True, kw_only=True, tag=True):
    """How one process of a cell ended."""

    status: Status
    reason: str = ""
    measurements: tuple[Measurement, ...] = ()
    curve: tuple[dict[str, float], ...] = ()
    preprocess: PreprocessInfo | None = None
    runtime: dict[str, Any] = {}
    facts: dict[str, str] = {}
    splits: dict[str, int] = {}
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    evidence: dict[str, float] = {}
    measured_by: tuple[PluginOrigin, ...] = ()


class Answer(_Message, frozen=True, kw_only=True, tag=True):
    """The preparing child's result."""

    prepared: Prepared


class Check(_Message, frozen=True, kw_only=True):
    """One thing that `vitbench doctor` looked at."""

    name: str
    ok: bool
    found: str
    """What was found, in words."""
    advice: str = ""
    """What to do about it; empty where it is well."""


class Examined(_Message, frozen=True, kw_only=True, tag=True):
    """The examining child's result."""

    machine_class: str
    checks: tuple[Check, ...]
    noise_floor: float
    """Interquartile range of equal blocks of a fixed workload, over their median."""


Message = Progress | Say | Outcome | Answer | Refusal | Examined
