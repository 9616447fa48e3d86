"""The live worker: one model, built, that runs a block of calls whenever it is told to.

``python -m vitbench.lockstep.worker`` reads one line on stdin, the order, builds what it names and answers `Ready`;
each later line is answered by a block of calls. Lines are msgspec JSON. What was stdin and stdout at the start
belongs to this talk alone: the model finds an empty stdin, and what it prints goes to stderr. The end of
stdin, which comes with the end of the parent, ends this process and its group at once.

Torch is imported by the block maker that needs it: one that needs none starts in a moment.
"""

from __future__ import annotations

import gc
import os
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NoReturn

import msgspec

from vitbench.errors import VitbenchError, reason_of
from vitbench.execution.keeper import adopt_orphans, signal_descendants
from vitbench.execution.processes import SIGKILL
from vitbench.lockstep.process import Failed, Order, Ran, Ready, Reply, RunCalls
from vitbench.records import SpeedCell
from vitbench.specs import load_target

__all__ = ["Maker", "RunBlock", "main", "model_block"]

WINDOW = 0.2
"""Seconds before the end of a block over which the host's share is counted; the other side's blocks lie in it, too."""
REST_STEP, REST_MOST = 0.005, 0.5
"""Seconds: a process is at rest that computes for less than a fifth of the first; the second is waited at most."""


RunBlock = Callable[[int], Ran]
Maker = Callable[[Order], AbstractContextManager[RunBlock]]
"""Builds what is to be timed and gives a function that times some calls of it as one block. The process never leaves
the context; it is there for the settings that the blocks need."""


@contextmanager
def model_block(order: Order) -> Iterator[RunBlock]:
    """Build a speed cell's model and give its timed steps, under the same conditions as in a run.

    A forward pass on one image is a latency, as in a run: each call is synchronised, and a block counts as its median
    call, as often as there are calls. All else is pipelined.
    """
    from statistics import median

    import torch

    from vitbench.catalog import load_catalog
    from vitbench.measuring.evidence import disturbance, disturbances, observe
    from vitbench.measuring.timing import Block as TimedBlock
    from vitbench.worker.bench import Bench, recipe_step
    from vitbench.worker.build import build_model
    from vitbench.worker.compiling import check_compiled, graphs_compiled
    from vitbench.worker.runtime import flag_reasons, runtime, steady_allocator

    planned, cell = order.planned, order.planned.cell
    assert isinstance(cell, SpeedCell)
    device = torch.device(cell.device)
    with runtime(precision=cell.precision, threads=cell.threads, seed=0, device=cell.device) as flags:
        steady_allocator()
        compiled_before = graphs_compiled()
        catalog = load_catalog(order.plugins)
        model = build_model(planned, catalog.member(cell.model), cell.num_classes)
        bench = Bench.of_cell(model, cell, train=recipe_step(cell, catalog))
        single = cell.mode == "inference" and cell.batch_size == 1
        timed = TimedBlock(bench.step(bench.inputs()), device, cross_check=not single, watched=False)
        starts = deque([observe(device)])

        def run(calls: int) -> float:
            return calls * median(timed(1) for _ in range(calls)) if single else timed(calls)

        def block(calls: int) -> Ran:
            timed.forget()
            with bench.inference_mode():
                start = observe(device)
                seconds = bench.weights.settle(lambda: run(calls))
                end = observe(device)
            if cell.compile:
                check_compiled(since=compiled_before)
            starts.append(start)
            while len(starts) > 1 and end.wall - starts[1].wall >= WINDOW:
                starts.popleft()
            warnings, errors = timed.findings()
            if errors:
                raise VitbenchError("; ".join(errors))
            # The other side's process is on the same GPU and waits.
            slight, grave = disturbances(
                start, end, threads=cell.threads, on_cpu=device.type == "cpu", gpu_peers=1, since=starts[0]
            )
            remarks = (*warnings, *grave, *slight, *flag_reasons(flags), *bench.weights.remarks)
            taken = disturbance(start, end, on_cpu=device.type == "cpu", gpu_peers=1, since=starts[0])
            return Ran(seconds=seconds, remarks=remarks, disturbance=taken)

        yield block


def main() -> None:
    """Serve the parent until it ends."""
    adopt_orphans()
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        for line in orders:
            lines.put(line)
        _end()

    def say(answer: Reply) -> None:
        answers.write(msgspec.json.encode(answer) + b"\n")

    # A thread, so that the parent's end is noticed within a build or a block too. It sleeps in the kernel.
    threading.Thread(target=listen, daemon=True).start()
    try:
        _serve(lines.get, say)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        say(Failed(reason=reason_of(error)))


def _serve(hear: Callable[[], bytes], say: Callable[[Reply], None]) -> NoReturn:
    """Build what is ordered, then answer line by line."""
    order = msgspec.json.decode(hear(), type=Order)
    maker: Maker = load_target(order.target)
    with maker(order) as block:
        # From here on garbage is collected between blocks only, and the collector need not look through all of torch.
        gc.collect()
        gc.freeze()
        gc.disable()
        say(Ready())
        while True:
            calls = msgspec.json.decode(hear(), type=RunCalls).calls
            gc.collect()
            ran = block(calls)
            _rest()
            say(ran)


def _rest() -> None:
    """Wait until no thread of this process computes.

    The threads of OpenMP spin for a while when their work is done: 10 ms for GNU's with two threads, 200 ms for
    Intel's, a tenth of the other worker's block and more. To forbid it (``OMP_WAIT_POLICY=passive``) is no way out:
    a small model on two threads was 2.7 times slower with it.
    """
    until = time.monotonic() + REST_MOST
    busy = True
    while busy and time.monotonic() < until:
        before = time.process_time()
        time.sleep(REST_STEP)
        busy = time.process_time() - before > REST_STEP / 5


def _end() -> NoReturn:
    signal_descendants(SIGKILL)  # those in a session of their own, too
    if hasattr(os, "killpg"):
        os.killpg(0, SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
