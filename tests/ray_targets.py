"""What the tests of the executor `ray` run on its machines. Light: no torch."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import psutil

from vitbench.execution.executor import Send
from vitbench.execution.messages import PREDICTIONS, WEIGHTS, CellResult, Say


def spend(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Take the seconds that a `Say` says, then answer when that was and with which GPU."""
    began = time.time()
    time.sleep(float(msgspec.msgpack.decode(request)["text"]))
    facts = {"gpu": os.environ.get("CUDA_VISIBLE_DEVICES", ""), "token": os.environ.get("RAY_AUTH_TOKEN", "")}
    facts["threads"] = os.environ.get("OMP_DYNAMIC", "")
    return CellResult(status="ok", facts=facts, evidence={"began": began, "ended": time.time()})


def carry(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Copy a large file of the folder, speak, and print."""
    assert folder is not None
    (folder / "copy").write_bytes((folder / "given").read_bytes())
    (folder / "empty").touch()
    send(Say(text="half way"))
    print("written to stdout")
    return CellResult(status="ok")


def kill_the_worker(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Kill Ray's own process above this one, having said which process this is."""
    Path(msgspec.msgpack.decode(request)["text"]).write_text(str(os.getpid()))
    above = psutil.Process().parents()
    next(process for process in above if "ray::" in " ".join(process.cmdline())).kill()
    time.sleep(600)
    raise AssertionError("not reached")


def stand_in(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Stand in for a training: leave weights and predictions that are none."""
    assert folder is not None
    for name in (WEIGHTS, PREDICTIONS):
        (folder / name).write_bytes(bytes(10_000))
    return CellResult(status="ok")
