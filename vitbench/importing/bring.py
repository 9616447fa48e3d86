"""Someone else's results into your own folder: as theirs, under names of their own, or not at all.

Each cell gets another id and another key, made of its own and of whose it is: so it never takes the place of a result
of this folder, never counts as done when a run resumes, and its files are beside the others.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vitbench.errors import StoreError, UnusableError, UsageError, reason_of
from vitbench.files import lock, move_file
from vitbench.importing.arrays import bring_predictions, bring_scores, check_weights
from vitbench.importing.checking import UnfitError, check_record, check_text, check_values
from vitbench.importing.unpacking import unpack
from vitbench.leaderboard.results import read_results
from vitbench.printable import plain
from vitbench.records import SCHEMA, Environment, FigureCell, Record, digest, newest_by_id
from vitbench.report.formats import FORMATS, render
from vitbench.report.html.details import read_details
from vitbench.store import FILE_NAME, IMPORTED, Contents, Run, Store, blob_digest, environment_digest

__all__ = ["Brought", "bring"]

MOST_RECORDS = 100_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Brought:
    """What an import came to."""

    source: str
    records: int
    """Results that are new here."""
    known: int
    """Results that had been imported before."""
    files: int
    left_out: str
    """What was not imported, in words; empty: nothing."""


def bring(given: Path, folder: Path, name: str = "") -> Brought:
    """Import the results of a folder, or of a zip archive of one, into a results folder.

    Args:
        given: theirs; nothing in it is changed, run or loaded.
        folder: your own folder, created if it is missing.
        name: whose they are; empty: as `given` is called.

    Raises:
        UsageError: the name is none, or `given` is the folder itself.
        StoreError: they cannot be read or hold what no run writes, or the folder cannot be written.
    """
    source = name or (given.name if given.is_dir() else given.stem) or given.resolve().name
    if not _NAME.fullmatch(source):
        raise UsageError(
            f"{plain(source)!r} is not a valid name for the source of the results; give --name with up to 40 "
            "letters, digits, dots, hyphens and underscores."
        )
    if given.resolve() == folder.resolve():
        raise UsageError(
            f"{given} is the folder to import into; give someone else's folder here, and yours as --output."
        )
    with tempfile.TemporaryDirectory(prefix="vitbench-import-") as temporary:
        theirs, checked = Path(temporary, "theirs"), Path(temporary, "checked")
        theirs.mkdir()
        unpack(given, theirs)
        if not (theirs / FILE_NAME).is_file():
            raise StoreError(
                f"{given} contains no results; give a folder that vitbench run wrote to, or its zip archive."
            )
        try:
            contents, left_out = _checked(theirs, source)
            files = _checked_files(theirs, checked, contents, source)
            _try_out(checked)
        except (UnfitError, RecursionError, OverflowError) as error:
            raise StoreError(f"{given} is refused: {plain(str(error))}.") from error
        except StoreError as error:
            raise StoreError(str(error).replace(str(theirs / FILE_NAME), f"{given}/{FILE_NAME}")) from error
        return _enter(folder, checked, contents, files, source, left_out)


def _checked(theirs: Path, source: str) -> tuple[Contents, str]:
    """Return their newest results, renamed, without whatever is a path or is of no use to others, and what that is."""
    with Store.open_foreign(theirs / FILE_NAME) as store:
        held = store.contents()
        if store.damage:
            raise UnfitError(store.damage[0].rstrip(".").replace(str(theirs / FILE_NAME), FILE_NAME))
    if len(held.records) > MOST_RECORDS:
        raise UnfitError(f"it holds more than {MOST_RECORDS:,} records")
    if any(record.source for record in held.records):
        held = msgspec.structs.replace(held, records=tuple(record for record in held.records if not record.source))
    newest = newest_by_id(held.records).values()
    taken = [record for record in newest if record.status == "ok" and not isinstance(record.planned.cell, FigureCell)]
    if not taken:
        raise UnfitError("it contains no results of its own to import")
    left = Counter("figures" if r.status == "ok" else "cells without a result" for r in newest if r not in taken)
    runs = {run.id: run for run in held.runs}
    records, blobs, made = [], {blob_digest(b""): b""}, {}
    for record in taken:
        check_record(record)
        run, environment = runs.get(record.run), held.blobs.get(record.environment)
        if run is None or environment is None:
            raise UnfitError(f"the record {record.id} does not say in which run it was made")
        made[run.id] = _run_of(run, environment, source, blobs)
        records.append(_renamed(record, made[run.id], source))
    words = ", ".join(f"{count} {kind}" for kind, count in left.items())
    return Contents(runs=tuple(made.values()), plans={}, records=tuple(records), blobs=blobs), words


def _run_of(run: Run, environment: bytes, source: str, blobs: dict[str, bytes]) -> Run:
    """Return what stands for a run of theirs: when it was and on what, and nothing that could be run again."""
    try:
        described = msgspec.json.decode(environment, type=Environment)
    except msgspec.DecodeError as error:
        raise UnfitError("its description of a machine cannot be read") from error
    check_values(msgspec.to_builtins(described))
    for text in (run.id, run.version, run.rank_by):
        check_text("its description of a run", text)
    if not 0 < run.started < 1e11:
        raise UnfitError("the start time of a run is out of range")
    content = msgspec.json.encode(described, order="deterministic")
    blobs[environment_digest(described)] = content
    return Run(
        id=f"{IMPORTED}{source}-{digest(run.id)}",
        started=run.started,
        command=f"vitbench import {source}",
        version=run.version,
        suite=blob_digest(b""),
        environment=environment_digest(described),
        rank_by=run.rank_by,
        selection="",
    )


def _renamed(record: Record, run: Run, source: str) -> Record:
    planned, data = record.planned, record.planned.data
    if data is not None:  # folders of another machine, which may be anything on this one
        data = msgspec.structs.replace(data, cache="", train_cache="", names="")
    planned = msgspec.structs.replace(
        planned, id=digest((source, planned.id)), key=digest((source, planned.key)), data=data
    )
    return msgspec.structs.replace(
        record,
        schema=SCHEMA,
        run=run.id,
        planned=planned,
        occasion=digest((source, record.occasion)) if record.occasion else "",
        environment=run.environment,
        kept={},
        source=source,
    )


def _checked_files(theirs: Path, checked: Path, contents: Contents, source: str) -> list[Path]:
    """Copy the files of the records under their new names, checked; return these, from the folder on."""
    by_key = {record.key: record for record in contents.records}
    found: list[Path] = []
    with Store.open(checked, create=True) as store:
        for place in sorted((theirs / "predictions").glob("*.npz")):
            key = digest((source, place.stem))
            if key in by_key:
                images = bring_predictions(place, store.predictions_path(key), by_key[key])
                found.append(store.predictions_path(key))
                scores = theirs / "scores" / place.name
                if scores.exists():
                    bring_scores(scores, store.scores_path(key), by_key[key], *images)
                    found.append(store.scores_path(key))
        for place in sorted((theirs / "weights").glob("*.safetensors")):
            key = digest((source, place.stem))
            if key in by_key:
                check_weights(place)
                move_file(place, store.weights_path(key))
                found.append(store.weights_path(key))
        store.add(contents)
    return [path.relative_to(checked) for path in found]


def _try_out(checked: Path) -> None:
    """Refuse what makes no leaderboard: of that a folder would be spoilt in which it is."""
    try:
        records, board = read_results(checked)
        with Store.open(checked, create=False) as store, contextlib.suppress(UnusableError):  # without the extra `html`
            for name in FORMATS:
                render(board, name, details=lambda: read_details(store, board, records, images=False))
    except Exception as error:  # whatever was made up of it
        raise UnfitError(f"no leaderboard can be made from it ({reason_of(error)})") from error


def _identity(record: Record) -> bytes:
    """Return what makes a record the same: not how a version of vitbench describes the machine that made it."""
    return msgspec.msgpack.encode(msgspec.structs.replace(record, environment=""))


def _enter(
    folder: Path, checked: Path, contents: Contents, files: Sequence[Path], source: str, left_out: str
) -> Brought:
    if (folder / FILE_NAME).exists():
        with Store.open(folder, create=False) as store:
            store.check_pages()
    with (
        lock(folder, command="vitbench import", remedy="choose another --output"),
        Store.open(folder, create=True) as store,
    ):
        held = store.contents()
        here = {_identity(record) for record in held.records if record.source}
        runs = {run.id for run in held.runs}
        new = [record for record in contents.records if _identity(record) not in here]
        keys = {record.key for record in new}
        moved = [path for path in files if path.name.partition(".")[0] in keys]
        for path in moved:
            move_file(checked / path, folder / path)
        if new:
            store.add(
                Contents(
                    runs=tuple(run for run in contents.runs if run.id not in runs),
                    plans={},
                    records=tuple(new),
                    blobs=contents.blobs,
                )
            )
    return Brought(
        source=source,
        records=len(new),
        known=len(contents.records) - len(new),
        files=len(moved),
        left_out=left_out,
    )
