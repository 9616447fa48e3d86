"""`vitbench export`: results go to an exporter as data, and its files are checked to be where they belong.

The folder of an export holds a file that lists what was written, with digests. So the next export can replace its own
files, and knows those that someone else wrote or changed: these it leaves alone.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from vitbench import contract
from vitbench.catalog import Catalog, Offer
from vitbench.catalog.options import complete_options, parse_model
from vitbench.catalog.provenance import first_missing
from vitbench.errors import StoreError, UnusableError, UsageError, VitbenchError, reason_of
from vitbench.exporting.reading import read_exported
from vitbench.exporting.results import ExportedResults
from vitbench.files import replace_file, sha256_of
from vitbench.specs import ExporterSpec, OptionValue, load_target

__all__ = ["LIST_NAME", "Exported", "export_results", "write_export"]

LIST_NAME = "vitbench-export.json"
"""The file that lists what an export wrote."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What came of an export."""

    paths: tuple[Path, ...]
    """The files of the format."""
    notes: tuple[str, ...]
    """What the exporter and the folder have to say, in sentences."""


def export_results(
    folder: Path, asked: str, catalog: Catalog, *, output: Path | None = None, force: bool = False
) -> Exported:
    """Write the results of a folder in a format.

    Args:
        folder: the results folder.
        asked: ``FORMAT[:k=v,...]``.
        catalog: what names mean.
        output: the folder to write into; None: ``exports/FORMAT`` in the results folder.
        force: write into a folder that holds other files, too, and over files that were changed.

    Raises:
        UsageError: the format is unknown, an option is wrong, there is nothing to export, or the output folder holds
            files of others.
        UnusableError: a library is missing, or the exporter failed.
        StoreError: the results cannot be read, or the output folder cannot be written.
    """
    name, given = parse_model(asked)
    offer = catalog.exporter(name)
    options = complete_options(f"exporter {offer.name}", offer.spec.declared, given)
    results, damaged = read_exported(folder)
    if missing := first_missing(offer.spec.requires):
        remedy = f"; install it: {offer.spec.install}" if offer.spec.install else ""
        raise UnusableError(f"{offer.name} needs the module {missing}, which is not installed{remedy}")
    if not any(cell.status == "ok" for cell in results.cells):
        see = f"see `vitbench show {quote(str(folder))}`"
        raise UsageError(f"{folder} has nothing to export: no cell succeeded; {see}.")
    place = output or folder / "exports" / offer.spec.name
    made = write_export(offer, results, place, options, force=force)
    return Exported(paths=made.paths, notes=(*damaged, *made.notes))


def write_export(
    offer: Offer[ExporterSpec],
    results: ExportedResults,
    output: Path,
    options: Mapping[str, OptionValue],
    *,
    force: bool = False,
) -> Exported:
    """Call an exporter for a folder; errors as those of `export_results`."""
    before = _made_ready(output, offer.name, force=force)
    try:
        said = contract.call(
            load_target(offer.spec.write), {"results": results, "output": output.absolute()}, own=dict(options)
        )
        notes = _notes(offer.name, said)
    except (VitbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit, and panics of extensions that are no Exception
        raise UnusableError(f"exporter {offer.name} failed: {reason_of(error)}") from error
    finally:
        # Also where it failed: what it wrote until then is ours to remove next time.
        after = {name: digest for name, digest in _found(output) if name != LIST_NAME}
        own = {name: digest for name, digest in after.items() if before.get(name) != digest}
        _write_list(output, offer.name, own)
    if not own:
        if not before:
            (output / LIST_NAME).unlink()
            if not notes and any(cell.status == "ok" for cell in results.cells):
                raise UnusableError(
                    f"exporter {offer.name} wrote no file into its folder; `write` must write below `output`, or "
                    "return notes that say what it left out"
                )
            raise UsageError(f"there is nothing that {offer.name} could export.{''.join(f' {note}' for note in notes)}")
        own = after
    return Exported(paths=tuple(output / name for name in sorted(own)), notes=tuple(notes))


def _made_ready(output: Path, exporter: str, *, force: bool) -> dict[str, str]:
    """Make the folder, without the files of an earlier export; return what stays in it, with digests.

    Raises:
        UsageError: it holds files of others.
        StoreError: it cannot be made.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{output} cannot be written: {error.strerror}.") from error
    found = {name: digest for name, digest in _found(output) if name != LIST_NAME}
    listed = _listed(output)
    if listed is None or listed[0] != exporter:
        if found and not force:
            what = f"holds an export of {listed[0]}" if listed else f"holds other files, such as {min(found)}"
            raise UsageError(f"{output} {what}; choose another --output, or add --force.")
        return found
    changed = sorted(name for name, digest in listed[1].items() if name in found and found[name] != digest)
    if changed and not force:
        raise UsageError(
            f"{output / changed[0]} was changed since it was exported; choose another --output, or add --force."
        )
    for name, digest in listed[1].items():
        if found.get(name) == digest:
            _remove(output, name)
            del found[name]
    return found


def _remove(output: Path, name: str) -> None:
    """Delete a file of an earlier export, and folders that it leaves empty."""
    path = output / name
    try:
        path.unlink()
        for above in path.parents:
            if above == output or any(above.iterdir()):
                break
            above.rmdir()
    except OSError as error:
        raise StoreError(f"{path} cannot be removed: {error.strerror}.") from error


def _listed(output: Path) -> tuple[str, dict[str, str]] | None:
    """Return the exporter and the files that an earlier export lists; None where there was none."""
    try:
        said: Any = json.loads((output / LIST_NAME).read_bytes())
        exporter, files = said["exporter"], said["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(exporter, str) or not isinstance(files, dict):
        return None
    return exporter, {str(name): str(digest) for name, digest in files.items()}


def _write_list(output: Path, exporter: str, files: Mapping[str, str]) -> None:
    content = {"exporter": exporter, "files": dict(sorted(files.items()))}
    replace_file(output / LIST_NAME, (json.dumps(content, indent=2) + "\n").encode())


def _found(output: Path) -> Iterator[tuple[str, str]]:
    """Give all files of a folder, by their paths in it, with digests.

    Raises:
        UnusableError: there is a link or a special file: what it leads to may lie anywhere.
    """
    for above, folders, names in os.walk(output):
        for name in sorted((*folders, *names)):
            path = Path(above, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                yield path.relative_to(output).as_posix(), sha256_of(path)
            elif not stat.S_ISDIR(mode):
                raise UnusableError(f"{path} is a link or a device, not a file; an export may contain only files")


def _notes(exporter: str, said: object) -> list[str]:
    """Return what an exporter returned, as notes.

    Raises:
        TypeError: that is something else.
    """
    if said is None:
        return []
    lines = [said] if isinstance(said, str) else list(said) if isinstance(said, Iterable) else None
    if lines is None or not all(isinstance(line, str) for line in lines):
        raise TypeError(f"write must return notes (one-line strings) or None, not {said!r:.60}")
    return [" ".join(line.split()) for line in lines]
