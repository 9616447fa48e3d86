"""A plan is executed: what is missing of it runs, and the output folder holds what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from vitbench.errors import StoreError
from vitbench.execution.executor import Executor
from vitbench.files import lock
from vitbench.planning.command import command_line
from vitbench.planning.messages import Prepared
from vitbench.planning.plan import Plan
from vitbench.planning.remembered import recall, remember
from vitbench.records import REFERENCE, FigureCell, KeyedCell, Record, SpeedCell
from vitbench.running.admitting import admit_machines
from vitbench.running.estimate import estimates
from vitbench.running.events import Ended, Event
from vitbench.running.progress import Talker
from vitbench.running.runner import run_cells, update_metrics
from vitbench.running.steadiness import known_steadiness
from vitbench.sharding import Shard, split_cells
from vitbench.store import FILE_NAME, Run, Store, environment_digest
from vitbench.version import __version__

if TYPE_CHECKING:
    from vitbench.running.pacing import Pace

__all__ = [
    "Rerun",
    "done_before",
    "execute",
    "in_order",
    "in_shard",
    "is_outdated",
    "is_wanted",
    "is_wanted_figure",
    "known_seconds",
]

Rerun = Literal["failed", "speed", "all"]
_DONE = ("ok", "skipped")


def execute(
    planned: Plan,
    folder: Path,
    *,
    executor: Executor,
    rerun: Rerun | None,
    timeout: float | None,
    quiet: bool,
    pace: Pace | None = None,
) -> int:
    """Run what is missing of a plan into an output folder; return 0 when all of its cells are ok, else 1.

    `pace` is the plan of its time, where it has a budget (`vitbench.running.pacing`).

    Raises:
        StoreError: the folder or the store cannot be used.
        KeyboardInterrupt: the run was interrupted; its records are kept.
    """
    folder = folder.absolute()
    if (folder / FILE_NAME).exists():
        with Store.open(folder, create=False) as store:
            store.check_pages()  # before anything is written beside it
    measured = in_order(pace.cells if pace else planned.prepared.cells)
    whole = [*measured, *planned.figures]
    shard = Shard.read(planned.selection.shard) if planned.selection.shard else None
    cells = in_shard(whole, shard)
    with lock(folder), Store.open(folder, create=True) as store:
        newest = store.newest_by_key()
        figures = [cell for cell in cells if isinstance(cell.cell, FigureCell)]
        todo = [cell for cell in cells[: len(cells) - len(figures)] if is_wanted(newest.get(cell.key), rerun)]
        todo = pace.ordered(todo) if pace else todo
        anew = {cell.key for cell in todo}
        todo += [cell for cell in figures if cell.shows in anew or is_wanted_figure(cell, newest, rerun)]
        earlier = store.runs()
        identity = store.begin_run(
            command=command_line(planned.selection),
            version=__version__,
            suite=planned.suite_text,
            environment=planned.prepared.environment,
            rank_by=planned.suite.rank_by,
            selection=msgspec.json.encode(planned.selection).decode(),
        )
        store.plan(identity, whole)
        running = {cell.key for cell in todo}
        kept = [newest[cell.key] for cell in cells if cell.key in newest and cell.key not in running]
        records = store.records()
        expected = estimates(todo, records, known_seconds(records), pace.expected if pace else {})
        talker = Talker(
            todo,
            {cell.id: expected[cell.key].seconds for cell in todo if cell.key in expected},
            quiet=quiet,
            at_once=lambda: executor.parallel,
        )

        def on_event(event: Event) -> None:
            if pace and isinstance(event, Ended) and not isinstance(event.record.planned.cell, FigureCell):
                pace.end(event.record)
            talker(event)

        for sentence in (*store.damage, *planned.prepared.notes, *planned.notes):
            talker.note(sentence)
        for sentence in _of_shard(shard, earlier, len(cells), len(whole)):
            talker.note(sentence)
        _announce(len(cells), len(todo), kept, rerun, talker.note)
        _tidy(store, {cell.key for cell in whole}, newest, anew=running if rerun == "all" else set(), note=talker.note)
        try:
            if todo and executor.elsewhere:
                admit_machines(planned, executor, talker.note)
            for sentence in update_metrics(
                kept,
                store=store,
                metrics=planned.metrics,
                options=planned.metric_options,
                executor=executor,
                plugins=planned.plugins,
            ):
                talker.note(sentence)
            run_cells(
                todo,
                store=store,
                run=identity,
                environment_digest=environment_digest(planned.prepared.environment),
                metrics=planned.metrics,
                metric_options=planned.metric_options,
                child_environment=planned.prepared.child_environment,
                executor=executor,
                on_event=on_event,
                begin=_begun(pace) if pace else None,
                timeout=timeout,
                plugins=planned.plugins,
                by_ratio=_by_ratio(todo),
                seconds={key: one.seconds for key, one in expected.items()},
            )
        finally:
            talker.close()
        newest = store.newest_by_key()
        if planned.grounds:
            remember(folder, planned.prepared, grounds=planned.grounds, asked=planned.asked)
    return 0 if all(newest[cell.key].status in _DONE for cell in cells) else 1


def _begun(pace: Pace) -> Callable[[KeyedCell], KeyedCell]:
    """Return what begins a cell in its time; figures come after all that a budget is for."""
    return lambda planned: planned if isinstance(planned.cell, FigureCell) else pace.begin(planned)


def in_order(cells: Iterable[KeyedCell]) -> list[KeyedCell]:
    """Return cells in the order in which they run: speeds first.

    They take minutes where trainings may take hours, and predict how long these will take
    (`vitbench.running.estimate`).
    """
    return sorted(cells, key=lambda planned: not isinstance(planned.cell, SpeedCell))


def in_shard(cells: Sequence[KeyedCell], shard: Shard | None) -> list[KeyedCell]:
    """Return the cells of a plan that are in a shard, in their order; None: all of them."""
    if shard is None:
        return list(cells)
    shards = split_cells(cells, shard.count)
    return [cell for cell in cells if shards[cell.key] == shard.number]


def _of_shard(shard: Shard | None, earlier: Sequence[Run], own: int, whole: int) -> Iterator[str]:
    """Yield how much of the plan a shard is, and whether the folder was one of another shard until now."""
    before = earlier[-1].shard if earlier else None
    if before != shard and before:
        now = f"shard {shard} now goes into it as well" if shard else "without --shard, all cells now go into it"
        yield f"This folder held shard {before} so far; {now}."
    if shard and not own:
        yield f"Shard {shard} is empty: the plan's {whole} cells fill fewer shards. Nothing is run here."
    elif shard:
        yield f"Shard {shard}: {own} of the plan's {whole} cells; `vitbench merge` joins the folders of all shards."


def done_before(folder: Path, rerun: Rerun | None, grounds: str, shard: str = "") -> Prepared | None:
    """Return what an earlier run into a folder prepared on the same grounds, where nothing of it is left to run."""
    prepared = recall(folder, grounds)
    if prepared is None:
        return None
    try:
        with Store.open(folder, create=False) as store:
            newest = store.newest_by_key()
    except StoreError:  # told where the folder is opened to be written
        return None
    own = in_shard(prepared.cells, Shard.read(shard) if shard else None)
    return None if any(is_wanted(newest.get(cell.key), rerun) for cell in own) else prepared


def _by_ratio(cells: Sequence[KeyedCell]) -> bool:
    """Return whether the ratio to the reference network is the steadier form of a speed where these cells run."""
    timed = next((planned.cell for planned in cells if isinstance(planned.cell, SpeedCell)), None)
    known = known_steadiness(timed.machine, timed.device, REFERENCE) if timed else None
    return known is None or known.by_ratio


def _tidy(
    store: Store, asked: set[str], newest: Mapping[str, Record], *, anew: set[str], note: Callable[[str], None]
) -> None:
    """Delete checkpoints that no training goes on from, and report those that another run may need."""
    for key in store.checkpoints():
        # A kill between a record and the end of its checkpoint leaves both.
        if key in anew or (key in newest and newest[key].status in _DONE):
            store.drop_checkpoint(key)
    if others := [key for key in store.checkpoints() if key not in asked]:
        note(
            f"{len(others)} {'training' if len(others) == 1 else 'trainings'} of other runs, or of code that changed "
            f"since, left a checkpoint in {store.checkpoint_path('').parent}: delete what you do not want to resume."
        )


def is_wanted(record: Record | None, rerun: Rerun | None) -> bool:
    """Return whether a cell with this newest attempt should run."""
    if record is None or record.status in ("pending", "interrupted", "withdrawn") or rerun == "all":
        return True
    if rerun == "speed":
        return isinstance(record.planned.cell, SpeedCell)
    return rerun == "failed" and record.status not in _DONE


def is_outdated(figure: KeyedCell, newest: Mapping[str, Record]) -> bool:
    """Return whether the training that a figure shows ran again since the figure was drawn: its weights may be others.

    Args:
        figure: the cell of a figure.
        newest: the newest attempt at each cell, by key.
    """
    drawn, training = newest.get(figure.key), newest.get(figure.shows)
    return drawn is not None and training is not None and drawn.started < training.started


def is_wanted_figure(figure: KeyedCell, newest: Mapping[str, Record], rerun: Rerun | None) -> bool:
    """Return whether a figure should be drawn; one whose training runs again is drawn again in any case."""
    return is_wanted(newest.get(figure.key), rerun) or is_outdated(figure, newest)


def known_seconds(records: Sequence[Record]) -> dict[str, float]:
    """Return how long each cell took, by id, as its newest good attempt says."""
    return {record.id: record.seconds for record in records if record.status == "ok"}


def _announce(cells: int, todo: int, kept: Sequence[Record], rerun: Rerun | None, note: Callable[[str], None]) -> None:
    """Say what is left out and why, so that nothing is silent."""
    failed = sum(record.status not in _DONE for record in kept)
    if kept:
        note(f"{len(kept)} of {cells} cells have results from an earlier run; {todo} are left to run.")
    if failed and rerun is None:
        note(f"{failed} of those ended without a result; --rerun failed runs them again.")
