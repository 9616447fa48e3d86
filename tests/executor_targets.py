"""What the tests of the executor run in its child processes. Light: no torch."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from vitbench.errors import UsageError
from vitbench.execution.executor import Send
from vitbench.execution.messages import CellResult, Progress, Say

IGNORES_SIGTERM = (
    "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
)


def echo(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Answer with the text of a `Say`."""
    return CellResult(status="ok", reason=msgspec.msgpack.decode(request)["text"])


def talk(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Send progress and sentences, and write to both outputs, before the answer."""
    send(Progress(epoch=1, epochs=2, stage="training"))
    print("written to stdout")
    send(Say(text="half way"))
    print("written to stderr", file=sys.stderr)
    return CellResult(status="ok", facts={"variable": os.environ.get("VITBENCH_TEST_VARIABLE", "")})


def diverge(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Answer with numbers that JSON does not have."""
    return CellResult(status="ok", curve=({"epoch": 1.0, "loss": float("nan"), "largest": float("inf")},))


def fail(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Raise."""
    raise ValueError("this text is in the log")


def leave(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """End without a word."""
    os._exit(7)


def kill_itself(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Do what the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("not reached")


def sleep(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Write the own process id to the file that is named, and do not end."""
    with open(msgspec.msgpack.decode(request)["text"], "w") as file:  # noqa: PTH123 - nothing but the standard calls
        file.write(str(os.getpid()))
    time.sleep(600)
    raise AssertionError("not reached")


def sleep_stubbornly(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """As `sleep`, deaf to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return sleep(request, folder, send)


def leave_a_grandchild(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Start a process that is deaf to SIGTERM, and answer with its id as soon as it is."""
    ready = msgspec.msgpack.decode(request)["text"]
    grandchild = subprocess.Popen([sys.executable, "-c", IGNORES_SIGTERM, ready])
    while not os.path.exists(ready):  # noqa: PTH110
        time.sleep(0.01)
    return CellResult(status="ok", reason=str(grandchild.pid))


def crash_beside_a_grandchild(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Die while a grandchild holds every pipe open."""
    ready = msgspec.msgpack.decode(request)["text"]
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    with open(ready, "w") as file:  # noqa: PTH123
        file.write(str(pid))
    os._exit(9)


def leave_a_daemon(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Start a process in a session of its own, whose parent ends, and answer with its id."""
    ready = msgspec.msgpack.decode(request)["text"]
    if os.fork() == 0:
        os.setsid()
        daemon = os.fork()
        if daemon:
            with open(f"{ready}.part", "w") as file:  # noqa: PTH123
                file.write(str(daemon))
            os.rename(f"{ready}.part", ready)  # noqa: PTH104
            os._exit(0)
        os.closerange(0, 1000)
        time.sleep(600)
        os._exit(0)
    os.wait()
    with open(ready) as file:  # noqa: PTH123
        return CellResult(status="ok", reason=file.read())


def leave_a_daemon_and_die(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """As `leave_a_daemon`, without an answer."""
    leave_a_daemon(request, folder, send)
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError("not reached")


def leave_a_daemon_and_sleep(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """As `leave_a_daemon`, deaf to all but SIGKILL."""
    leave_a_daemon(request, folder, send)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
    raise AssertionError("not reached")


def write_everywhere(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Write into all that is open."""
    for number in range(3, 100):
        with contextlib.suppress(OSError):
            os.write(number, b"some text of a library\n")
    time.sleep(600)
    raise AssertionError("not reached")


def write_half_a_message(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Write the head of a message into all that is open, and no more."""
    _write_half()
    time.sleep(600)
    raise AssertionError("not reached")


def _write_half() -> None:
    for number in range(3, 100):
        with contextlib.suppress(OSError):
            os.write(number, b"\0\1\0\0half")


def end_within_a_message(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Be killed while a message is on its way."""
    _write_half()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("not reached")


def come_back_twice(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Answer from a process that was forked, too, and first."""
    if pid := os.fork():
        os.waitpid(pid, 0)
        return CellResult(status="ok", reason="the process itself")
    return CellResult(status="ok", reason="another process")


def main_module(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Tell whether the parent's script was run again here."""
    return CellResult(status="ok", reason=getattr(sys.modules["__main__"], "MARK", "not run again"))


def large(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Answer with more than a pipe holds."""
    return CellResult(status="ok", reason="x" * 1_000_000)


def run_cell_in_200_mib(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Run a cell on a machine that has little memory left."""
    from vitbench.worker import cell

    cell.memory_bytes = lambda: 200 << 20
    return cell.run_cell(request, folder, send)


def refuse(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Refuse as a user's mistake is."""
    raise UsageError("there is no such thing")


def copy_file(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Read one file of the folder and write another."""
    assert folder is not None
    (folder / "out.txt").write_text((folder / "in.txt").read_text().upper())
    return CellResult(status="ok")
