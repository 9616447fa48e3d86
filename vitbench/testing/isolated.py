"""Both ends of `vitbench check`: the checks of each offer run in a child process of their own.

A plugin that crashes the interpreter, or hangs, fails the check that was under way; those that were to follow on the
same subject are skipped, and the other subjects go on. The child writes each outcome into a file as it comes, so that
none is lost with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from vitbench.catalog import PluginSelection
from vitbench.execution.choice import chosen_executor
from vitbench.execution.executor import Ending, Send
from vitbench.execution.processes import last_words
from vitbench.testing.cases import PluginCase
from vitbench.testing.checks import Check, Outcome, outcomes_of, run_checks
from vitbench.testing.plan import checks_of, select

__all__ = ["CheckJob", "check_in_child", "check_plugin"]

SECONDS = 300.0
"""For all checks of one subject; those of the largest model that is run take ten on one core."""


class CheckJob(msgspec.Struct, frozen=True, kw_only=True):
    """The checks of one subject, on their way to the child."""

    plugin: str
    models: tuple[str, ...]
    data: dict[str, str]
    plugins: PluginSelection
    subject: str


class _Done(msgspec.Struct, frozen=True):
    """All checks have run."""


OUTCOMES = "outcomes.jsonl"
"""File in the job's folder, one JSON object per line."""


def check_plugin(
    plugin: str, *, models: Sequence[str], data: Mapping[str, str], say: Callable[[str], None]
) -> Iterator[list[Outcome]]:
    """Run the checks of a plugin and give the outcomes of one subject after the other, as they come.

    Args:
        plugin, models, data: as in `checks_of`, which raises before the first outcome.
        say: gets each subject before its checks run.
    """
    name, plugins = select(plugin)
    checks = checks_of(name, models=models, data=data, plugins=plugins)
    executor = chosen_executor()
    for subject in dict.fromkeys(check.subject for check in checks):
        say(f"Checking {subject}.")
        own = [check for check in checks if check.subject == subject]
        if all(isinstance(check.case, PluginCase) for check in own):  # which start processes themselves
            yield run_checks(own)
            continue
        with tempfile.TemporaryDirectory(prefix="vitbench-check-") as folder:
            job = CheckJob(
                plugin=name,
                models=tuple(models),
                data={name: str(Path(path).expanduser().absolute()) for name, path in data.items()},
                plugins=plugins,
                subject=subject,
            )
            log = Path(folder, "log.txt")
            ending = executor.run(
                f"{__name__}:{check_in_child.__name__}", job, _Done, folder=Path(folder), timeout=SECONDS, log=log
            )
            yield _complete(own, _read(Path(folder, OUTCOMES)), ending, log)


def _read(path: Path) -> list[Outcome]:
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=Outcome) for line in lines]


def _complete(checks: Sequence[Check], outcomes: list[Outcome], ending: Ending[_Done], log: Path) -> list[Outcome]:
    """Add the check that ended the process, and those that it kept from running."""
    if len(outcomes) == len(checks):
        return outcomes
    guilty, *others = checks[len(outcomes) :]
    reason = _why(ending, log)
    return [
        *outcomes,
        Outcome(check=guilty.name, subject=guilty.subject, status="failed", reason=reason, seconds=ending.seconds),
        *(
            Outcome(check=other.name, subject=other.subject, status="skipped", reason=f"not run: {guilty.name} failed")
            for other in others
        ),
    ]


def _why(ending: Ending[_Done], log: Path) -> str:
    if ending.kind == "timeout":
        return f"the checks took more than {SECONDS:g} s before this one ended; is it waiting for something?"
    last = last_words(log.read_bytes()) if log.exists() else ""
    return f"{ending.reason.partition(';')[0]}" + (f"; last output: {last}" if last else "")


def check_in_child(request: bytes, folder: Path | None, send: Send) -> _Done:
    """Decode a job, run its checks, and write down what comes of each."""
    assert folder is not None
    job = msgspec.msgpack.decode(request, type=CheckJob)
    checks = checks_of(job.plugin, models=job.models, data=job.data, plugins=job.plugins)
    with (folder / OUTCOMES).open("ab", buffering=0) as file:
        for outcome in outcomes_of([check for check in checks if check.subject == job.subject]):
            file.write(msgspec.json.encode(outcome) + b"\n")
    return _Done()
