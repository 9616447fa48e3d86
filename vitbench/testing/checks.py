"""A check and what comes of it, as values. A check that raises anything has failed, with a reason in one line."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitbench.catalog.provenance import first_missing
from vitbench.errors import Skip, UnusableError, UsageError, did_you_mean, reason_of
from vitbench.specs import load_target
from vitbench.testing.cases import Case, PluginCase

__all__ = [
    "TOO_LARGE",
    "Check",
    "CheckFailed",
    "CheckStatus",
    "Outcome",
    "Round",
    "expected_reasons",
    "need",
    "outcomes_of",
    "raised",
    "run_checks",
]

CheckStatus = Literal["passed", "failed", "skipped", "expected", "unexpectedly passed"]
NO_FAILURES: Mapping[str, str] = {}
TOO_LARGE = "too large to run here"
"""How the reason begins for which a model's values are not checked, but its shapes."""


class CheckFailed(AssertionError):  # noqa: N818 - as Skip
    """A contract is broken; the message says what was found and what to do, in one line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of one check."""

    check: str
    """Name of the check function."""
    subject: str
    """What was checked: a plugin, or ``plugin/name``, perhaps with options."""
    status: CheckStatus
    """``expected``: it raised `CheckFailed` as expected; ``unexpectedly passed``: it raised nothing."""
    reason: str = ""
    """Why it failed or was skipped, in one line."""
    seconds: float = 0.0
    """How long it took."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One contract of one offer. Calling it runs it here: nothing, or `CheckFailed`, or `Skip`."""

    subject: str
    """What is checked: a plugin, or ``plugin/name``, perhaps with options."""
    target: str
    """Import string of the check function."""
    case: Case
    """What the function is called with."""
    depends_on: tuple[Check, ...] = ()
    """Checks of the same case without which it means nothing, the first cause first. `Round` runs them before it."""

    @property
    def name(self) -> str:
        """The name of the check function."""
        return self.target.partition(":")[2]

    @property
    def short_subject(self) -> str:
        """What is checked, without its plugin's name where it has one of its own."""
        return self.subject.partition("/")[2] or self.subject

    def __call__(self) -> None:
        """Run it under the flags and seeds of a run, and leave torch's flags and all generators as they were.

        What is checked of a whole plugin happens in processes of its own, and needs no torch here.
        """
        if isinstance(self.case, PluginCase):
            load_target(self.target)(self.case)
            return
        import torch

        from vitbench.worker.runtime import runtime

        with runtime(precision="float32", threads=torch.get_num_threads(), seed=0, device="cpu"):
            load_target(self.target)(self.case)


class Round:
    """One round of checks: a check is skipped where one that it depends on failed, so that one cause is one failure.

    What a check depends on runs before it, whether it was asked for or not, and is remembered. So a check says the same
    alone, in another order and in another process.
    """

    def __init__(self) -> None:
        self._failed: dict[tuple[str, str], bool] = {}

    def __call__(self, check: Check) -> None:
        """Run a check. It raises what the check raises, or Skip where one that it depends on failed."""
        key = (check.subject, check.target)
        self._failed[key] = False
        for other in check.depends_on:
            if self._has_failed(other):
                raise Skip(f"depends on {other.name}, which failed")
        self._failed[key] = True
        try:
            check()
        except Skip:
            self._failed[key] = False
            raise
        self._failed[key] = False

    def _has_failed(self, check: Check) -> bool:
        key = (check.subject, check.target)
        if key not in self._failed:
            with suppress(Exception, SystemExit):
                self(check)
        return self._failed[key]


def run_checks(checks: Iterable[Check], *, expected_failures: Mapping[str, str] = NO_FAILURES) -> list[Outcome]:
    """Run checks in this process, one after the other, and return their outcomes.

    One that depends on a check that failed is skipped.

    Args:
        checks: of `checks_of`.
        expected_failures: why which checks fail: ``check_name`` or ``model: check_name`` to a reason.

    Raises:
        UsageError: `expected_failures` names no check, or gives no reason.
    """
    return list(outcomes_of(list(checks), expected_failures=expected_failures))


def outcomes_of(checks: Sequence[Check], *, expected_failures: Mapping[str, str] = NO_FAILURES) -> Iterator[Outcome]:
    """Give the outcomes of `run_checks` one by one, as they come."""
    run = Round()
    for check, reason in zip(checks, expected_reasons(checks, expected_failures), strict=True):
        yield _outcome(check, reason, run)


def expected_reasons(checks: Sequence[Check], expected_failures: Mapping[str, str]) -> list[str]:
    """Return for each check why it is expected to fail, or an empty text; raises as `run_checks` does."""
    names = [(f"{check.subject}: {check.name}", f"{check.short_subject}: {check.name}", check.name) for check in checks]
    known = {key for keys in names for key in keys}
    for key, reason in expected_failures.items():
        if key not in known:
            raise UsageError(
                f'expected_failures names "{key}", which is not a check.{did_you_mean(key, sorted(known))}'
            )
        if not reason.strip():
            raise UsageError(f'expected_failures: say why "{key}" is expected to fail.')
    return [next((expected_failures[key] for key in keys if key in expected_failures), "") for keys in names]


def _outcome(check: Check, expected: str, run: Round) -> Outcome:
    started = time.perf_counter()
    status: CheckStatus = "unexpectedly passed" if expected else "passed"
    reason = f"it was expected to fail: {expected}" if expected else ""
    try:
        run(check)
    except Skip as skip:
        status, reason = "skipped", _line(skip)
    except CheckFailed as failure:
        status, reason = ("expected", expected) if expected else ("failed", _line(failure))
    except UnusableError as error:  # what cannot be imported: no contract was looked at, so none was seen broken
        status, reason = "failed", _line(error)
    except (Exception, SystemExit) as error:
        status, reason = "failed", f"the check raised {raised(error)}"
    seconds = time.perf_counter() - started
    return Outcome(check=check.name, subject=check.subject, status=status, reason=reason, seconds=seconds)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def need(modules: Iterable[str]) -> None:
    """Raise Skip where a module that an offer requires is not installed."""
    missing = first_missing(modules)
    if missing:
        raise Skip(f"it needs the module {missing}, which is not installed")


def raised(error: BaseException) -> str:
    """Return an error in one line, with its place in the plugin's code: the last outside of torch and of vitbench."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(Path(frame.filename))]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{reason_of(error)}{place}"


def _is_ours(file: Path) -> bool:
    return {"torch", "vitbench"} & set(file.parts[-4:-1]) != set() or file.name.startswith("<")
