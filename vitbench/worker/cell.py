"""One process of one cell: run it, turn whatever happens into a result with a status and a reason."""

from __future__ import annotations

import errno
import gc
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import msgspec

from vitbench.catalog import Catalog, load_catalog
from vitbench.catalog.provenance import origin, revision_of
from vitbench.data.locate import default_cache_root
from vitbench.environment import memory_bytes
from vitbench.errors import UnusableError, VitbenchError, reason_of
from vitbench.execution.executor import Send
from vitbench.execution.messages import CellJob, CellResult, host_ran_out
from vitbench.measuring.predictions import InvalidPredictions
from vitbench.measuring.steps import InvalidOutput
from vitbench.printable import whole
from vitbench.records import FigureCell, KeyedCell, QualityCell, Status
from vitbench.training import DivergedError
from vitbench.worker.figure import run_figure
from vitbench.worker.memory_errors import lack_of_memory
from vitbench.worker.metrics import measured_by
from vitbench.worker.quality import run_quality
from vitbench.worker.speed import run_speed

__all__ = ["run_cell"]

LARGEST = 8_000_000
"""Bytes of a result: one of ten processes with all their samples has 30,000."""


def run_cell(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Decode a job, run it, and return its result; no exception leaves this function."""
    gc.freeze()  # the memory pass collects several times, and need not look through all of torch at each
    job = msgspec.msgpack.decode(request, type=CellJob)
    if job.planned.device == "cpu":
        _limit_memory()
    try:
        catalog = load_catalog(job.plugins)
        _check_code(job.planned, catalog)
        job = _at_home(job, folder)
        if isinstance(job.planned.cell, QualityCell):
            assert folder is not None
            result = run_quality(job, catalog, folder, send)
        elif isinstance(job.planned.cell, FigureCell):
            assert folder is not None
            result = run_figure(job, catalog, folder, send)
        else:
            result = _speed(job, catalog, send)
        _check_weights(job.planned, catalog)
        return _storable(msgspec.structs.replace(result, measured_by=measured_by(catalog, result.measurements)))
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        status, reason = _status_of(error), reason_of(error)
        if job.planned.hub and _of_network(error):
            status = "pending"
        elif job.probe and lack_of_memory(error) == "host" and job.planned.device.startswith("cuda"):
            status, reason = "failed", host_ran_out(reason)
        return CellResult(status=status, reason=reason)


def _at_home(job: CellJob, folder: Path | None) -> CellJob:
    """Return a job as it is to run on this machine, which may not be that of the plan.

    Images that are not where the plan's machine has them are in this one's cache, under the same name, which their
    pixels decide. A state that cannot be kept where the run's machine would find it is not kept.
    """
    planned, here = job.planned, dict[str, Any]()
    if (data := planned.data) is not None and not Path(data.cache).is_dir():

        def own(place: str) -> str:
            return str(default_cache_root().joinpath(*Path(place).parts[-2:])) if place else ""

        names = str(default_cache_root().joinpath(*Path(data.names).parts[-3:])) if data.names else ""
        moved = {"cache": own(data.cache), "train_cache": own(data.train_cache)}
        moved["names"] = names if Path(names).is_dir() else ""
        here["planned"] = msgspec.structs.replace(planned, data=msgspec.structs.replace(data, **moved))
    if job.checkpoint and not Path(job.checkpoint).parent.is_dir():
        here["checkpoint"] = ""
    if job.trained and folder is not None:
        here["trained"] = {name: str(folder / path) for name, path in job.trained.items()}
    return msgspec.structs.replace(job, **here)


def _speed(job: CellJob, catalog: Catalog, send: Send) -> CellResult:
    """Run a speed cell; with random weights, which are as fast, where the model's cannot be fetched from the hub."""
    try:
        return run_speed(job, catalog, send)
    except Exception as error:
        if job.planned.hub != "needed" or not _of_network(error):
            raise
    planned = msgspec.structs.replace(job.planned, hub="away")
    return run_speed(msgspec.structs.replace(job, planned=planned), catalog, send)


def _storable(result: CellResult) -> CellResult:
    """Return a result that can be sent and stored, whatever plugins wrote into it: lone surrogates become escapes.

    Raises:
        VitbenchError: it holds a number of more than 64 bits, or something else that nothing holds.
        UnusableError: a plugin gave texts or curves without end, which would make each table of a folder slow.
    """
    try:
        size = len(msgspec.msgpack.encode(result))
    except UnicodeEncodeError:
        return _storable(msgspec.convert(_whole_texts(msgspec.to_builtins(result)), CellResult))
    except (OverflowError, TypeError) as error:
        raise VitbenchError(f"the results of the cell cannot be stored: {reason_of(error)}") from error
    if size > LARGEST:
        raise UnusableError(f"its record would have {size / 1e6:.0f} MB; at most {LARGEST / 1e6:.0f} MB are stored")
    return result


def _whole_texts(value: Any) -> Any:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {_whole_texts(key): _whole_texts(each) for key, each in value.items()}
    return [_whole_texts(each) for each in value] if isinstance(value, (list, tuple)) else value


def _check_code(planned: KeyedCell, catalog: Catalog) -> None:
    """Refuse to run code other than what the record would name.

    Raises:
        UnusableError: a plugin was edited since the run was planned.
    """
    plugins = {plugin.name: plugin for plugin in catalog.plugins}
    for made_of in (planned.provenance.model, planned.provenance.recipe, *planned.provenance.others):
        if made_of and made_of.plugin in plugins and origin(plugins[made_of.plugin]).code_hash != made_of.code_hash:
            raise UnusableError(
                f"the code of plugin {made_of.plugin} has changed since the run was planned; run the same command again"
            )


def _check_weights(planned: KeyedCell, catalog: Catalog) -> None:
    """Refuse a result of other weights from the hub than the record would name.

    Raises:
        UnusableError: the hub had other weights when the model was built than when the run was planned.
    """
    wanted = planned.provenance.files.get("model.revision")
    if not wanted:
        return
    name, options = planned.cell.model, planned.cell.options
    if revision_of(f"model {name}", catalog.member(name), options, online=False) not in (wanted, ""):
        raise UnusableError("its weights on the hub have changed since the run was planned; run the same command again")


def _limit_memory() -> None:
    """Let an allocation beyond what is free now fail in this process, before the system starts to kill others."""
    if sys.platform != "linux":
        return
    import resource

    import psutil

    free = min(memory_bytes(), psutil.virtual_memory().available)
    # Writable private memory alone (https://man7.org/linux/man-pages/man2/getrlimit.2.html): mapped data do not count.
    limit = psutil.Process().memory_info().data + free
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _of_network(error: BaseException) -> bool:
    """Whether weights could not be fetched, which a plugin may have put into its own words.

    Clients of the hub raise an OSError without a number; one with a number is of the disk, except for those of a
    network.
    """
    cause = error.__cause__ if isinstance(error, UnusableError) else error
    if isinstance(cause, (ConnectionError, TimeoutError, socket.gaierror)):
        return True
    return isinstance(cause, OSError) and cause.errno in (None, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)


def _status_of(error: BaseException) -> Status:
    if isinstance(error, (InvalidPredictions, InvalidOutput, DivergedError)):
        return "invalid"
    return "oom" if lack_of_memory(error) else "failed"
