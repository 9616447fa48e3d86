"""Ask a side's own vitbench what it would measure; it may be of any version, or missing."""

from __future__ import annotations

import os
import subprocess

import msgspec

from vitbench.errors import UnusableError, error_of
from vitbench.execution.processes import last_words, run_program
from vitbench.tracking.environments import PreparedSide
from vitbench.tracking.messages import PROTOCOL, Description, Greeting, Request

__all__ = ["ask"]

SECONDS = 300.0
"""For the answer: torch is imported, from a cold disk perhaps."""


def ask(place: PreparedSide, request: Request) -> Description | str:
    """Return what a side would measure, or why it cannot be asked.

    Raises:
        UsageError, UnusableError: the side refuses, as where the device is not there.
    """
    try:
        done = run_program(
            [place.python, "-m", "vitbench.tracking.describe"],
            cwd=place.folder,
            environment={**os.environ, **place.environment},
            given=msgspec.json.encode(request),
            timeout=SECONDS,
        )
    except OSError as error:
        raise UnusableError(f"{place.label}: cannot start {place.python}: {error.strerror}.") from error
    except subprocess.TimeoutExpired:
        return f"{place.label}'s vitbench did not say within {SECONDS:g} s what it would measure"
    if done.returncode != 0:
        return _why_not(place.label, last_words(done.stderr) or "it said nothing")
    try:
        protocol = msgspec.json.decode(done.stdout, type=Greeting).protocol
        if protocol != PROTOCOL:
            return f"{place.label}'s vitbench speaks protocol {protocol}, this one {PROTOCOL}; update the older one"
        description = msgspec.json.decode(done.stdout, type=Description)
    except msgspec.DecodeError as error:
        return f"{place.label}'s vitbench gave an unknown answer: {error}"
    if refusal := description.refusal:
        raise error_of(refusal.exit_code, f"{place.label}: {refusal.message}")
    return description


def _why_not(label: str, line: str) -> str:
    if "No module named 'vitbench'" in line:
        return f"{label}'s environment has no vitbench: the package should depend on it"
    if "No module named" in line and "vitbench.tracking" in line:
        return f"{label}'s vitbench is too old to be tracked"
    return f"{label}'s vitbench cannot be asked: {line}"
