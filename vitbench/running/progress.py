"""How a run talks while it runs: on a terminal one line that is redrawn, elsewhere one line per cell. All on stderr.

The line is redrawn only when a cell says something, and a cell is silent while a region is timed: a bar that redraws
beside a measurement disturbs it.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from vitbench.printable import MARKS, describe_seconds, plain, rounded
from vitbench.records import KeyedCell, QualityCell, Record
from vitbench.running.events import Ended, Event, Noted, Progressed, Started

__all__ = ["Talker"]

_CLEAR = "\r\x1b[2K"


class Talker:
    """Receives a run's events and tells the user."""

    def __init__(
        self,
        cells: Sequence[KeyedCell],
        known_seconds: Mapping[str, float],
        *,
        quiet: bool,
        stream: TextIO | None = None,
        at_once: Callable[[], int] = lambda: 1,
    ) -> None:
        """Talk about these cells.

        Args:
            cells: of the run.
            known_seconds: the times of earlier records, by cell id.
            quiet: say nothing.
            stream: where to talk; None: stderr.
            at_once: how many cells run beside each other.
        """
        self._at_once = at_once
        self._stream = stream or sys.stderr or io.StringIO()  # a program without a console has none
        self._left = {planned.key: planned for planned in cells}
        self._total = len(cells)
        self._known = known_seconds
        self._taken: dict[bool, list[float]] = {True: [], False: []}
        self._quiet = quiet
        self._redraws = self._stream.isatty() and not quiet
        self._started = 0.0
        self._finished: dict[str, float] = {}
        """The share of a cell's processes that have ended, by key."""

    def __call__(self, event: Event) -> None:
        """Tell one event."""
        if isinstance(event, Noted):
            self.note(event.text)
        elif isinstance(event, Started):
            self._started = time.monotonic()
            self._finished[event.planned.key] = event.process / event.processes
            part = f", process {event.process + 1} of {event.processes}" if event.processes > 1 else ""
            self._draw(event.planned, part)
        elif isinstance(event, Progressed):
            progress = event.progress
            words = progress.stage
            if progress.epoch is not None and progress.epochs:
                words += f", epoch {progress.epoch:.1f} of {progress.epochs}"
            share = progress.epoch / progress.epochs if progress.epoch and progress.epochs else None
            self._draw(event.planned, f": {words}" if words else "", share)
        elif isinstance(event, Ended):
            self._end(event.record)

    def note(self, text: str) -> None:
        """Say a sentence on a line of its own."""
        if not self._quiet:
            self._write(f"{_CLEAR if self._redraws else ''}{plain(text)}\n")

    def close(self) -> None:
        """Wipe the redrawn line."""
        if self._redraws:
            self._write(_CLEAR)

    def _write(self, text: str) -> None:
        """Write, if it can be written: a full disk or a terminal that is gone must not end a run."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()

    def _draw(self, planned: KeyedCell, words: str, share: float | None = None) -> None:
        if not self._redraws:
            return
        done = self._total - len(self._left)
        line = f"{done} of {self._total} cells done{self._time_left(planned, share)} | {planned.in_words}{words}"
        self._write(_CLEAR + plain(line)[: shutil.get_terminal_size().columns - 1])

    def _time_left(self, current: KeyedCell, share: float | None) -> str:
        """Return an estimate in words: a bound where some cells' time is not known, nothing where none is."""
        elapsed = time.monotonic() - self._started
        known: list[float] = []
        for planned in self._left.values():
            seconds = self._seconds_of(planned)
            finished = self._finished.get(planned.key, 0.0)
            if planned.key == current.key and share:
                known.append(elapsed / share - elapsed)
            elif seconds is not None:
                known.append(max(0.0, seconds * (1 - finished) - (elapsed if planned.key == current.key else 0.0)))
        if not known:
            return ""
        words = "about" if len(known) == len(self._left) else "more than"
        return f", {words} {describe_seconds(sum(known) / self._at_once())} left"

    def _seconds_of(self, planned: KeyedCell) -> float | None:
        """Return what a cell takes, by its earlier record or by cells of its kind in this run."""
        if planned.id in self._known:
            return self._known[planned.id]
        taken = self._taken[isinstance(planned.cell, QualityCell)]
        return sum(taken) / len(taken) if taken else None

    def _end(self, record: Record) -> None:
        self._left.pop(record.key, None)
        if record.status == "ok":
            self._taken[isinstance(record.planned.cell, QualityCell)].append(record.seconds)
        done = self._total - len(self._left)
        told = record.reason or _headline(record)
        width = len(str(self._total))
        self.note(
            f"[{done:{width}}/{self._total}] {record.status:<7} {record.planned.in_words}: "
            f"{told + ', ' if told else ''}{describe_seconds(record.seconds)}"
        )


def _headline(record: Record) -> str:
    """Return the value that tables show first of those that only this cell could give, marked as in tables."""
    able = [one for one in record.measurements if one.value is not None and not one.exact]
    if not able:
        return ""
    first = min(able, key=lambda one: one.style.order)
    shown = (first.value or 0.0) * first.style.scale
    number = f"{shown:.2f}" if first.style.unit == "%" else rounded(shown)
    mark = MARKS[first.verdict.level]
    return " ".join(filter(None, (first.style.title, f"{mark}{number}", first.style.unit)))
