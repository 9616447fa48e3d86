"""Mutation testing with hand-picked faults: `mutants.toml` lists small code changes and the tests that must fail.

    python benchmarks/mutations.py                     # all, about a quarter of an hour of processor time
    python benchmarks/mutations.py --only 'ranking'    # those whose file, or what they break, contains the word
    python benchmarks/mutations.py --list

Each change is made in a copy of the checkout, its tests are run there, and the change is reverted. A mutant is *caught*
if a test fails, or if the tests take longer than --timeout; it *survives* if all pass. Before the first mutant, the
tests of all chosen mutants must pass on the unchanged copy.

The exit code is 0 if all are caught, 1 if one survives, and 2 if the tests cannot be run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("mutants.toml")
MARKS = "not (simulation or browser or slow)"
"""Which tests are run: a mutant costs seconds."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change of one file."""

    breaks: str
    """What goes wrong, in words."""
    file: str
    """Below the root of the checkout."""
    old: str
    """Text that occurs once in the file."""
    new: str
    tests: tuple[str, ...]
    """Arguments for pytest."""

    def mutated(self, source: str) -> str:
        """Return the source with the change.

        Raises:
            ValueError: the old text is not there, or is there several times.
        """
        count = source.count(self.old)
        if count != 1:
            raise ValueError(f"{self.file} holds the text of the mutant {self.breaks!r} {count} times, not once")
        return source.replace(self.old, self.new)


def load_mutants(table: Path = TABLE) -> list[Mutant]:
    """Read the table."""
    with table.open("rb") as file:
        entries = tomllib.load(file)["mutant"]
    return [Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]


def copy_checkout(target: Path) -> None:
    """Copy what git knows of the working tree, and files that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def run_tests(copy: Path, tests: Iterable[str], timeout: float | None = None) -> tuple[int | None, str]:
    """Run tests of the copy until one fails; return pytest's exit code, None after a time-out, and its last lines."""
    places = [str(copy), str(copy / "plugins"), str(copy / "tests")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places), "VITBENCH_CACHE": str(copy / ".image-cache")}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", MARKS, *tests]
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, "\n".join(done.stdout.strip().splitlines()[-15:])


def is_caught(mutant: Mutant, copy: Path, number: int, timeout: float) -> bool:
    """Make the change in the copy, run its tests, and take the change back.

    Raises:
        RuntimeError: pytest finds no such tests.
    """
    path = copy / mutant.file
    source, times = path.read_text(encoding="utf-8"), path.stat()
    try:
        path.write_text(mutant.mutated(source), encoding="utf-8")
        # Python trusts bytecode by the second of the source's time, and two mutants may be made within one.
        os.utime(path, (times.st_atime, times.st_mtime + 2 * number))
        code, said = run_tests(copy, mutant.tests, timeout)
    finally:
        path.write_text(source, encoding="utf-8")
        os.utime(path, (times.st_atime, times.st_mtime))
    if code not in (None, 0, 1, 2):  # 2: the mutated module cannot even be imported
        raise RuntimeError(f"{mutant.breaks}: pytest ended with {code}\n{said}")
    return code != 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the mutants that are asked for."""
    parser = argparse.ArgumentParser(description="Make small faults in a copy of the code, and see which tests fail.")
    parser.add_argument("--only", default="", metavar="WORD", help="those whose file, or what they break, holds this")
    parser.add_argument("--list", action="store_true", help="print them and run nothing")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS", help="for the tests of one mutant")
    options = parser.parse_args(arguments)
    word = options.only.lower()
    mutants = [mutant for mutant in load_mutants() if word in f"{mutant.file} {mutant.breaks}".lower()]
    if options.list:
        for mutant in mutants:
            print(f"{mutant.file}: {mutant.breaks}")
        return 0
    if not mutants:
        print(f"no mutant holds {options.only!r}; see --list", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        copy = Path(name)
        copy_checkout(copy)
        try:
            for mutant in mutants:
                mutant.mutated((copy / mutant.file).read_text(encoding="utf-8"))
            code, said = run_tests(copy, dict.fromkeys(test for mutant in mutants for test in mutant.tests))
            if code != 0:
                raise RuntimeError(f"without any mutant the tests do not pass:\n{said}")
            survivors = _run(mutants, copy, options.timeout)
        except (ValueError, RuntimeError) as error:
            print(error, file=sys.stderr)
            return 2
    print(f"\n{len(mutants)} mutants: {len(mutants) - len(survivors)} caught, {len(survivors)} survived")
    for mutant in survivors:
        print(f"  {mutant.file}: {mutant.breaks}")
    return 1 if survivors else 0


def _run(mutants: Sequence[Mutant], copy: Path, timeout: float) -> list[Mutant]:
    """Run all, telling each as it ends; return those that survive."""
    survivors = []
    for number, mutant in enumerate(mutants, start=1):
        started = time.monotonic()
        caught = is_caught(mutant, copy, number, timeout)
        if not caught:
            survivors.append(mutant)
        seconds = time.monotonic() - started
        print(
            f"[{number}/{len(mutants)}] {'caught' if caught else 'SURVIVED'}  {mutant.file}: {mutant.breaks}"
            f" ({seconds:.0f} s)",
            flush=True,
        )
    return survivors


if __name__ == "__main__":
    sys.exit(main())
