"""From Python: `run()` a suite, `load()` results. The command line is a thin layer over the same functions."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from vitbench.errors import NothingSelectedError, StoreError, UnusableError, UsageError, VitbenchError
from vitbench.specs import OptionValue

if TYPE_CHECKING:
    import pandas as pd

    from vitbench.catalog import Catalog
    from vitbench.executor import LocalExecutor
    from vitbench.jobs import Prepared
    from vitbench.leaderboard import Leaderboard
    from vitbench.records import KeyedCell, Precision, Record
    from vitbench.suite import Selection, Suite

__all__ = ["Plan", "Results", "default_output", "execute", "load", "plan", "run"]

Rerun = Literal["failed", "all"]
_DONE = ("ok", "skipped")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A prepared run: its keyed cells, ready for an output folder."""

    suite: Suite
    suite_text: str
    prepared: Prepared
    metrics: dict[str, str]
    """Code hash of each installed metric on predictions."""
    executor: LocalExecutor


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """What an output folder holds."""

    folder: Path
    records: tuple[Record, ...]
    """All attempts, the newest last."""
    leaderboard: Leaderboard
    exit_code: int = 0
    """Of the run that gave these results: 0 when all of its cells are ok, else 1."""

    def rows(self) -> pd.DataFrame:
        """Return the leaderboard as a table: one row a model and condition, one column a metric's value."""
        import pandas as pd

        from vitbench.report import render

        rows = json.loads(render(self.leaderboard, "json"))["rows"]
        return pd.DataFrame(
            [
                {name: value for name, value in row.items() if name != "metrics"}
                | {name: metric["value"] for name, metric in row["metrics"].items()}
                for row in rows
            ]
        )

    def measurements(self) -> pd.DataFrame:
        """Return all measurements of the newest attempts, one row each, with interval, verdict and conditions."""
        import pandas as pd

        newest = {record.id: record for record in self.records}
        return pd.DataFrame(
            [
                {
                    "id": record.id,
                    "model": record.planned.label,
                    **{
                        name: value
                        for name, value in msgspec.to_builtins(record.planned.cell).items()
                        if name != "model"
                    },
                    "status": record.status,
                    "metric": measurement.name,
                    "value": measurement.value,
                    "low": measurement.low,
                    "high": measurement.high,
                    "n": measurement.n,
                    "unit": measurement.unit,
                    "verdict": measurement.verdict.level,
                    "reasons": "; ".join(measurement.verdict.reasons),
                }
                for record in newest.values()
                for measurement in record.measurements
            ]
        )


def run(
    suite: str | Path = "quick",
    *,
    output: str | Path | None = None,
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    data: Mapping[str, str | Path] | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    threads: int | None = None,
    seeds: Sequence[int] = (),
    epochs: int | None = None,
    limit: int | float | None = None,
    batch_size: int | None = None,
    settings: Mapping[str, Mapping[str, OptionValue]] | None = None,
    timeout: float | None = None,
    rerun: Rerun | None = None,
    compile: bool = False,  # noqa: A002 - the word of the command line
    channels_last: bool = False,
    strict_plugins: bool = False,
    quiet: bool = False,
) -> Results:
    """Run a suite and return the results, as ``vitbench run`` does; it works in scripts, from stdin and in notebooks.

    Args:
        suite: name of a suite, or path of a TOML file.
        output: folder for the results; None: ``VITBENCH_OUTPUT``, else ``vitbench-results``.
        models: in place of the suite's, such as ``"scratch/vit:depth=4"``.
        datasets: in place of the suite's.
        data: where data sets lie, by name; a new name defines a data set.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: float32, bfloat16, float16 or tf32.
        threads: torch threads; None: the suite's, else all usable cores.
        seeds: in place of the suite's.
        epochs: in place of the recipe's; marks the results partial.
        limit: images of each split, or a share below 1; marks the results partial.
        batch_size: of the speed cells, beside 1.
        settings: recipe options by recipe name.
        timeout: seconds for each process of a cell.
        rerun: "failed" runs failed cells again, "all" runs all; None: what is missing.
        compile: use torch.compile.
        channels_last: use the channels-last memory format.
        strict_plugins: make any problem with a plugin an error.
        quiet: say nothing on stderr.

    Raises:
        VitbenchError: a user's mistake or a lack; its ``exit_code`` is the command line's.
        KeyboardInterrupt: the run was interrupted; its records are kept.
    """
    from vitbench.suite import Conditions, Selection

    selection = Selection(
        models=tuple(models),
        datasets=tuple(datasets),
        seeds=tuple(seeds),
        batch_size=batch_size,
        settings={name: dict(options) for name, options in (settings or {}).items()},
        data={name: str(path) for name, path in (data or {}).items()},
        conditions=Conditions(
            device=device,
            precision=precision,
            threads=threads,
            limit=limit,
            epochs=epochs,
            compile=compile,
            channels_last=channels_last,
        ),
    )
    say = _silent if quiet else _say
    planned = plan(str(suite), selection, strict_plugins=strict_plugins, say=say)
    folder = Path(output) if output else default_output()
    return execute(planned, folder, rerun=rerun, timeout=timeout, quiet=quiet, command="vitbench.run()")


def load(folder: str | Path | None = None) -> Results:
    """Return what an output folder holds.

    Raises:
        StoreError: it is missing, unreadable or of another version.
    """
    from vitbench.leaderboard import build
    from vitbench.store import Store

    place = Path(folder) if folder else default_output()
    with Store.open(place, create=False) as store:
        records = store.records()
        return Results(
            folder=place, records=tuple(records), leaderboard=build(records, store.pending(), store.rank_by())
        )


def default_output() -> Path:
    """Return ``VITBENCH_OUTPUT``, else ``vitbench-results``."""
    return Path(os.environ.get("VITBENCH_OUTPUT") or "vitbench-results")


def plan(suite: str, selection: Selection, *, strict_plugins: bool, say: Callable[[str], None]) -> Plan:
    """Read a suite, expand it, and prepare its cells in a child process. Nothing is written but the data cache.

    Raises:
        UsageError: an unknown name, a wrong option, a wrong suite file.
        NothingSelectedError: no cell is left.
        UnusableError: data, a device or, with `strict_plugins`, a plugin that cannot be used.
    """
    from vitbench.catalog import load_catalog
    from vitbench.executor import LocalExecutor
    from vitbench.jobs import Answer, PrepareRequest, Refusal, Say
    from vitbench.provenance import metric_versions
    from vitbench.suite import expand, read_suite

    catalog = load_catalog()
    path = _suite_path(suite, catalog)
    found = read_suite(path)
    conditions = selection.conditions
    if conditions.threads is None:
        conditions = msgspec.structs.replace(conditions, threads=found.threads)
    cells = expand(found, catalog, selection)
    _report_problems(catalog, strict_plugins, say)
    executor = LocalExecutor()
    ending = executor.run(
        "vitbench.prepare:prepare_in_child",
        PrepareRequest(
            cells=tuple(cells), conditions=conditions, data_paths=_data_paths(found, path, selection, catalog)
        ),
        on_message=lambda message: say(message.text) if isinstance(message, Say) else None,
    )
    if isinstance(ending.result, Answer):
        return Plan(
            suite=found,
            suite_text=path.read_text(encoding="utf-8"),
            prepared=ending.result.prepared,
            metrics=metric_versions(catalog),
            executor=executor,
        )
    if isinstance(ending.result, Refusal):
        errors: list[type[VitbenchError]] = [UsageError, UnusableError, StoreError, NothingSelectedError]
        kind = next((error for error in errors if error.exit_code == ending.result.exit_code), UnusableError)
        raise kind(ending.result.message)
    raise UnusableError(f"preparing the run failed: {ending.reason}")


def execute(
    planned: Plan, folder: Path, *, rerun: Rerun | None, timeout: float | None, quiet: bool, command: str
) -> Results:
    """Run what is missing of a plan into an output folder and return the folder's results.

    Raises:
        StoreError: the folder or the store cannot be used.
        KeyboardInterrupt: the run was interrupted; its records are kept.
    """
    from dataclasses import replace

    from vitbench import __version__
    from vitbench.lock import lock
    from vitbench.progress import Talker
    from vitbench.runner import run_cells, update_metrics
    from vitbench.store import Store, environment_digest

    folder = folder.absolute()
    cells = planned.prepared.cells
    with lock(folder), Store.open(folder, create=True) as store, _stoppable():
        newest = store.newest_by_key()
        todo = [cell for cell in cells if is_wanted(newest.get(cell.key), rerun)]
        identity = store.begin_run(
            command=command,
            version=__version__,
            suite=planned.suite_text,
            environment=planned.prepared.environment,
            rank_by=planned.suite.rank_by,
        )
        store.plan(identity, cells)
        talker = Talker(todo, known_seconds(store.records()), quiet=quiet)
        _announce(cells, todo, newest, rerun, talker.note)
        try:
            kept = [newest[cell.key] for cell in cells if cell.key in newest and cell not in todo]
            for sentence in update_metrics(kept, store=store, metrics=planned.metrics, executor=planned.executor):
                talker.note(sentence)
            run_cells(
                todo,
                store=store,
                run=identity,
                environment_digest=environment_digest(planned.prepared.environment),
                metrics=planned.metrics,
                child_environment=planned.prepared.child_environment,
                executor=planned.executor,
                on_event=talker,
                timeout=timeout,
            )
        finally:
            talker.close()
        newest = store.newest_by_key()
    results = load(folder)
    failed = any(cell.key not in newest or newest[cell.key].status not in _DONE for cell in cells)
    return replace(results, exit_code=1 if failed else 0)


def is_wanted(record: Record | None, rerun: Rerun | None) -> bool:
    """Return whether a cell with this newest attempt should run."""
    if record is None or record.status in ("pending", "interrupted") or rerun == "all":
        return True
    return rerun == "failed" and record.status not in _DONE


def known_seconds(records: Sequence[Record]) -> dict[str, float]:
    """Return how long each cell took, by id, as its newest good attempt says."""
    return {record.id: record.seconds for record in records if record.status == "ok"}


def _announce(
    cells: Sequence[KeyedCell],
    todo: Sequence[KeyedCell],
    newest: Mapping[str, Record],
    rerun: Rerun | None,
    note: Callable[[str], None],
) -> None:
    """Say what is left out and why, so that nothing is silent."""
    for title, sentence in dict.fromkeys(
        (cell.data.title, sentence) for cell in cells if cell.data for sentence in cell.data.notes
    ):
        note(f"{title}: {sentence}")
    kept = [newest[cell.key].status for cell in cells if cell.key in newest and cell not in todo]
    failed = sum(status not in _DONE for status in kept)
    if kept:
        note(f"{len(kept)} of {len(cells)} cells have results from an earlier run; {len(todo)} are left to run.")
    if failed and rerun is None:
        note(f"{failed} of those ended without a result; --rerun failed runs them again.")


def _suite_path(suite: str, catalog: Catalog) -> Path:
    if suite.endswith(".toml"):
        return Path(suite)
    return Path(catalog.suite(suite).spec.path)


def _data_paths(suite: Suite, path: Path, selection: Selection, catalog: Catalog) -> dict[str, str]:
    """Return the folder of each data set by its full name; a suite's paths are relative to its file."""
    paths = {name: path.parent / Path(folder).expanduser() for name, folder in suite.data.items()}
    paths |= {name: Path(folder).expanduser() for name, folder in selection.data.items()}
    full = {name.partition("/")[2]: name for name in catalog.datasets}
    return {full.get(name, name): str(folder.absolute()) for name, folder in paths.items()}


def _report_problems(catalog: Catalog, strict: bool, say: Callable[[str], None]) -> None:
    if strict and catalog.problems:
        raise UnusableError("; ".join(map(str, catalog.problems)))
    for problem in catalog.problems:
        say(f"warning: {problem}")


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Make SIGTERM stop a run as Ctrl-C does. Signals can be set in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _silent(text: str) -> None:
    """Say nothing."""
