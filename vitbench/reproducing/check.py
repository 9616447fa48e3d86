"""A row is made again and compared: the same bits, the same within its interval, or different, and what changed."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from vitbench.array_files import read_arrays
from vitbench.errors import UnusableError
from vitbench.execution.processes import run_program
from vitbench.files import replace_file
from vitbench.leaderboard.processes import THRESHOLD
from vitbench.records import Environment, KeyedCell, Measurement, QualityCell, Record, newest_by_id
from vitbench.reproducing.script import SUITE_FILE, Again
from vitbench.store import Store
from vitbench.variables import variables_set

__all__ = ["EXIT_CODES", "Checked", "CheckedCell", "Outcome", "check"]

Outcome = Literal["no result", "different", "same within the interval", "same bits"]
EXIT_CODES: Mapping[Outcome, int] = {
    "no result": 11,
    "different": 10,
    "same within the interval": 0,
    "same bits": 0,
}
"""Of each outcome, the worst first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedCell:
    """One cell of the row, made again."""

    name: str
    outcome: Outcome
    details: tuple[str, ...]
    """Which bits are the same, or which metrics differ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What making a row again came to."""

    cells: tuple[CheckedCell, ...]
    changed: tuple[str, ...]
    """What is not as it was: versions, code, data, machine."""

    @property
    def outcome(self) -> Outcome:
        """That of the row: the worst of its cells."""
        found = {cell.outcome for cell in self.cells}
        return next(outcome for outcome in EXIT_CODES if outcome in found)


def check(found: Again, folder: Path) -> Checked:
    """Run a row's command into a folder and compare what comes of it.

    Args:
        found: the row.
        folder: for the results; what is there already is not run again.

    Raises:
        UnusableError: the command failed before any cell ran.
        KeyboardInterrupt: it was interrupted; the same again resumes.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    words = found.words
    if found.suite:
        replace_file(folder / SUITE_FILE, found.suite.encode())
        words = [str(folder / SUITE_FILE) if word == SUITE_FILE else word for word in words]
    main = found.main.planned
    counted = variables_set(main.device, compiled=bool(main.cell.compile))
    names = {*counted.arithmetic, *counted.timing}
    environment = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-m", "vitbench", *words, "--output", str(folder)]
    ended = run_program(command, environment=environment | found.variables, aloud=True)
    if ended.returncode not in (0, 1):
        raise UnusableError(
            f"the command ended with exit code {ended.returncode}, as said above; nothing was compared."
        )
    with Store.open(folder, create=False) as new, Store.open(found.folder, create=False) as old:
        by_cell = {_asked(record.planned): record for record in newest_by_id(new.records()).values()}
        pairs = [(record, by_cell.get(_asked(record.planned))) for record in found.records]
        cells = tuple(_cell(before, after, old, new) for before, after in pairs)
        made = [(before, after) for before, after in pairs if after is not None]
        changed: list[str] = []
        for before, after in made:
            changed += _changed(before.planned, after.planned)
        if made:
            described = msgspec.json.decode(new.blob(made[0][1].environment), type=Environment)
            changed += _changed_environment(found.environment, described)
    return Checked(cells=cells, changed=tuple(dict.fromkeys(changed)))


def _asked(planned: KeyedCell) -> bytes:
    """Return what was asked for, wherever it runs."""
    asked = msgspec.to_builtins(planned.cell)
    for name in ("machine", "device", "threads", "variables", "timing_variables"):
        asked.pop(name, None)
    return msgspec.json.encode(asked, order="deterministic")


def _cell(before: Record, after: Record | None, old: Store, new: Store) -> CheckedCell:
    name = before.planned.in_words

    def told(outcome: Outcome, *details: str) -> CheckedCell:
        return CheckedCell(name=name, outcome=outcome, details=details)

    if after is None:
        return told("no result", "the command ran no such cell")
    if before.status != "ok" or after.status != "ok":
        same = before.status == after.status
        words = f"it was {before.status}, and is now {after.status}" + f": {after.reason}" * bool(after.reason)
        return told("same within the interval" if same else "no result", words)
    if isinstance(before.planned.cell, QualityCell):
        parts = {
            "predictions": _same(_arrays, old.predictions_path(before.key), new.predictions_path(after.key)),
            "weights": _same(_tensors, old.weights_path(before.key), new.weights_path(after.key)),
        }
        equal = [part for part, same in parts.items() if same]
        unlike = [part for part, same in parts.items() if same is False]
        if equal and not unlike:
            return told("same bits", f"of {' and '.join(equal)}")
        details = [f"other {' and '.join(unlike)}"] if unlike else ["neither predictions nor weights are kept"]
        details += [f"the same {' and '.join(equal)}"] if equal else []
    else:
        details = []
    differing = [*_differing(before.measurements, after.measurements)]
    return told("different" if differing else "same within the interval", *details, *differing)


def _same(digest: Any, first: Path, second: Path) -> bool | None:
    """Return whether two files hold the same; None where one of them is missing or damaged."""
    one, two = digest(first), digest(second)
    return None if not (one and two) else one == two


def _arrays(path: Path) -> str:
    def taken(file: Any) -> str:
        found = hashlib.sha256()
        for name in sorted(file.files):
            array = file[name]
            found.update(f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
        return found.hexdigest()

    return read_arrays(path, taken) or ""


def _tensors(path: Path) -> str:
    """Return the digest of the tensors of a safetensors file, without its remarks; empty where there is none.

    Eight bytes say how long the header is, a JSON object; the tensors follow (https://github.com/huggingface/safetensors).
    """
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            header.pop("__metadata__", None)
            found = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
            while chunk := file.read(2**20):
                found.update(chunk)
    except (OSError, ValueError, AttributeError, MemoryError, OverflowError):
        return ""
    return found.hexdigest()


def _differing(before: Sequence[Measurement], after: Sequence[Measurement]) -> Iterator[str]:
    """Yield the metrics whose intervals do not meet; of speed and memory those that differ by more than noise."""
    values = {measured.name: measured for measured in after}
    for one in before:
        other = values.get(one.name)
        if one.value is None or (one.machine_bound and one.at == ("quality",)):
            continue  # the wall time of a training says nothing of what it made
        if other is None or other.value is None:
            yield f"{one.name} has no value now"
            continue
        (low, value, high), (least, again, most) = _ends(one), _ends(other)
        near = not one.exact and one.machine_bound and abs(again - value) <= THRESHOLD * abs(value)
        if not (near or again == value or (not one.exact and low <= most and least <= high)):
            yield f"{one.name} was {value:.6g} [{low:.6g}, {high:.6g}], and is now {again:.6g}"


def _ends(measured: Measurement) -> tuple[float, float, float]:
    """Return value and interval: of the ratio to the reference network where it has one, which is what compares."""
    of = measured.ratio or measured
    assert of.value is not None
    return of.value if of.low is None else of.low, of.value, of.value if of.high is None else of.high


def _changed(before: KeyedCell, after: KeyedCell) -> Iterator[str]:
    one, two = before.provenance, after.provenance
    plain = {
        "code of vitbench that makes numbers": (one.vitbench[:12], two.vitbench[:12]),
        "method": (str(one.method), str(two.method)),
        "torch": (one.torch, two.torch),
        "data": (one.data_fingerprint[:12], two.data_fingerprint[:12]),
        "machine": (before.machine, after.machine),
        "device": (before.device, after.device),
        "threads": (str(before.cell.threads), str(after.cell.threads)),
    }
    for role in ("model", "recipe", "dataset"):
        codes = [origin.code_hash[:12] if (origin := getattr(each, role)) else "" for each in (one, two)]
        plain[f"code of the {role}'s plugin"] = (codes[0], codes[1])
    libraries = (one.all_libraries, two.all_libraries)
    plain |= {
        name: (libraries[0].get(name, ""), libraries[1].get(name, "")) for name in {**libraries[0], **libraries[1]}
    }
    plain |= {f"file of {name}": (one.files.get(name, "")[:12], two.files.get(name, "")[:12]) for name in one.files}
    yield from _unlike(plain)


def _changed_environment(before: Environment, after: Environment) -> Iterator[str]:
    plain = {
        name: (str(getattr(before, name)), str(getattr(after, name)))
        for name in ("cpu", "gpu", "driver", "system", "python")
    }
    if before.commit and after.commit:
        plain["commit of vitbench"] = before.commit[:12], after.commit[:12]
    names = {**before.versions, **after.versions}
    plain |= {name: (before.versions.get(name, ""), after.versions.get(name, "")) for name in names}
    yield from _unlike(plain)


def _unlike(values: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    for name, (one, two) in values.items():
        if one != two:
            yield f"{name}: was {one or 'none'}, is {two or 'none'}"
