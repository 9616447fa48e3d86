"""Results folders become one: all runs, plans and attempts, and the files beside them.

What is the same in several folders is taken once. Of cells that ran in several, every attempt is kept, as in one folder
where a cell ran twice, and the newest counts. The merged folder appears atomically.
"""

from __future__ import annotations

import contextlib
import shutil
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vitbench.errors import StoreError, UsageError
from vitbench.files import lock
from vitbench.records import KeyedCell, Record
from vitbench.sharding import split_cells
from vitbench.store import FILE_NAME, Contents, Run, Store

__all__ = ["Merged", "merge"]

_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """What a merge came to."""

    folder: Path
    cells: int
    """Cells with an attempt."""
    records: int
    files: int
    """Files that were copied; 0 where the folder held all of this already."""
    already: bool
    """Whether it did."""
    notes: tuple[str, ...]
    """What the user should know: conflicts, damage, folders that are being written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    folder: Path
    contents: Contents
    run: Run
    """The newest."""
    suite: str
    """The text of the newest run's suite."""
    notes: tuple[str, ...]


def merge(folders: Sequence[Path], output: Path) -> Merged:
    """Merge results folders into a new one.

    Args:
        folders: of runs of one suite, with stores that this version reads.
        output: the new folder; one that holds the same already is left as it is.

    Raises:
        UsageError: no folder is named, or one twice.
        StoreError: a folder contains no store of this version, or of another suite than the first; the output exists
            and holds something else, or cannot be written.
    """
    named: dict[Path, Path] = {}
    for folder in folders:
        if (twin := named.setdefault(folder.resolve(), folder)) is not folder:
            raise UsageError(f"{folder} is the same folder as {twin}; name each folder once.")
    if not folders:
        raise UsageError("vitbench merge needs at least one folder: vitbench merge DIR... --output DIR.")
    sources = [_read(folder) for folder in folders]
    _refuse_other_suites(sources)
    # In an order of their own, so that the result does not depend on that of the command line.
    merged = _joined(sorted(sources, key=lambda source: [run.id for run in source.contents.runs]))
    notes = (*(note for source in sources for note in source.notes), *_conflicts(sources), *_unlike_plans(sources))
    already = _holds(output, merged)
    files = {} if already else _files(sources, merged)
    if not already:
        _write(output, merged, files)
    return Merged(
        folder=output,
        cells=len({record.key for record in merged.records}),
        records=len(merged.records),
        files=len(files),
        already=already,
        notes=notes,
    )


def _read(folder: Path) -> _Source:
    with Store.open(folder, create=False) as store:
        contents = store.contents()
        if contents.newest_run is None:
            raise StoreError(f"{folder} contains no run; give folders that vitbench run wrote to.")
        suite = contents.blobs.get(contents.newest_run.suite, b"").decode(errors="replace")
        notes = list(store.damage)
        if running := store.running():
            notes.append(f"{folder} is being written ({len(running)} running); what it contained so far was merged.")
    return _Source(folder=folder, contents=contents, run=contents.newest_run, suite=suite, notes=tuple(notes))


def _refuse_other_suites(sources: Sequence[_Source]) -> None:
    first = sources[0]
    for other in sources[1:]:
        if (other.suite, other.run.rank_by) != (first.suite, first.run.rank_by):
            one, two = _suite_name(first), _suite_name(other)
            how = (
                f"of {one}, {other.folder} of {two}" if one != two else f"of another text of {one} than {other.folder}"
            )
            raise StoreError(f"{first.folder} is {how}; merge folders of one suite, ranked by one metric.")


def _suite_name(source: _Source) -> str:
    ranked = f" ranked by {source.run.rank_by}"
    try:
        name = tomllib.loads(source.suite).get("name", "")
    except tomllib.TOMLDecodeError:
        name = ""
    return (f"the suite {name}" if name else "no suite") + ranked


def _joined(sources: Sequence[_Source]) -> Contents:
    """Return all that the folders hold, each run, planned cell and attempt once, in the order of their time."""
    runs = {run.id: run for source in sources for run in source.contents.runs}
    plans: dict[str, dict[str, KeyedCell]] = defaultdict(dict)
    records: dict[bytes, tuple[float, int, Record]] = {}
    blobs: dict[str, bytes] = {}
    for source in sources:
        blobs |= source.contents.blobs
        for run, cells in source.contents.plans.items():
            for cell in cells:
                plans[run].setdefault(cell.key, cell)
        moment = 0.0
        for record in source.contents.records:
            # Within a folder the order of entry counts: what was withdrawn or measured again keeps the time it ran.
            moment = max(moment, record.started)
            records.setdefault(_identity(record), (moment, len(records), record))
    ordered = sorted(records.values(), key=lambda each: each[:2])
    return Contents(
        runs=tuple(sorted(runs.values(), key=lambda run: run.started)),
        plans={run: tuple(plans[run].values()) for run in runs if run in plans},
        records=tuple(record for *_, record in ordered),
        blobs=blobs,
    )


def _identity(record: Record) -> bytes:
    return msgspec.msgpack.encode(record)


def _conflicts(sources: Sequence[_Source]) -> Iterator[str]:
    """Name the cells that ran in several folders: each of two has an attempt that the other lacks."""
    owners: dict[str, dict[bytes, set[int]]] = defaultdict(lambda: defaultdict(set))
    words: dict[str, str] = {}
    for number, source in enumerate(sources):
        for record in source.contents.records:
            owners[record.id][_identity(record)].add(number)
            words[record.id] = record.planned.in_words
    found = [
        words[cell]
        for cell, attempts in owners.items()
        if any(not one & other for one in attempts.values() for other in attempts.values())
    ]
    if found:
        more = f", and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        which = f"{len(found)} cells have" if len(found) > 1 else "1 cell has"
        yield (
            f"{which} attempts in several folders; all are kept, and the newest counts: "
            f"{'; '.join(found[:_MOST_NAMED])}{more}."
        )


def _unlike_plans(sources: Sequence[_Source]) -> Iterator[str]:
    """Say which shards were planned with other code, data or versions, so that their cells differ."""
    newest = [(source, source.run) for source in sources]
    first, run = newest[0]
    keys = {cell.key for cell in first.contents.plans.get(run.id, ())}
    for source, other in newest[1:]:
        if run.shard is None or other.shard is None or run.shard.count != other.shard.count:
            continue
        cells = source.contents.plans.get(other.id, ())
        if unlike := {cell.key for cell in cells} ^ keys:
            own = split_cells(cells, other.shard.count)
            count = sum(key in own for key in unlike)
            yield (
                f"{source.folder} was planned differently from {first.folder}: {count} of its {len(cells)} cells "
                "have different code, data, versions or machines. Rows with different conditions are not ranked "
                "together."
            )


def _holds(output: Path, merged: Contents) -> bool:
    """Return whether a folder holds a merge already.

    Raises:
        StoreError: it holds something else.
    """
    try:
        if not output.exists() or (output.is_dir() and not any(output.iterdir())):
            return False
    except OSError as error:
        raise StoreError(f"{output} cannot be read ({error.strerror}); choose another --output") from error
    remedy = "choose another --output, or remove it"
    if not (output / FILE_NAME).is_file():
        raise StoreError(f"{output} exists and contains no results; {remedy}.")
    with Store.open(output, create=False) as store:
        found = store.contents()
    same = (
        {run.id for run in found.runs} == {run.id for run in merged.runs}
        and [*map(_identity, found.records)] == [*map(_identity, merged.records)]
        and {run: {cell.key for cell in cells} for run, cells in found.plans.items()}
        == {run: {cell.key for cell in cells} for run, cells in merged.plans.items()}
    )
    if not same:
        raise StoreError(f"{output} exists and contains results other than the merge of these folders; {remedy}.")
    return True


def _files(sources: Sequence[_Source], merged: Contents) -> dict[Path, Path]:
    """Return the files that come along, by their place in the folder: those of the attempt that counts."""
    good: dict[str, bytes] = {}
    newest: dict[str, bytes] = {}
    for record in merged.records:
        newest[record.key] = _identity(record)
        if record.status == "ok":
            good[record.key] = newest[record.key]
    counts = newest | good
    owners: dict[bytes, list[Path]] = defaultdict(list)
    for source in sources:
        for record in source.contents.records:
            if counts[record.key] == (identity := _identity(record)):
                owners[identity].append(source.folder)
    planned = {cell.key for cells in merged.plans.values() for cell in cells} - {*counts}
    found: dict[Path, Path] = {}
    for key in sorted({*counts, *planned}):
        # Of a cell that was killed before it had a record there may be a log and a checkpoint.
        folders = owners[counts[key]] if key in counts else [source.folder for source in sources]
        for folder in folders:
            for path in Store.files_of(folder, key, with_checkpoint=key not in good):
                found.setdefault(path.relative_to(folder), path)
    return found


def _write(output: Path, merged: Contents, files: dict[Path, Path]) -> None:
    """Make the folder beside its place, and move it there when it is whole."""
    beside = output.absolute().with_name(f".{output.absolute().name}.merging")
    with lock(
        beside, command="vitbench merge", remedy="choose another --output"
    ):  # nothing of another merge is touched
        try:
            for left in beside.iterdir():  # by a merge that was killed
                if left.name != "lock":
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
            with Store.open(beside, create=True) as store:
                store.add(merged)
            for place, source in files.items():
                shutil.copyfile(source, beside / place)
            beside.replace(output.absolute())
        except BaseException as error:
            with contextlib.suppress(OSError):
                shutil.rmtree(beside)
            if isinstance(error, OSError):
                raise StoreError(
                    f"{output} cannot be written ({error.strerror or error}); nothing is left of it."
                ) from error
            raise
