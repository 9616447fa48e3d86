"""What `vitbench doctor` prints: a line for each check with its advice below it, or JSON."""

from __future__ import annotations

import textwrap

import msgspec

from vitbench.doctor.messages import Examined, MachineCheck
from vitbench.printable import plain

__all__ = ["as_data", "as_text"]

WIDTH = 110


def as_text(examined: Examined) -> str:
    """Return the machine class, a line for each check, its advice below it, and a sum."""
    width = max(len(check.name) for check in examined.checks)
    lines = [plain(examined.machine_class), ""]
    for check in examined.checks:
        lines += _lines(check, width)
    bad = sum(not check.ok for check in examined.checks)
    total = f"{len(examined.checks)} checks"
    return "\n".join([*lines, "", f"{bad} of {total} found a problem." if bad else f"{total}, no problems found."])


def _lines(check: MachineCheck, width: int) -> list[str]:
    indent = " " * (width + 6)
    head = f"{'ok' if check.ok else ' !'}  {check.name.ljust(width)}  "
    lines = _wrapped(plain(check.found), head, indent)
    if check.advice:
        lines += _wrapped(check.advice, f"{indent}-> ", f"{indent}   ")
    return lines


def _wrapped(text: str, first: str, others: str) -> list[str]:
    # Neither paths nor options are torn: both are there to be copied.
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


def as_data(examined: Examined) -> str:
    """Return ``{"machine_class", "noise_floor", "checks": [{"name", "ok", "found", "advice"}]}`` as JSON."""
    content = {
        "machine_class": examined.machine_class,
        "noise_floor": examined.noise_floor,
        "checks": examined.checks,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
