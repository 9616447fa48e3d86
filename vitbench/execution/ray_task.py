"""What runs on a machine of a Ray cluster: one job, in a process of its own, its messages and files sent as they come.

Ray's worker only waits: the job runs in a child of it, as jobs of this machine do (`vitbench.execution.local`), with
the same time limits, the same log and the same certainty that nothing outlives it. All that travels is bytes.
"""

from __future__ import annotations

import contextlib
import multiprocessing.util
import os
import queue
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec

from vitbench.execution.executor import Ending, Job, Needs
from vitbench.execution.local import LocalExecutor
from vitbench.nvidia import uuids
from vitbench.variables import is_listed

__all__ = ["Begins", "Brings", "Logs", "Over", "Says", "TaskRequest", "Told", "decode_told", "run_as_task", "run_task"]

TOGETHER_SECONDS = 2.0
"""Messages of this time are sent together."""
CHUNK = 8 << 20
"""Bytes of a file that are sent at once."""
_FOLDER = "vitbench-task-"
"""How the folder of a task begins, before the id of its process."""


class _Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Base of what a task tells."""


class Begins(_Told, frozen=True, kw_only=True):
    """It runs."""

    host: str
    gpu: str = ""
    """UUID."""


class Says(_Told, frozen=True, kw_only=True):
    """Messages of the job."""

    messages: tuple[bytes, ...]


class Brings(_Told, frozen=True, kw_only=True):
    """A piece of a file that the job left; the pieces of a file come one after another."""

    name: str
    content: bytes


class Logs(_Told, frozen=True, kw_only=True):
    """A piece of what the job printed."""

    content: bytes


class Over(_Told, frozen=True, kw_only=True):
    """How it ended; the last that is told."""

    kind: Literal["answered", "refused", "timeout", "oom", "crashed"]
    seconds: float
    answer: bytes | None = None
    reason: str = ""
    exit_code: int = 1


Told = Begins | Says | Brings | Logs | Over
_decoder: msgspec.msgpack.Decoder[list[Told]] = msgspec.msgpack.Decoder(list[Told])


class TaskRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job on its way to a machine; its files travel beside it."""

    target: str
    request: bytes
    cores: int
    timeout: float | None
    has_folder: bool
    environment: dict[str, str]
    """Over the variables of the machine."""
    variables: dict[str, str]
    """Those that change numbers, as they are where the run was started; others of that list are unset."""


def decode_told(content: bytes) -> list[Told]:
    """Return what a task told at once.

    Raises:
        msgspec.MsgspecError: no task of ours tells so.
    """
    return _decoder.decode(content)


def run_as_task(request: bytes, files: Mapping[str, bytes]) -> Iterator[bytes]:
    """Do as `run_task` does, in a process that Ray ends afterwards, and leave no temporary folder of it."""
    try:
        yield from run_task(request, files)
    finally:
        shutil.rmtree(multiprocessing.util.get_temp_dir(), ignore_errors=True)  # Ray's end of a process skips it


def run_task(request: bytes, files: Mapping[str, bytes]) -> Iterator[bytes]:
    """Run a job on this machine, and yield what it tells: lists of `Told`, encoded.

    Each that is sent costs the run's own process a millisecond, so what is small and comes at the end goes together.

    Args:
        request: a `TaskRequest`.
        files: those of its folder, by name.
    """
    asked = msgspec.msgpack.decode(request, type=TaskRequest)
    encode = msgspec.msgpack.encode
    gpu = _take_one_gpu()
    yield encode([Begins(host=socket.gethostname(), gpu=gpu)])
    _set_variables(asked.variables)
    _remove_left_folders()
    with tempfile.TemporaryDirectory(prefix=f"{_FOLDER}{os.getpid()}-") as place:
        folder, log = Path(place, "files"), Path(place, "log.txt")
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        before = {name: (folder / name).stat().st_mtime_ns for name in files}
        job = Job(
            target=asked.target,
            request=asked.request,
            needs=Needs(cores=asked.cores),
            folder=folder if asked.has_folder else None,
            timeout=asked.timeout,
            log=log,
            environment=asked.environment,
        )
        together: list[Told] = []
        for messages, ended in _running(job):
            together = [Says(messages=messages)] if messages else []
            if ended is None:
                yield encode(together)
        size = 0
        for piece in _left_by(folder, before, log):
            if together and size + len(piece.content) > CHUNK:
                yield encode(together)
                together, size = [], 0
            together.append(piece)
            size += len(piece.content)
    assert ended is not None
    over = Over(
        kind=ended.kind,
        seconds=ended.seconds,
        answer=ended.answer,
        reason=ended.reason,
        exit_code=ended.exit_code,
    )
    yield encode([*together, over])


def _left_by(folder: Path, before: Mapping[str, int], log: Path) -> Iterator[Brings | Logs]:
    """Yield pieces of the files that a job wrote, by when those that it was given were, and of what it printed."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.is_symlink() and path.stat().st_mtime_ns != before.get(path.name):
            for content in _pieces(path):
                yield Brings(name=path.name, content=content)
    if log.exists():
        for content in _pieces(log):
            yield Logs(content=content)


def _running(job: Job) -> Iterator[tuple[tuple[bytes, ...], Ending[bytes] | None]]:
    """Yield the messages of a job as they come, those that come together at once; with the last, how it ended."""
    told: queue.Queue[bytes | Ending[bytes]] = queue.Queue()

    def work() -> None:
        executor = LocalExecutor(preload=())
        handle = executor.submit(replace(job, on_message=told.put))
        try:
            told.put(executor.wait([handle])[handle])
        except BaseException as error:
            told.put(Ending(kind="crashed", seconds=0.0, reason=f"its process cannot be watched: {error}"))
        finally:
            executor.cancel(handle)

    threading.Thread(target=work, daemon=True).start()
    while True:
        first = told.get()
        messages: list[bytes] = []
        until = time.monotonic() + TOGETHER_SECONDS
        while not isinstance(first, Ending):
            messages.append(first)
            try:
                first = told.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
        if isinstance(first, Ending):
            yield tuple(messages), first
            return
        yield tuple(messages), None


def _remove_left_folders() -> None:
    """Remove what tasks left here whose process was killed."""
    import psutil

    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        process = folder.name.removeprefix(_FOLDER).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _pieces(path: Path) -> Iterator[bytes]:
    """Yield the content of a file piece by piece; of an empty one an empty piece."""
    with path.open("rb") as file:
        yield file.read(CHUNK)
        while content := file.read(CHUNK):
            yield content


def _take_one_gpu() -> str:
    """Leave this process one of the GPUs that Ray gave it; return its UUID, empty where there is none.

    A timing is given all of its machine's, so that nothing else runs there, and computes on one.
    """
    given = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
    if not given:
        return ""
    os.environ["CUDA_VISIBLE_DEVICES"] = given[0]
    if not given[0].isdecimal():
        return given[0]
    known = uuids()
    return known[int(given[0])] if int(given[0]) < len(known) else ""


def _set_variables(variables: Mapping[str, str]) -> None:
    """Set what changes numbers as where the run was started, and take Ray's own variables away, its token with them."""
    for name in list(os.environ):
        if name.startswith("RAY_") or is_listed(name):
            del os.environ[name]
    with contextlib.suppress(ValueError):  # a name or a value that this system does not take
        os.environ.update(variables)
