"""One run, from what the user asks to what the output folder holds: plan, then execute.

`vitbench.api` and the command line are thin layers over these two steps.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from vitbench import __version__
from vitbench.catalog import Catalog, PluginSelection, Problem, load_catalog, select_plugins
from vitbench.catalog.options import parse_model
from vitbench.catalog.provenance import metric_versions
from vitbench.errors import NothingSelectedError, StoreError, UnusableError, UsageError, VitbenchError, did_you_mean
from vitbench.execution.executor import Ending, LocalExecutor
from vitbench.execution.messages import Answer, Prepared, PrepareRequest, Refusal, Say
from vitbench.lock import lock
from vitbench.planning.suite import Selection, Suite, expand, is_dataset
from vitbench.planning.suite_file import read_suite
from vitbench.records import KeyedCell, Record, canonical_name
from vitbench.running.progress import Talker
from vitbench.running.runner import run_cells, update_metrics
from vitbench.store import FILE_NAME, Store, environment_digest

__all__ = ["Plan", "Rerun", "execute", "is_wanted", "known_seconds", "plan", "stoppable"]

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
    plugins: PluginSelection
    executor: LocalExecutor


def plan(
    suite: str | None,
    selection: Selection,
    *,
    strict_plugins: bool,
    say: Callable[[str], None],
    plugins: PluginSelection | None = None,
) -> Plan:
    """Read a suite, expand it, and prepare its cells in a child process. Nothing is written but the data cache.

    Without a suite it is `quick`; or none, so that recipes keep their own defaults, where the selection names both
    models and data sets. Without a selection of plugins it is that of the environment.

    Raises:
        UsageError: an unknown name, a wrong option, a wrong suite file.
        NothingSelectedError: no cell is left.
        UnusableError: data, a device, a plugin file or, with `strict_plugins`, any plugin that cannot be used.
    """
    plugins = plugins or select_plugins()
    catalog = load_catalog(plugins)
    _refuse(catalog.fatal(strict=False))  # before a name that is unknown because its file is broken
    no_suite = suite is None and selection.models and selection.datasets
    path, home = (None, "") if no_suite else _suite_path(suite or "suites/quick", catalog)
    found = read_suite(path) if path else Suite(name="selection", summary="Models and data sets of the command line")
    conditions = selection.conditions
    if conditions.threads is None:
        conditions = msgspec.structs.replace(conditions, threads=found.threads)
    _check_labels(found, catalog, selection)
    cells = expand(found, catalog, selection, home=home)
    _refuse(catalog.fatal(strict=strict_plugins))
    for problem in catalog.problems:
        say(f"warning: {problem}")
    executor = LocalExecutor()
    request = PrepareRequest(
        cells=tuple(cells),
        conditions=conditions,
        data_paths=_data_paths(found, path, selection, catalog, home),
        plugins=plugins,
    )
    ending = _prepare(request, executor, say)
    if isinstance(ending.result, Answer):
        return Plan(
            suite=found,
            suite_text=path.read_text(encoding="utf-8") if path else "",
            prepared=ending.result.prepared,
            metrics=metric_versions(catalog),
            plugins=plugins,
            executor=executor,
        )
    if isinstance(ending.result, Refusal):
        errors: list[type[VitbenchError]] = [UsageError, UnusableError, StoreError, NothingSelectedError]
        kind = next((error for error in errors if error.exit_code == ending.result.exit_code), UnusableError)
        raise kind(ending.result.message)
    raise UnusableError(f"preparing the run failed: {ending.reason}")


def _prepare(request: PrepareRequest, executor: LocalExecutor, say: Callable[[str], None]) -> Ending:
    """Prepare cells in a child; where a model's build may have ended it, again without building any.

    So that model ends its own cells' processes alone, with a reason.
    """

    def prepare(request: PrepareRequest) -> Ending:
        return executor.run(
            "vitbench.planning.prepare:prepare_in_child",
            request,
            on_message=lambda message: say(message.text) if isinstance(message, Say) else None,
        )

    ending = prepare(request)
    if ending.kind not in ("crashed", "oom"):
        return ending
    say(f"warning: preparing the run failed: {ending.reason}; trying again without building the models first.")
    return prepare(msgspec.structs.replace(request, build=False))


def execute(
    planned: Plan, folder: Path, *, rerun: Rerun | None, timeout: float | None, quiet: bool, command: str
) -> int:
    """Run what is missing of a plan into an output folder; return 0 when all of its cells are ok, else 1.

    Raises:
        StoreError: the folder or the store cannot be used.
        KeyboardInterrupt: the run was interrupted; its records are kept.
    """
    folder = folder.absolute()
    if (folder / FILE_NAME).exists():
        Store.open(folder, create=False).close()  # a damaged store is refused before anything is written beside it
    cells = planned.prepared.cells
    with lock(folder), Store.open(folder, create=True) as store, stoppable():
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
        for sentence in planned.prepared.notes:
            talker.note(sentence)
        _announce(cells, todo, newest, rerun, talker.note)
        try:
            running = {cell.key for cell in todo}
            kept = [newest[cell.key] for cell in cells if cell.key in newest and cell.key not in running]
            for sentence in update_metrics(
                kept, store=store, metrics=planned.metrics, executor=planned.executor, plugins=planned.plugins
            ):
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
                plugins=planned.plugins,
            )
        finally:
            talker.close()
        newest = store.newest_by_key()
    return 0 if all(newest[cell.key].status in _DONE for cell in cells) else 1


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
    running = {cell.key for cell in todo}
    kept = [newest[cell.key].status for cell in cells if cell.key in newest and cell.key not in running]
    failed = sum(status not in _DONE for status in kept)
    if kept:
        note(f"{len(kept)} of {len(cells)} cells have results from an earlier run; {len(todo)} are left to run.")
    if failed and rerun is None:
        note(f"{failed} of those ended without a result; --rerun failed runs them again.")


def _suite_path(suite: str, catalog: Catalog) -> tuple[Path, str]:
    """Return a suite's file, and the plugin that ships it, if one does."""
    if suite.endswith(".toml"):
        return Path(suite), ""
    offer = catalog.suite(suite)
    return Path(offer.spec.path), offer.plugin.name


def _check_labels(suite: Suite, catalog: Catalog, selection: Selection) -> None:
    """Refuse a label with options or of another suite: tables show labels, which mean nothing outside their suite."""
    names = {name for full in catalog.models for name in (full, full.partition("/")[2])}
    own = _labels(suite)
    for text in selection.models:
        name, options = parse_model(text)
        if name in names or "/" in name or (name in own and not options):
            continue
        if name in own:
            raise UsageError(f'"{name}" is a label of the suite {suite.name} and takes no options; give {own[name]}.')
        for offer in catalog.suites.values():
            try:
                labels = _labels(read_suite(Path(offer.spec.path)))
            except UsageError:  # a broken suite is told to those who ask for it
                continue
            if name in labels:
                known = offer.name.partition("/")[2]
                raise UsageError(
                    f'"{name}" is a label of the suite {known}; add --suite {known}, or give {labels[name]}.'
                )
        if hint := did_you_mean(name, own):
            raise UsageError(f'unknown model "{name}".{hint}')


def _labels(suite: Suite) -> dict[str, str]:
    """Return what each label stands for, as a user would write it."""
    return {entry.label: canonical_name(entry.name, entry.options, {}) for entry in suite.models if entry.label}


def _data_paths(suite: Suite, path: Path | None, selection: Selection, catalog: Catalog, home: str) -> dict[str, str]:
    """Return the folder of each data set by its full name; a suite's paths are relative to its file."""

    def full(name: str, home: str = "") -> str:
        return catalog.dataset(name, home=home).name if is_dataset(name, catalog) else name

    base = path.parent if path else Path()
    paths = {full(name, home): base / Path(folder).expanduser() for name, folder in suite.data.items()}
    paths |= {full(name): Path(folder).expanduser() for name, folder in selection.data.items()}
    return {name: str(folder.absolute()) for name, folder in paths.items()}


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise UnusableError("; ".join(map(str, problems)))


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Make SIGTERM stop what runs as Ctrl-C does. Signals can be set in the main thread only."""
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
