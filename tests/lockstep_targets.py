"""Block makers that the tests of lockstep run in live workers. Light: no torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vitbench.lockstep.process import Order, Ran

Block = Callable[[int], Ran]


@contextmanager
def sleeper(order: Order) -> Iterator[Block]:
    """Sleep for the option `seconds` at each call."""

    def block(calls: int) -> Ran:
        start = time.perf_counter()
        for _ in range(calls):
            time.sleep(float(order.planned.cell.options["seconds"]))
        return Ran(seconds=time.perf_counter() - start, remarks=("slept",))

    yield block


@contextmanager
def talker(order: Order) -> Iterator[Block]:
    """Print, in all the ways there are, and read what is not meant for it."""

    def block(calls: int) -> Ran:
        print("hello")
        os.write(1, b'{"type":"Ran","seconds":99}\n')
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        assert sys.stdin.read() == ""
        return Ran(seconds=0.1 * calls)

    yield block


@contextmanager
def broken(order: Order) -> Iterator[Block]:
    """Fail to build."""
    raise ValueError("no such\nweights")
    yield


@contextmanager
def failing(order: Order) -> Iterator[Block]:
    """Fail in a block, by trying to leave the process."""

    def block(calls: int) -> Ran:
        sys.exit(3)

    yield block


@contextmanager
def killed(order: Order) -> Iterator[Block]:
    """Die in the third block, as where memory runs out."""
    blocks = 0

    def block(calls: int) -> Ran:
        nonlocal blocks
        blocks += 1
        if blocks == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return Ran(seconds=0.1)

    yield block


@contextmanager
def leaving(order: Order) -> Iterator[Block]:
    """End without an answer, but not without a word."""
    print("the last words", file=sys.stderr, flush=True)
    os._exit(7)
    yield


@contextmanager
def stuck(order: Order) -> Iterator[Block]:
    """Never become ready; beside it a child that inherits all pipes. Writes both process ids to the option `file`."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
    Path(str(order.planned.cell.options["file"])).write_text(f"{os.getpid()} {child}\n")
    time.sleep(600)
    yield
