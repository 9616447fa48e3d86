"""The results of a folder as exporters get them: frozen data, in base units (fractions, seconds, bytes, images/s).

Rows are what the leaderboard shows, with means over seeds; cells are the trainings, timings and figures behind them,
each as its newest attempt left it. What is large is read from its file when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vitbench.figures.files import read_figures
from vitbench.leaderboard.answers import Answers, read_answers
from vitbench.records import Interval, Level, Status
from vitbench.specs import OptionValue

__all__ = [
    "ExportedCell",
    "ExportedPicture",
    "ExportedResults",
    "ExportedRow",
    "ExportedRun",
    "ExportedValue",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedValue:
    """One value with what is known about it. An invalid one must never look like a valid one: see `usable`."""

    name: str
    """That of its metric, with its options: ``top1``, ``time:level=0.9``."""
    value: float | None
    """None if it is not available; `reasons` say why."""
    unit: str
    """``fraction``, ``nat``, ``s``, ``B``, ``images/s``, ``1``."""
    better: Literal["higher", "lower", "neither", ""]
    """Which values are better; ``neither`` where the metric does not say; empty where the metric is not known."""
    low: float | None
    """Lower end of its interval."""
    high: float | None
    """Upper end."""
    interval: Interval | None
    """What they are the ends of: ``95%``, or the ``range`` over processes."""
    n: int | None
    """The number of images, samples or processes it is based on; in a row over several seeds, the number of seeds."""
    spread: float | None
    """Standard deviation from seed to seed; None for one seed."""
    verdict: Level
    """``valid``; ``warn``: with care; ``invalid``: not at all."""
    reasons: tuple[str, ...]
    """Why it is not valid, in words."""
    title: str
    """Its title in tables; may be empty."""
    exact: bool
    """Whether it is known exactly, like a number of parameters."""
    machine_bound: bool
    """Whether it holds only for the machine that measured it."""
    ratio: float | None = None
    """The value divided by the reference network's, measured in turn with it."""
    samples: tuple[tuple[float, ...], ...] = ()
    """In a cell, the raw samples, one tuple per process."""

    @property
    def usable(self) -> bool:
        """Whether there is a value that may be shown, together with its verdict if that is ``warn``."""
        return self.value is not None and self.verdict != "invalid"

    @property
    def remark(self) -> str:
        """The verdict with its reasons, in one line; empty for a valid value."""
        return "" if self.verdict == "valid" else ": ".join(filter(None, (self.verdict, "; ".join(self.reasons))))


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedPicture:
    """One picture of a figure."""

    figure: str
    """The figure's short name."""
    title: str
    """The title above it."""
    step: str
    """Which of the figure's pictures it is, such as a layer; may be empty."""
    png: bytes
    """The picture as a PNG file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedCell:
    """A training run with its evaluation, a timing, or a figure: the newest attempt at it."""

    kind: Literal["quality", "speed", "figure"]
    """``quality`` is a training with its evaluation, ``speed`` a timing."""
    id: str
    """Hash of what was asked."""
    key: str
    """Hash of `id` and of what went into it: code, data, checkpoint, torch."""
    run: str
    """Id of the run that made the attempt."""
    status: Status
    """``ok``, or how else it ended."""
    reason: str
    """Why it is not ``ok``; empty for ``ok``."""
    label: str
    """The model's name for tables."""
    model: str
    """Its full name, ``plugin/name``."""
    options: Mapping[str, OptionValue]
    """The model's options, complete."""
    dataset: str
    """Full name; empty for a timing."""
    dataset_title: str
    """The dataset's name for tables, with its lineage where that is known."""
    recipe: str
    """Full name; for a timing, the recipe whose step is timed, or empty."""
    recipe_options: Mapping[str, OptionValue]
    """The recipe's options, complete."""
    seed: int | None
    """None for a timing."""
    split: str
    """What the model is judged on, ``test`` or ``val``; empty for a timing."""
    mode: str
    """For a timing, ``inference`` or ``training``; otherwise empty."""
    batch_size: int | None
    """Of a timing."""
    image_size: tuple[int, int]
    """Height and width of the model's input."""
    machine: str
    """The machine class."""
    device: str
    """What it ran on, such as ``cpu`` or ``cuda``."""
    precision: str
    """``float32``, ``bfloat16`` or ``float16``."""
    threads: int
    """Threads of torch on the CPU."""
    torch: str
    """Its version with the build."""
    started: float
    """Seconds since the epoch."""
    seconds: float
    """Wall time of the attempt."""
    class_names: tuple[str, ...]
    """Of its predictions."""
    preprocess: Mapping[str, Any]
    """How images became the model's input; empty if not known."""
    values: Mapping[str, ExportedValue]
    """By name."""
    curve: tuple[Mapping[str, float], ...]
    """One row for each epoch of a training; a loss may be nan."""
    environment: Mapping[str, Any]
    """The machine and the software; empty if not known."""
    content: Mapping[str, Any]
    """The whole record in a form that JSON supports; nan and infinity as text. Without folders of this machine."""
    predictions: Path | None = field(repr=False)
    """The file behind `answers`."""
    figures: tuple[tuple[str, Path], ...] = field(repr=False)
    """For a training run, the name of each figure and the file behind `pictures`."""

    def answers(self) -> Answers | None:
        """Read the trained model's answer for each image; None if answers are not stored or are damaged."""
        return None if self.predictions is None else read_answers(self.predictions)

    def pictures(self) -> Iterator[ExportedPicture]:
        """Draw the figures of the trained model, one picture after the other.

        Raises:
            UnusableError: matplotlib is not installed.
            StoreError: a figure's file is damaged.
        """
        from vitbench.report.figures.drawing import png

        for name, path in self.figures:
            for drawn in read_figures(path):
                yield ExportedPicture(figure=name, title=drawn.title, step=drawn.step, png=png(drawn))


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedRow:
    """A row of the leaderboard: one model on one dataset under one condition."""

    label: str
    """The model, with its recipe if the condition has several rows of the model."""
    model: str
    """Full name, ``plugin/name``."""
    options: Mapping[str, OptionValue]
    """The model's options, complete."""
    dataset: str
    """Title, with its lineage where that is known; empty for speed that no dataset asked for."""
    recipe: str
    """Full name."""
    recipe_options: Mapping[str, OptionValue]
    """The recipe's options, complete."""
    rank: int | None
    """First of the ranks that it may have among rows of equal conditions; None: not ranked."""
    rank_last: int | None
    """Last of them."""
    tied_with: tuple[str, ...]
    """Labels of the rows that are neither significantly better nor worse."""
    seeds: tuple[int, ...]
    """Those that have a value."""
    baseline: bool
    """Whether its suite lists it as a baseline."""
    partial: bool
    """Whether data or training were cut short."""
    image_size: tuple[int, int]
    """Height and width of the model's input."""
    conditions: Mapping[str, Any]
    """How it was measured: the columns of docs/leaderboard.md, such as ``machine``, ``precision``, ``batch_size``,
    ``limit`` and ``fingerprint``."""
    values: Mapping[str, ExportedValue]
    """By name; means over seeds."""
    cells: tuple[ExportedCell, ...]
    """What it is made of: trainings, then timings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedRun:
    """One `vitbench run`."""

    id: str
    """As `ExportedCell.run` has it."""
    started: float
    """Seconds since the epoch."""
    command: str
    """A command line that repeats the run."""
    version: str
    """Of vitbench."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedResults:
    """The results of a folder."""

    version: str
    """Of the vitbench that exports."""
    rank_by: str
    """The metric that rows are ranked by."""
    rows: tuple[ExportedRow, ...]
    """The best first within each condition."""
    cells: tuple[ExportedCell, ...]
    """All cells, including those that failed, the oldest first."""
    runs: tuple[ExportedRun, ...]
    """The oldest first."""
