"""What travels between the parent and the process of a cell, and its time limit; Progress and Say serve any job."""

from __future__ import annotations

from typing import Any

import msgspec

from vitbench.catalog import PluginSelection
from vitbench.records import KeyedCell, Measurement, PluginOrigin, PreprocessInfo, SpeedCell, Status, Training
from vitbench.specs import OptionValue

__all__ = [
    "FIGURES",
    "PREDICTIONS",
    "SCORES",
    "WEIGHTS",
    "CellJob",
    "CellResult",
    "Message",
    "MetricsJob",
    "Progress",
    "Say",
    "host_ran_out",
    "kept_file",
    "time_limit",
]

WEIGHTS, PREDICTIONS, SCORES = "weights.safetensors", "predictions.npz", "scores.npz"
FIGURES = "figures.npz"
"""Files in the folder of a job."""
FIGURE_TIMEOUT = 600.0
"""Seconds for a figure."""
SPEED_TIMEOUT = 300.0
"""Seconds for one process of a speed cell; training has no limit but its signs of life."""
COMPILE_TIMEOUT = 900.0
"""The same where a model is compiled: a deep one takes minutes on few cores."""


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all messages."""


class CellJob(_Message, frozen=True, kw_only=True):
    """One process of one cell, which leaves its files in its folder.

    Of a quality cell these are `PREDICTIONS`, `SCORES`, where it trains `WEIGHTS`, and what its recipe keeps: each
    `kept_file`. Of a figure cell it is `FIGURES`.
    """

    planned: KeyedCell
    process: int = 0
    """Which of the cell's processes, from 0."""
    batch_size: int | None = None
    """In place of the cell's, while the largest batch is searched and then measured."""
    timing_only: bool = False
    """Leave out what earlier processes of a speed cell have measured: memory, energy, the cold start."""
    probe: bool = False
    """Of a speed cell, only see whether one step of this batch fits in memory; of a quality cell, only see how long its
    training's steps take: `CellResult.evidence` says it, see `vitbench.worker.probe.probe_training`."""
    checkpoint: str = ""
    """Where the state of a training is saved and found, in a folder that outlives the job; empty: nowhere. The caller
    deletes it when the training has ended without being killed."""
    trained: dict[str, str] = {}
    """For a figure cell the paths of what its training left: `WEIGHTS`, `PREDICTIONS`, and each `kept_file`, where
    there is such a file."""
    metric_options: dict[str, dict[str, OptionValue]] = {}
    """Of metrics that have some, by full name, complete."""
    plugins: PluginSelection = PluginSelection()


class MetricsJob(_Message, frozen=True, kw_only=True):
    """A training and stored predictions, in the file `PREDICTIONS` of its folder, to compute the metrics of again.

    It leaves `SCORES` there; where these lie there already, it keeps those that are not computed again.
    """

    planned: KeyedCell
    training: Training | None = None
    curve: tuple[dict[str, float], ...] = ()
    doubts: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    metric_options: dict[str, dict[str, OptionValue]] = {}
    plugins: PluginSelection = PluginSelection()


class Progress(_Message, frozen=True, kw_only=True, tag=True):
    """A sign of life, perhaps with the epoch. None comes while a region is timed, so that the parent sleeps."""

    epoch: float | None = None
    epochs: int | None = None
    stage: str = ""


class Say(_Message, frozen=True, kw_only=True, tag=True):
    """A sentence for the user."""

    text: str


class CellResult(_Message, frozen=True, kw_only=True):
    """How one process of a cell ended."""

    status: Status
    reason: str = ""
    measurements: tuple[Measurement, ...] = ()
    curve: tuple[dict[str, float], ...] = ()
    training: Training | None = None
    preprocess: PreprocessInfo | None = None
    runtime: dict[str, Any] = {}
    facts: dict[str, str] = {}
    splits: dict[str, int] = {}
    doubts: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    evidence: dict[str, float] = {}
    course: tuple[dict[str, float], ...] = ()
    measured_by: tuple[PluginOrigin, ...] = ()
    kept: dict[str, str] = {}
    """SHA-256 of each `kept_file`, by name."""
    pictures: int = 0
    """Of a figure cell, how many `FIGURES` has."""


Message = Progress | Say


def kept_file(name: str) -> str:
    """Return the name of the file of what a recipe keeps under a name."""
    return f"kept.{name}.safetensors"


def host_ran_out(reason: str) -> str:
    """Return why a batch did not run whose size the device's memory was to limit."""
    return f"the host ran out of memory, not the device: {reason}"


def time_limit(cell: SpeedCell) -> float:
    """Return the seconds that one process of a speed cell may take, or one answer of a live one."""
    return (COMPILE_TIMEOUT if cell.compile else SPEED_TIMEOUT) + cell.sustained
