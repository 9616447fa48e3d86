"""A row of a leaderboard as a script that makes it again: software, environment variables, data, command.

The command is that of the page (`vitbench.report.reproduction`), with the device and the threads that it ran on.
"""

from __future__ import annotations

import shlex
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from vitbench.errors import StoreError, UsageError
from vitbench.leaderboard.results import newest_record, read_results
from vitbench.measurements import plain_name
from vitbench.planning.suite import Selection
from vitbench.printable import plain
from vitbench.records import Environment, FigureCell, QualityCell, Record, newest_by_id
from vitbench.report.reproduction import Reproduction, reproduction
from vitbench.store import Run, Store

__all__ = ["SUITE_FILE", "Again", "again", "script_of"]

SUITE_FILE = "suite.toml"
"""What a suite that was a file is called in the folder of the new results."""
_SUITE_PLACE = f'"$OUTPUT/{SUITE_FILE}"'


@dataclass(frozen=True, kw_only=True, slots=True)
class Again:
    """All that a row was made of."""

    folder: Path
    records: tuple[Record, ...]
    """Of its cells."""
    main: Record
    """The newest of quality, else of speed."""
    seeds: tuple[int, ...]
    run: Run
    environment: Environment
    suite: str
    """The text of a suite that was a file; empty: it had none, or an installed one."""
    command: Reproduction

    @property
    def words(self) -> list[str]:
        """The command, without the program's name."""
        return shlex.split(self.command.command)[1:]

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables that were set and change numbers."""
        found: dict[str, str] = {}
        for record in self.records:
            found |= record.planned.cell.variables | record.planned.timing_variables
        return found


def again(folder: Path, asked: str) -> Again:
    """Return what the row that a cell belongs to was made of.

    Args:
        folder: of the results.
        asked: the beginning of the cell's id or key.

    Raises:
        UsageError: no such cell, several, one that was imported, or a figure.
        StoreError: the folder contains no results, or what its run was asked for is damaged.
    """
    with Store.open(folder, create=False) as store:
        record = newest_record(store, asked)
    if record.source:
        raise UsageError(
            f"{record.planned.in_words} was imported from {record.source}; its command is in their folder."
        )
    if isinstance(record.planned.cell, FigureCell):
        raise UsageError(
            f"{record.planned.in_words} is a figure; give the ID of its training, then run vitbench explain."
        )
    records, board = read_results(folder)
    newest = newest_by_id(records)
    row = next((row for row in board.rows if record.id in row.ids and not row.source), None)
    behind = [newest[each] for each in row.ids] if row else [record]
    quality = [each for each in behind if isinstance(each.planned.cell, QualityCell)]
    main = max(quality or behind, key=lambda each: each.started)
    seeds = tuple(sorted({each.planned.cell.seed for each in quality}))  # type: ignore[union-attr]
    with Store.open(folder, create=False) as store:
        run = next((run for run in store.all_runs() if run.id == main.run), None)
        if run is None:
            raise StoreError(f"{folder}: what the run of {main.id} was asked for is damaged.")
        suite = store.blob(run.suite).decode()
        environment = msgspec.json.decode(store.blob(main.environment), type=Environment)
    named = {name for each in behind for name in (measured.name for measured in each.measurements)}
    selection, file = _pinned(run.selection, main, suite)
    return Again(
        folder=folder,
        records=tuple(behind),
        main=main,
        seeds=seeds,
        run=run,
        environment=environment,
        suite=suite if file else "",
        command=reproduction(
            main.planned,
            seeds,
            selection,
            suite,
            run.command,
            metrics={plain_name(name) for name in named if name != plain_name(name)},
        ),
    )


def _pinned(selection: str, main: Record, suite: str) -> tuple[str, bool]:
    """Return a selection with the device and the threads that were used, and whether its suite was a file.

    The folders of the data that such a file gives relative to itself are in the selection, since its text moves.
    """
    if not selection:
        return "", False
    asked = msgspec.json.decode(selection, type=Selection)
    conditions = msgspec.structs.replace(
        asked.conditions, device=main.planned.device, threads=main.planned.cell.threads
    )
    file = asked.suite.endswith(".toml")
    if file:
        data = _beside_suite(Path(asked.suite), tomllib.loads(suite), asked.datasets) | asked.data
        asked = msgspec.structs.replace(asked, suite=SUITE_FILE, data=data)
    return msgspec.json.encode(msgspec.structs.replace(asked, conditions=conditions)).decode(), file


def _beside_suite(file: Path, suite: dict[str, Any], datasets: Sequence[str]) -> dict[str, str]:
    """Return the absolute folders of the data that a suite file gives relative to itself.

    Without those that no dataset uses: ``--data`` refuses them.
    """
    used = {name.partition(":")[0] for name in datasets or suite.get("datasets", ())}
    folders = {name: Path(folder).expanduser() for name, folder in suite.get("data", {}).items() if name in used}
    return {
        name: str((file.parent / folder).absolute()) for name, folder in folders.items() if not folder.is_absolute()
    }


def script_of(found: Again) -> str:
    """Return a script for sh that makes a row again, into the folder that is its argument."""
    lines = ["#!/bin/sh", *(f"# {plain(line)}".rstrip() for line in _heading(found)), "set -eu"]
    lines += ['OUTPUT="${1:-reproduced}"', "", "# Software. INSTALL=no takes what is installed."]
    lines += ['if [ "${INSTALL:-yes}" = yes ]; then', '  python3 -m venv "$OUTPUT-environment"']
    lines += ['  . "$OUTPUT-environment/bin/activate"', *(f"  {line}" for line in _installing(found)), "fi", ""]
    if found.variables:
        lines += ["# Environment variables that change numbers."]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(found.variables.items())]
        lines += [""]
    if found.suite:
        mark = "END_OF_SUITE"
        while mark in found.suite:
            mark += "_"
        lines += [
            'mkdir -p "$OUTPUT"',
            f"cat > {_SUITE_PLACE} <<'{mark}'",
            *found.suite.rstrip("\n").split("\n"),
            mark,
            "",
        ]
    if found.command.note:
        lines += [f"# {plain(found.command.note)}"]
    if {"--data", "--plugin"} & {*found.words}:
        lines += ["# Relative paths are as they were given: run this where they lead to the same files."]
    command = found.command.command
    if found.suite:
        command = command.replace(f"--suite {SUITE_FILE}", f"--suite {_SUITE_PLACE}", 1)
    lines += [f'{command} --output "$OUTPUT"']
    return "\n".join(lines) + "\n"


def _heading(found: Again) -> Iterator[str]:
    planned, environment = found.main.planned, found.environment
    made_of, cell = planned.provenance, planned.cell
    moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.main.started))
    row = f"{planned.label} on {planned.judged_on}" if planned.data else planned.in_words
    yield f"{row}: makes this row of {found.folder} again, which was made on {moment}."
    yield f"`vitbench reproduce {shlex.quote(str(found.folder))} {planned.id} --check` runs it and compares."
    yield ""
    for name, value in _values(found.records):
        yield f"{name}: {value}"
    yield f"Machine: {environment.machine}; {environment.cpu}" + f"; {environment.gpu}" * bool(environment.gpu)
    yield f"System: {environment.system}, Python {environment.python}" + f", driver {environment.driver}" * bool(
        environment.driver
    )
    yield f"Ran on {planned.device}, {cell.threads} threads, {cell.precision}"
    if planned.data is not None:
        yield f"Data: {planned.data.title}, SHA-256 of labels and pixels {planned.data.fingerprint}"
    for option, sha256 in made_of.files.items():
        yield f"File of {option}: SHA-256 {sha256}"
    if found.seeds:
        yield f"Seeds: {', '.join(map(str, found.seeds))}"
    commit = f", commit {environment.commit}" if environment.commit else ""
    yield f"vitbench {found.run.version}{commit}, SHA-256 of the code that makes numbers {made_of.vitbench}"
    for origin in dict.fromkeys((made_of.model, made_of.recipe, made_of.dataset, *made_of.others)):
        if origin is not None:
            yield f"{origin.plugin}: {origin.owner}, SHA-256 of its code {origin.code_hash}"


def _values(records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    for record in records:
        for measured in record.measurements:
            if measured.value is not None and not measured.exact:
                ends = "" if measured.low is None else f" [{measured.low:.6g}, {measured.high:.6g}]"
                where = record.planned.in_words.partition(", ")[2]
                yield f"  {measured.name} ({where})", f"{measured.value:.6g} {measured.unit}{ends}"


def _installing(found: Again) -> list[str]:
    """Return the lines that install the versions that made it, in `pip`'s words."""
    made_of, environment = found.main.planned.provenance, found.environment
    versions = {name: version for name, version in environment.versions.items() if name not in ("vitbench", "cudnn")}
    versions |= {"scikit-learn": made_of.software["sklearn"]} if "sklearn" in made_of.software else {}
    versions |= made_of.libraries | made_of.recipe_libraries
    others = {
        origin.distribution: origin.version
        for origin in (made_of.model, made_of.recipe, made_of.dataset, *made_of.others)
        if origin is not None and origin.distribution != "vitbench" and not origin.is_file
    }
    pins = [shlex.quote(f"{name}=={version}") for name, version in sorted((versions | others).items()) if version]
    build = made_of.torch.partition("+")[2]
    index = f" --extra-index-url https://download.pytorch.org/whl/{shlex.quote(build)}" if build else ""
    lines = [f"pip install{index} {' '.join(pins)}"]
    if environment.commit:
        lines += [
            f"# vitbench: in a checkout of it, git checkout {environment.commit}, then",
            'pip install "${VITBENCH:-.}"',
        ]
    else:
        lines += [f"pip install {shlex.quote(f'vitbench=={found.run.version}')}"]
    return lines
