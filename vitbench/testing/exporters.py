"""Checks of exporters: files in their folder, whatever names the results hold, and no invalid number without a word."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

from vitbench import contract
from vitbench.catalog.provenance import first_missing
from vitbench.errors import Skip, VitbenchError, reason_of
from vitbench.exporting.results import (
    ExportedCell,
    ExportedResults,
    ExportedRow,
    ExportedRun,
    ExportedValue,
)
from vitbench.settings import LATENCY, MEMORY, RANK_BY, RECIPE, SPEED
from vitbench.specs import OptionValue, load_target
from vitbench.testing.cases import ExporterCase
from vitbench.testing.checks import CheckFailed
from vitbench.testing.choices import other_values

HOSTILE = ("../../outside", "CON", "a\nb", "<b>&amp;", "x" * 300, "naïve é", "NUL.txt", "data")
"""Names of models that a record may hold."""
INVALID = 0.7341258890123
"""The value that no file may show without a word."""


def check_exporter_writes(case: ExporterCase) -> None:
    """For results with a training and a timing, it writes a file and returns None or one-line notes."""
    with _written(case, _results()) as (files, said):
        if not files:
            raise CheckFailed(
                "write wrote no file into its folder for results with a training and a timing; it must write below "
                "`output`"
            )
        _check_notes(said)


def check_exporter_stays_in_its_folder(case: ExporterCase) -> None:
    """Whatever models are called, all files are in the folder, and none is a link."""
    with _written(case, _results(HOSTILE)) as (files, _):
        if len({name.lower() for name in files}) < len(files):
            raise CheckFailed("two file names differ only in case; see vitbench.exporting.file_names")


def check_exporter_marks_what_is_invalid(case: ExporterCase) -> None:
    """A file that holds an invalid value says that it is invalid."""
    with _written(case, _results()) as (files, _):
        for name, content in files.items():
            if any(each in content for each in _as_bytes(INVALID)) and b"invalid" not in content.lower():
                raise CheckFailed(f"{name} shows an invalid value as if it were valid; leave it out, and count it")


def check_exporter_takes_what_there_is(case: ExporterCase) -> None:
    """It writes, or refuses with a message, without timings, without trainings, and with only a failed cell."""
    whole = _results()
    failed = replace(whole.cells[0], status="oom", reason="out of memory", values={}, curve=(), predictions=None)
    for words, cells in (
        ("a training alone", whole.cells[:1]),
        ("a timing alone", whole.cells[1:]),
        ("a failed training alone", (failed,)),
    ):
        good = tuple(cell for cell in cells if cell.status == "ok")
        rows = tuple(replace(row, cells=good) for row in whole.rows) if good else ()
        with _written(case, replace(whole, cells=cells, rows=rows), words=f" of {words}"):
            pass


def check_exporter_options(case: ExporterCase) -> None:
    """It writes, or refuses with a message, for each choice, each flag toggled, and each number at its minimum."""
    variants = list(other_values(case.spec.declared, case.spec.defaults))
    if not variants:
        raise Skip("no option has choices or a minimum, or is a flag")
    for name, value in variants:
        with _written(case, _results(), {name: value}, words=f" with the option {name}={value}"):
            pass


class _written:  # noqa: N801 - reads as the statement that it is used in
    """Call an exporter for an empty folder; give the content of each file by its path, and what `write` returned."""

    def __init__(
        self,
        case: ExporterCase,
        results: ExportedResults,
        options: Mapping[str, OptionValue] | None = None,
        *,
        words: str = "",
    ) -> None:
        if missing := first_missing(case.spec.requires):
            raise Skip(f"the module {missing} is not installed")
        self._case, self._results, self._words = case, results, words
        self._options = {**case.spec.defaults, **(options or {})}

    def __enter__(self) -> tuple[dict[str, bytes], object]:
        with tempfile.TemporaryDirectory() as above:
            output, here = Path(above, "level", "output"), Path(above, "here")
            output.mkdir(parents=True)
            here.mkdir()
            with chdir(here):  # what is written beside the folder lies in sight
                said = self._call(output)
            strays = [name for name, path in _tree(Path(above)) if output not in path.parents]
            if strays:
                raise CheckFailed(f"write left {strays[0]!a:.80} outside its folder{self._words}")
            links = [name for name, path in _tree(output) if path.is_symlink()]
            if links:
                raise CheckFailed(f"write made the link {links[0]!a:.80}; write files{self._words}")
            return {name: path.read_bytes() for name, path in _tree(output)}, said

    def __exit__(self, *_: object) -> None:
        pass

    def _call(self, output: Path) -> object:
        write: Callable[..., object] = load_target(self._case.spec.write)
        try:
            return contract.call(write, {"results": self._results, "output": output}, own=self._options)
        except VitbenchError as error:
            if len(str(error).splitlines()) != 1:
                raise CheckFailed(f"write refuses in {str(error)!a:.80}; say it in one line{self._words}") from error
            return None
        except Exception as error:
            raise CheckFailed(f"write failed{self._words}: {reason_of(error)}") from error


def _tree(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give files and links of a folder, by their paths in it."""
    for above, folders, names in os.walk(folder):
        for name in sorted((*folders, *names)):
            path = Path(above, name)
            if path.is_symlink() or not path.is_dir():
                yield path.relative_to(folder).as_posix(), path


def _check_notes(said: object) -> None:
    lines = [] if said is None else [said] if isinstance(said, str) else said
    if not isinstance(lines, (list, tuple)) or not all(isinstance(line, str) for line in lines):
        raise CheckFailed(f"write returned {said!r:.60}; return notes (one-line strings) or None")


def _as_bytes(value: float) -> list[bytes]:
    """Return how files hold a number: as digits, in percent too, and as bits."""
    digits = [f"{value:.5f}"[:6], f"{100 * value:.3f}"[:5]]
    return [*(each.encode() for each in digits), *(struct.pack(form, value) for form in ("<d", ">d", "<f", ">f"))]


# Results to write -----------------------------------------------------------------------------------------------------


def _value(name: str, value: float, unit: str = "fraction", **fields: Any) -> ExportedValue:
    known: dict[str, Any] = {
        "better": "higher",
        "low": value * 0.99,
        "high": value * 1.01,
        "interval": "95%",
        "n": 100,
        "spread": None,
        "verdict": "valid",
        "reasons": (),
        "title": name,
        "exact": False,
        "machine_bound": unit != "fraction",
    }
    return ExportedValue(name=name, value=value, unit=unit, **{**known, **fields})


def _cell(label: str, kind: str, number: int) -> ExportedCell:
    quality = kind == "quality"
    doubtful: dict[str, Any] = {"verdict": "warn", "reasons": ("the machine was busy",)}
    values = (
        [
            _value(RANK_BY, 0.8125),
            _value("made_up", 0.96875, **doubtful),
            _value("not_finite", INVALID, verdict="invalid", reasons=("the outputs are not finite",)),
        ]
        if quality
        else [
            _value(LATENCY, 0.004, "s", better="lower", samples=((0.004, 0.0041),), **doubtful),
            _value(SPEED, 1000.0, "images/s"),
            _value(MEMORY, INVALID, "B", verdict="invalid", reasons=("another process ran",)),
        ]
    )
    return ExportedCell(
        kind="quality" if quality else "speed",
        id=f"{number:016x}",
        key=f"{number + 2**32:016x}",
        run="20260102-030405-aaaaaa",
        status="ok",
        reason="",
        label=label,
        model="mine/net",
        options={"depth": 2},
        dataset="mine/shapes" if quality else "",
        dataset_title="shapes" if quality else "",
        recipe=RECIPE if quality else "",
        recipe_options={"epochs": 2, "lr": 0.001} if quality else {},
        seed=0 if quality else None,
        split="test" if quality else "",
        mode="" if quality else "inference",
        batch_size=None if quality else 4,
        image_size=(8, 8),
        machine="a machine",
        device="cpu",
        precision="float32",
        threads=1,
        torch="2.11.0",
        started=1.75e9 + number,
        seconds=2.5,
        class_names=("round", "square") if quality else (),
        preprocess={"crop_fraction": 1.0, "interpolation": "bicubic"} if quality else {},
        values={value.name: value for value in values},
        curve=({"epoch": 1.0, "loss": 1.5}, {"epoch": 2.0, "loss": float("nan")}) if quality else (),
        environment={"cpu": "a processor", "cores": 2, "python": "3.11.9", "system": "Linux 6.1"},
        content={"planned": {"label": "see label", "data": None}},
        predictions=None,
        figures=(),
    )


def _results(labels: tuple[str, ...] = ("net",)) -> ExportedResults:
    """Return a row with a training and a timing for each label."""
    rows, cells = list[ExportedRow](), list[ExportedCell]()
    for number, label in enumerate(labels):
        own = (_cell(label, "quality", 2 * number), _cell(label, "speed", 2 * number + 1))
        cells += own
        rows.append(
            ExportedRow(
                label=label,
                model="mine/net",
                options={"depth": 2},
                dataset="shapes",
                recipe=RECIPE,
                recipe_options={"epochs": 2, "lr": 0.001},
                rank=1,
                rank_last=len(labels),
                tied_with=tuple(other for other in labels if other != label),
                seeds=(0,),
                baseline=False,
                partial=False,
                image_size=(8, 8),
                conditions={"machine": "a machine", "device": "cpu", "precision": "float32", "batch_size": 4},
                values={name: value for cell in own for name, value in cell.values.items()},
                cells=own,
            )
        )
    run = ExportedRun(id="20260102-030405-aaaaaa", started=1.75e9, command="vitbench run", version="1.0")
    return ExportedResults(version="1.0", rank_by=RANK_BY, rows=tuple(rows), cells=tuple(cells), runs=(run,))
