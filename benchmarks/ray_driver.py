"""How much processor time a run's main process takes per cell on a Ray cluster, and how much committing records takes.

    python benchmarks/ray_driver.py [--cells 200]

The cells of this benchmark train nothing, on a cluster on this machine; everything else is as in a run: a folder, a
job, a task, files that are returned, a record. Ray's own threads in the process are counted separately from its main
thread, since they also run while nothing happens.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import factories

from vitbench.catalog.discovery import PluginSelection
from vitbench.execution.choice import opened_executor
from vitbench.execution.messages import CellResult, Say
from vitbench.running import calls
from vitbench.running.runner import run_cells
from vitbench.store import Store, environment_digest


def main() -> None:
    """Print milliseconds per cell."""
    parser = argparse.ArgumentParser(description="Measure what a run's own process takes per cell on Ray.")
    parser.add_argument("--cells", type=int, default=200)
    count: int = parser.parse_args().cells
    # Ray's workers find the stand-ins there, too.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (sys.path[0], os.environ.get("PYTHONPATH"))))
    calls._TARGET = "ray_targets:stand_in"
    cells = [factories.quality_cell(f"model-{number}") for number in range(count)]
    environment, committing = factories.environment(), 0.0
    with tempfile.TemporaryDirectory() as place, Store.open(Path(place), create=True) as store:
        run = store.begin_run(command="x", version="1", suite="", environment=environment, rank_by="top1")
        append = store.append

        def timed(record: object) -> None:
            nonlocal committing
            began = time.thread_time()
            append(record)  # type: ignore[arg-type]
            committing += time.thread_time() - began

        store.append = timed  # type: ignore[method-assign, assignment]
        with opened_executor("ray", None, lambda _: None) as executor:
            executor.run("ray_targets:spend", Say(text="0"), CellResult)  # Ray imports much for its first task
            began = time.process_time()
            time.sleep(5)
            idle = (time.process_time() - began) / 5
            wall, thread, process = time.monotonic(), time.thread_time(), time.process_time()
            run_cells(
                cells,
                store=store,
                run=run,
                environment_digest=environment_digest(environment),
                metrics={},
                child_environment={},
                executor=executor,
                on_event=lambda _: None,
                plugins=PluginSelection(),
            )
            wall, thread = time.monotonic() - wall, time.thread_time() - thread
            process = time.process_time() - process
        statuses = {record.status for record in store.records()}
    each = 1000 / count
    found = {
        "cells": count,
        "statuses": sorted(statuses),
        "seconds": round(wall, 1),
        "main thread without commits, ms per cell": round((thread - committing) * each, 2),
        "commits, ms per cell": round(committing * each, 2),
        "whole process, ms per cell": round(process * each, 2),
        "whole process while idle, ms per second": round(idle * 1000, 2),
    }
    print(msgspec.json.format(msgspec.json.encode(found)).decode())


if __name__ == "__main__":
    main()
