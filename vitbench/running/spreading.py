"""Many processes in flight, on several machines: groups of cells begin in order and go on as their processes end.

This process alone writes to the store. What was lost with a machine runs once more elsewhere, from its first process
on, so that no attempt is made of two machines; what is lost again is recorded as it ended. A result counts for the
process that was asked, once: one that comes for a process that is not waited for any more is none.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from vitbench.execution.executor import Ending, Executor, Handle
from vitbench.execution.messages import CellResult
from vitbench.records import FigureCell, KeyedCell, SpeedCell
from vitbench.running.calls import Attempts, Begun, Calls
from vitbench.running.scheduling import divided, longest_first

__all__ = ["spread"]


@dataclass(kw_only=True, slots=True)
class _Group:
    """Cells that run one after another, or take turns."""

    cells: list[KeyedCell]
    name: str
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    call: Calls | None = None
    running: Attempts | None = None
    lost: bool = False
    """Whether it was lost with a machine once."""


def spread(
    groups: Iterable[Sequence[KeyedCell]],
    run: str,
    *,
    executor: Executor,
    calls: Callable[[str], AbstractContextManager[Calls]],
    attempts: Callable[[Sequence[KeyedCell], str], Attempts],
    recorded: Callable[[str], bool],
    seconds: Mapping[str, float],
) -> None:
    """Run groups of cells on several machines.

    Args:
        groups: as cells are compared, in the order of the plan.
        run: names the run.
        executor: knows the machines.
        calls: gives what runs the processes of a group, by the group's name.
        attempts: gives the attempts at some cells, by the name of their occasion.
        recorded: whether a cell, by key, has a record of this run.
        seconds: that cells are expected to take, by key.

    Raises:
        KeyboardInterrupt: the user or the system asked to stop; what ran is recorded as interrupted.
    """
    in_order = longest_first(_parts(groups, executor.machines), seconds)
    waiting = deque(_Group(cells=cells, name=f"{run}/{number}") for number, cells in enumerate(in_order))
    unfinished = {planned.key for cells in in_order for planned in cells}
    flying: dict[Handle, tuple[_Group, Begun]] = {}

    def go_on(group: _Group, ending: Ending[CellResult] | None) -> None:
        """Begin the next process of a group, or end the group."""
        assert group.call is not None
        assert group.running is not None
        try:
            while True:
                process = next(group.running) if ending is None else group.running.send(ending)
                begun = group.call.begin(process)
                if isinstance(begun, Begun):
                    flying[begun.handle] = group, begun
                    return
                ending = begun
        except StopIteration:
            unfinished.difference_update(planned.key for planned in group.cells)
            executor.release(group.name)
            group.held.close()

    def begin(group: _Group) -> None:
        group.call = group.held.enter_context(calls(group.name))
        group.running = attempts(group.cells, group.name)
        go_on(group, None)

    try:
        while waiting or flying:
            while len(flying) < executor.parallel and (group := _taken(waiting, unfinished)):
                begin(group)
            for handle, ended in executor.wait(list(flying)).items() if flying else ():
                if handle not in flying:
                    continue
                group, begun = flying.pop(handle)
                assert group.call is not None
                ending = group.call.end(begun, ended)
                if ending.lost and not group.lost:
                    executor.release(group.name)
                    group.held.close()
                    left = [planned for planned in group.cells if not recorded(planned.key)]
                    waiting.appendleft(_Group(cells=left, name=f"{group.name} again", lost=True))
                else:
                    go_on(group, ending)
    except BaseException as error:
        for group, begun in flying.values():
            assert group.call is not None
            group.call.drop(begun)
            if isinstance(error, KeyboardInterrupt) and group.running is not None:
                with contextlib.suppress(KeyboardInterrupt):
                    group.running.throw(KeyboardInterrupt())
            group.held.close()
        raise


def _parts(groups: Iterable[Sequence[KeyedCell]], machines: int) -> list[list[KeyedCell]]:
    """Return groups of which none takes one machine's time while others have nothing to time."""
    groups = list(groups)
    timed = sum(isinstance(group[0].cell, SpeedCell) for group in groups)
    each = math.ceil(machines / timed) if timed else 1
    return [part for group in groups for part in divided(group, each)]


def _taken(waiting: deque[_Group], unfinished: Collection[str]) -> _Group | None:
    """Take off the first group that can begin: a figure waits for the training that it shows."""
    for place, group in enumerate(waiting):
        first = group.cells[0].cell
        if not isinstance(first, FigureCell) or group.cells[0].shows not in unfinished:
            del waiting[place]
            return group
    return None
